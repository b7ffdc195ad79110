import AttentionCore
import CKernels
import Tensors

/// The way back through the delta rule.
///
/// With V' what was written, `V' = (I + A)⁻¹ β(V − e^G K H)`, and `X = (I + A)⁻ᵀ dV'`: `d(βV) = X`, `d(β e^G K) = −X Hᵀ` and `dA = −X V'ᵀ` below
/// the diagonal. So neither U nor W is needed but to pass dV' on to the state before the chunk.
extension ScanBackward {
  private func writtenRow(_ piece: Piece) -> UnsafeMutablePointer<Float>? {
    writtenGradient.map { $0.row(piece.batch, piece.keyHead, piece.keys.lowerBound) }
  }

  /// No row of the chunk reads what it wrote.
  func clearWritten(_ piece: Piece) {
    guard piece.keys.count > 0 else { return }
    writtenRow(piece)?.update(repeating: 0, count: piece.keys.count * shape.valueDim)
  }

  /// What the rows of a chunk give what it wrote: Pᵀ dO. Queries are loaded, without the decay of the state.
  func addWritten(_ piece: Piece, _ gradients: ChunkProducts.Matrix, isFirst: Bool) {
    guard let target = writtenRow(piece), piece.keys.count > 0 else { return }
    let (d, v) = (shape.headDim, shape.valueDim), base = piece.base, map = scan.map
    let rows = piece.rows.count, keys = piece.keys.count, scores = base + layout.scores
    let own = base + layout.keys
    let isGentle = scan.isByChannel && base[layout.gentle] != 0
    if isFirst {
      if !scan.isByChannel {
        attn_scan_load(
          isa, map.code, key.row(piece.batch, piece.keyHead, piece.keys.lowerBound), key.rowStride, own, d,
          keys, d, 1, map.epsilon)
        products.transpose(own, stride: d, rows: keys, columns: d, to: base + layout.keyColumns)
        decays(piece).write(piece.first, rows, scale: 1, to: base + layout.decays)
      }
    }
    if isGentle {
      pairGently(piece, base + layout.fadedRows, to: scores)
    } else if scan.isByChannel {
      channelPairs(piece).write(base + layout.queries, own, to: scores, stride: keys)
    } else {
      products.multiply(
        .init(base + layout.queries, stride: d), base + layout.keyColumns, keys, into: scores, stride: keys,
        rows: rows, columns: keys, depth: d, .lower(first: piece.first))
      attn_scan_fade(isa, scores, base + layout.decays, scores, piece.first, rows, keys)
    }
    products.multiply(
      .init(scores, stride: keys).transposed, gradients.base, gradients.stride, into: target, stride: v,
      rows: keys, columns: v, depth: rows, .byLowerTransposed(first: piece.first),
      target: isFirst ? .replaced : .added)
  }

  /// Some columns of the gradients of the state behind a chunk and before it, and of what was written.
  func unwrite(_ head: Int, _ block: Int, _ columns: Range<Int>, _ worker: Int) {
    let (d, v) = (shape.headDim, shape.valueDim), width = columns.count
    let state = running + (head * geometry.stateCount + columns.lowerBound)
    let piece = self.piece(head, block, worker), base = piece.base, keys = piece.keys.count
    let place = head * geometry.keyBlocks + block
    let slot = slot(head, block) + columns.lowerBound, own = base + layout.keys
    let isFaded = scan.isByChannel && keepsKeys(piece) && base[layout.gentle] != 0
    let faded = base + (isFaded ? layout.fadedKeys : layout.extra),
      written = writtenRow(piece).map { $0 + columns.lowerBound }
    if keys > 0, let written {
      if !keepsKeys(piece) { loadKeys(piece) }
      if isFaded {
        // They have just been made.
      } else if scan.isByChannel {
        attn_scan_behind(isa, own, channels(piece), faded, keys, d)
      } else {
        decays(piece).writeKeys(to: base + layout.tails)
        attn_scan_scale(isa, own, d, base + layout.tails, faded, d, keys, d)
      }
      products.multiply(
        .init(faded, stride: d), state, v, into: written, stride: v, rows: keys, columns: width, depth: d,
        target: .added)
    }
    let factor = factors + (scan.isByChannel ? place * d : place), step = scan.isByChannel ? 1 : 0
    if width == v {
      attn_scan_step(isa, state, slot, factor, step, d, v)
    } else {
      for row in 0..<d {
        attn_scan_step(isa, state + row * v, slot + row * v, factor + row * step, 0, 1, width)
      }
    }
    guard keys > 0, let written, let erasing else { return }
    products.multiply(
      .init(erasing.row(piece.batch, piece.keyHead, piece.keys.lowerBound), stride: d).transposed, written, v,
      into: state, stride: v, rows: d, columns: width, depth: keys, target: .subtractedFrom)
  }

