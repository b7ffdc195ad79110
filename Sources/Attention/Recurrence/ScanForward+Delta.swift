import AttentionCore
import CKernels
import Tensors

extension RecurrentScan {
  /// Columns of a state that one piece of work takes through all chunks: those of the delta rule do not depend on each other.
  static let columnsOfPiece = 32

  /// Pieces of columns of a state.
  var columnPieces: Int { (shape.valueDim + Self.columnsOfPiece - 1) / Self.columnsOfPiece }

  /// The columns of a piece.
  func columns(of piece: Int) -> Range<Int> {
    let first = piece * Self.columnsOfPiece
    return first..<min(shape.valueDim, first + Self.columnsOfPiece)
  }
}

/// The delta rule within a chunk, by the UT transform.
///
/// With `A_ij = β_i e^{G_i − G_j} k_i·k_j` below the diagonal: what is written is `V' = (I + A)⁻¹ β(V − e^G K H)`, so
/// `V' = U − W H` with `U = (I + A)⁻¹ β V` and `W = (I + A)⁻¹ β e^G K`, which do not need the state before.
/// - Source: Yang et al., 2024, Parallelizing Linear Transformers with the Delta Rule over Sequence Length.
extension ScanForward {
  /// U, in place of what is written, and W of a chunk.
  func prepare(_ head: Int, _ block: Int, _ worker: Int) {
    let batch = head / shape.keyHeads, keyHead = head % shape.keyHeads
    let keys = geometry.keys(block, batch: batch), place = head * geometry.keyBlocks + block
    guard let written, let erasing, !keys.isEmpty, let strengths = strengths(head, keys) else {
      keepAll(place)
      return
    }
    let base = scratch.at(worker * layout.count), count = keys.count, (d, v) = (shape.headDim, shape.valueDim)
    let own = base + layout.keys, pairs = base + layout.pairs
    let erased = erasing.row(batch, keyHead, keys.lowerBound)
    if scan.isByChannel { fadeKeys(head, block, keys, base) } else { loadKeys(batch, keyHead, keys, base) }
    if scan.isByChannel {
      let channels = channels(head, keys, to: count, base), gentle = Int(base[layout.gentle])
      attn_scan_ahead_all(isa, own, d, 1, channels, erased, count, d)
      if gentle > 0 { exchangeKeys(count, base) }
      pairGently(erased, gentle, count, to: pairs, base)
      if gentle < count {
        channelPairs(gentle..<count, keys: count, channels, base).write(
          own, own, to: pairs + gentle * count, stride: count)
      }
      attn_scan_scale(isa, erased, d, strengths, erased, d, count, d)
    } else {
      let decays = decays(head, keys, base)
      factors[place] = decays.total
      products.transpose(own, stride: d, rows: count, columns: d, to: base + layout.keyColumns)
      products.multiply(
        .init(own, stride: d), base + layout.keyColumns, count, into: pairs, stride: count, rows: count,
        columns: count, depth: d, .lower(first: 0))
      decays.write(0, count, scale: 1, to: base + layout.decays)
      attn_scan_fade(isa, pairs, base + layout.decays, pairs, 0, count, count)
      decays.writeRows(0, count, scale: 1, to: base + layout.rows)
      attn_scan_multiply(isa, base + layout.rows, strengths, base + layout.rows, count)
      attn_scan_scale(isa, own, d, base + layout.rows, erased, d, count, d)
    }
    attn_scan_scale(isa, pairs, count, strengths, pairs, count, count, count)
    let values = written.row(batch, keyHead, keys.lowerBound)
    attn_scan_scale(
      isa, value.row(batch, keyHead, keys.lowerBound), value.rowStride, strengths, values, v, count, v)
    products.solve(pairs, rows: count, values, columns: v)
    products.solve(pairs, rows: count, erased, columns: d)
  }

  /// Some columns of the state before a chunk, of what is written, and of the state behind the chunk.
  func write(_ head: Int, _ block: Int, _ columns: Range<Int>, _ worker: Int) {
    let batch = head / shape.keyHeads, keyHead = head % shape.keyHeads
    let base = scratch.at(worker * layout.count), (d, v) = (shape.headDim, shape.valueDim)
    let state = last + (head * geometry.stateCount + columns.lowerBound), width = columns.count
    let keys = geometry.keys(block, batch: batch), place = head * geometry.keyBlocks + block
    let slot = states + (place * geometry.stateCount + columns.lowerBound)
    if width == v {
      slot.update(from: state, count: d * v)
    } else {
      for row in 0..<d { (slot + row * v).update(from: state + row * v, count: width) }
    }
    guard let written, let erasing, !keys.isEmpty else { return }
    let own = base + layout.keys, count = keys.count
    let isFaded = scan.isByChannel && inOrder && Int(base[layout.gentle]) == count
    let faded = base + (isFaded ? layout.fadedKeys : layout.queries)
    let values = written.row(batch, keyHead, keys.lowerBound) + columns.lowerBound
    products.multiply(
      .init(erasing.row(batch, keyHead, keys.lowerBound), stride: d), state, v, into: values, stride: v,
      rows: count, columns: width, depth: d, target: .subtractedFrom,
      ahead: key.ahead(batch, keyHead, nextKeys(block, batch), dim: d))
    if !inOrder { loadKeys(batch, keyHead, keys, base) }
    if scan.isByChannel {
      if !isFaded { attn_scan_behind(isa, own, channels(head, keys, to: count, base), faded, count, d) }
      attn_scan_scale(isa, state, v, factors + place * d, state, v, d, width)
    } else {
      decays(head, keys, base).writeKeys(to: base + layout.rows)
      attn_scan_scale(isa, own, d, base + layout.rows, faded, d, count, d)
      if width == v {
        attn_scan_scale(isa, state, d * v, factors + place, state, d * v, 1, d * v)
      } else {
        for row in 0..<d {
          attn_scan_scale(isa, state + row * v, v, factors + place, state + row * v, v, 1, width)
        }
      }
    }
    products.multiply(
      .init(faded, stride: d).transposed, values, v, into: state, stride: v, rows: d, columns: width,
      depth: count, target: .added,
      ahead: value.ahead(batch, keyHead, nextKeys(block, batch), dim: v))
  }
}
