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
    loadKeys(batch, keyHead, keys, base)
    if scan.isByChannel {
      loadChannels(head, keys, to: count, base)
      attn_scan_totals(isa, base + layout.channels, factors + place * d, count, d)
      channelPairs(0..<count, keys: count, base).write(own, own, to: pairs, stride: count)
      attn_scan_ahead(isa, own, base + layout.channels, erased, 0, count, d)
      attn_scan_scale(isa, erased, d, strengths, erased, d, count, d)
    } else {
      let decays = decays(head, keys, base)
      factors[place] = decays.total
      products.packLeft(.init(own, stride: d), rows: count, depth: d, to: base + layout.left)
      products.packRight(
        .init(own, stride: d).transposed, columns: count, depth: d, to: base + layout.keyPack)
      products.multiply(
        base + layout.left, base + layout.keyPack, into: pairs, stride: count, rows: count, columns: count,
        depth: d)
      attn_scan_decays(isa, decays.sums, 0, count, count, base + layout.decays)
      attn_scan_multiply(isa, pairs, base + layout.decays, pairs, count * count)
      decays.writeRows(0, count, to: base + layout.rows)
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

  /// Some columns of the states before all chunks, of what is written, and of the state behind all keys.
  func write(_ head: Int, _ columns: Range<Int>, _ worker: Int) {
    let batch = head / shape.keyHeads, keyHead = head % shape.keyHeads
    let base = scratch.at(worker * layout.count), (d, v) = (shape.headDim, shape.valueDim)
    let state = last + (head * geometry.stateCount + columns.lowerBound), width = columns.count
    guard let written, let erasing else { return }
    for block in 0..<geometry.keyBlocks {
      let keys = geometry.keys(block, batch: batch), place = head * geometry.keyBlocks + block
      let slot = states + (place * geometry.stateCount + columns.lowerBound)
      for row in 0..<d { (slot + row * v).update(from: state + row * v, count: width) }
      guard !keys.isEmpty else { continue }
      let own = base + layout.keys, held = base + layout.held, count = keys.count
      let values = written.row(batch, keyHead, keys.lowerBound) + columns.lowerBound
      let erased = erasing.row(batch, keyHead, keys.lowerBound)
      products.packLeft(.init(erased, stride: d), rows: count, depth: d, to: base + layout.left)
      products.packRight(.init(state, stride: v), columns: width, depth: d, to: base + layout.statePack)
      products.multiply(
        base + layout.left, base + layout.statePack, into: held, stride: width, rows: count, columns: width,
        depth: d)
      for row in 0..<count { attn_axpy(isa, -1, held + row * width, values + row * v, width) }
      loadKeys(batch, keyHead, keys, base)
      if scan.isByChannel {
        loadChannels(head, keys, to: count, base)
        attn_scan_behind(isa, own, base + layout.channels, own, count, d)
      } else {
        decays(head, keys, base).writeKeys(to: base + layout.rows)
        attn_scan_scale(isa, own, d, base + layout.rows, own, d, count, d)
      }
      for row in 0..<d {
        var factor = factors[scan.isByChannel ? place * d + row : place]
        attn_scan_scale(isa, state + row * v, v, &factor, state + row * v, v, 1, width)
      }
      products.packLeft(.init(own, stride: d).transposed, rows: d, depth: count, to: base + layout.left)
      products.packRight(.init(values, stride: v), columns: width, depth: count, to: base + layout.valuePack)
      products.multiply(
        base + layout.left, base + layout.valuePack, into: state, stride: v, rows: d, columns: width,
        depth: count, adds: true)
    }
  }
}