  /// From X, what stands for it in the part of what was written: dV = βX, the gradient of β as far as that of V gives it, and X Hᵀ, whose
  /// negative is that of β e^G K.
  func backThroughValues(
    _ piece: Piece, _ x: UnsafePointer<Float>, _ strengths: UnsafePointer<Float>,
    _ state: UnsafeMutablePointer<Float>
  ) {
    let (d, v) = (shape.headDim, shape.valueDim), base = piece.base, keys = piece.keys.count
    let values = given.row(piece.batch, piece.keyHead, piece.keys.lowerBound)
    attn_scan_dots(isa, values, given.rowStride, x, v, base + layout.deltaStrength, 0, keys, v)
    attn_scan_scale(
      isa, x, v, strengths, valueGradient.row(piece.batch, piece.keyHead, piece.keys.lowerBound), v, keys, v)
    // With rows the state has been exchanged for them.
    if piece.rows.isEmpty {
      products.transpose(state, stride: v, rows: d, columns: v, to: base + layout.stateColumns)
    }
    products.multiply(
      .init(x, stride: v), base + layout.stateColumns, d, into: base + layout.extra, stride: d, rows: keys,
      columns: d, depth: v, ahead: value.ahead(piece.batch, piece.keyHead, piece.nextKeys, dim: v))
  }

  /// X, which solves `(I + A)ᵀ X = dU` in place, A being pairs times strengths, and what it gives: see `backThroughValues`.
  func solveForValues(
    _ piece: Piece, _ x: UnsafeMutablePointer<Float>, _ strengths: UnsafePointer<Float>,
    _ state: UnsafeMutablePointer<Float>
  ) {
    let keys = piece.keys.count, scores = piece.base + layout.scores
    attn_scan_scale(isa, piece.base + layout.pairs, keys, strengths, scores, keys, keys, keys)
    products.solve(scores, rows: keys, x, columns: shape.valueDim, transposed: true)
    backThroughValues(piece, x, strengths, state)
  }

  /// Where channels fade apart: the gradient of the strengths from what erasing takes of the state and of pairs, then the slopes of pairs,
  /// 0 on the diagonal, and of erasers, times −β.
  func backThroughStrengths(
    _ piece: Piece, _ erasers: UnsafePointer<Float>, _ strengths: UnsafePointer<Float>
  ) {
    let d = shape.headDim, base = piece.base, keys = piece.keys.count
    let (pairs, scores, slopes) = (base + layout.pairs, base + layout.scores, base + layout.slopes)
    let extra = base + layout.extra, dBeta = base + layout.deltaStrength, inner = base + layout.inner
    attn_scan_dots(isa, erasers, d, extra, d, inner, 0, keys, d)
    for row in 0..<keys { dBeta[row] -= inner[row] }
    attn_scan_fade(isa, slopes, pairs, scores, 0, keys, keys)
    attn_scan_sums(isa, scores, keys, inner, 0, keys, keys)
    for row in 0..<keys { (dBeta[row], inner[row]) = (dBeta[row] - inner[row], -strengths[row]) }
    attn_scan_scale(isa, slopes, keys, inner, slopes, keys, keys, keys)
    for row in 0..<keys { slopes[row * keys + row] = 0 }
    attn_scan_scale(isa, extra, d, inner, extra, d, keys, d)
  }

  /// dV, the gradient of the strengths, and what erasing says of keys and decays. Keys are loaded, without decays.
  func backThroughDelta(_ piece: Piece, _ decays: ChunkDecays) {
    guard let writing, let x = writtenRow(piece), let state = piece.state else { return }
    let (d, v) = (shape.headDim, shape.valueDim), base = piece.base, keys = piece.keys.count
    let strengths = writing + place(piece), own = base + layout.keys
    let (pairs, fading) = (base + layout.pairs, base + layout.decays), extra = base + layout.extra
    // A with and without β, strictly below the diagonal.
    let isKept = keepsKeys(piece) && piece.first == 0 && piece.rows.count == keys
    if !isKept {
      decays.write(0, keys, scale: 1, to: fading)
      products.transpose(own, stride: d, rows: keys, columns: d, to: base + layout.keyColumns)
    }
    for row in 0..<keys { fading[row * keys + row] = 0 }
    products.multiply(
      .init(own, stride: d), base + layout.keyColumns, keys, into: pairs, stride: keys, rows: keys,
      columns: keys, depth: d, .lower(first: 0))
    attn_scan_fade(isa, pairs, fading, pairs, 0, keys, keys)
    let scores = base + layout.scores, slopes = base + layout.slopes
    solveForValues(piece, x, strengths, state)
    let dBeta = base + layout.deltaStrength, inner = base + layout.inner
    decays.writeRows(0, keys, scale: 1, to: base + layout.rows)
    attn_scan_scale(isa, extra, d, base + layout.rows, extra, d, keys, d)
    attn_scan_dots(isa, own, d, extra, d, inner, 0, keys, d)
    let positions = doubles(piece, layout.positions)
    for row in 0..<keys {
      dBeta[row] -= inner[row]
      positions[row] -= Double(strengths[row]) * Double(inner[row])
      inner[row] = -strengths[row]
    }
    attn_scan_scale(isa, extra, d, inner, extra, d, keys, d)
    attn_axpy(isa, 1, extra, base + layout.keyGradient, keys * d)
    // A, whose gradient is −X V'ᵀ.
    if piece.rows.isEmpty { transposeValues(piece) }
    products.multiply(
      .init(x, stride: v), base + layout.valueColumns, keys, into: slopes, stride: keys, rows: keys,
      columns: keys, depth: v, .lower(first: 0),
      ahead: erasing?.ahead(piece.batch, piece.keyHead, piece.nextKeys, dim: d) ?? attn_ahead())
    // A itself is no longer needed.
    let terms = scores
    attn_scan_fade(isa, slopes, pairs, terms, 0, keys, keys)
    attn_scan_sums(isa, terms, keys, inner, 0, keys, keys)
    for row in 0..<keys { (dBeta[row], inner[row]) = (dBeta[row] - inner[row], -strengths[row]) }
    attn_scan_scale(isa, terms, keys, inner, terms, keys, keys, keys)
    if countsCrossingsOnce(piece) { attn_axpy(isa, 1, base + layout.crossings, terms, keys * keys) }
    attn_scan_crossings(isa, terms, 0, keys, keys, doubles(piece, layout.logGradient))
    attn_scan_fade(isa, slopes, fading, slopes, 0, keys, keys)
    attn_scan_scale(isa, slopes, keys, inner, slopes, keys, keys, keys)
    let matrix = ChunkProducts.Matrix(slopes, stride: keys)
    products.multiply(
      matrix, own, d, into: base + layout.keyGradient, stride: d, rows: keys, columns: d, depth: keys,
      .byLower(first: 0), target: .added,
      ahead: given.ahead(piece.batch, piece.keyHead, piece.nextKeys, dim: v))
    products.multiply(
      matrix.transposed, own, d, into: base + layout.keyGradient, stride: d, rows: keys, columns: d,
      depth: keys, .byLowerTransposed(first: 0), target: .added)
  }
}
