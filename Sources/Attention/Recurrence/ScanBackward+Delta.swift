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
    if isFirst {
      attn_scan_load(
        isa, map.code, key.row(piece.batch, piece.keyHead, piece.keys.lowerBound), key.rowStride, own, d,
        keys, d, 1, map.epsilon)
      if !scan.isByChannel {
        products.packRight(
          .init(own, stride: d).transposed, columns: keys, depth: d, to: base + layout.keyColumns)
        attn_scan_decays(isa, decays(piece).sums, piece.first, rows, keys, base + layout.decays)
      }
    }
    if scan.isByChannel {
      channelPairs(piece).write(base + layout.queries, own, to: scores, stride: keys)
    } else {
      products.packLeft(.init(base + layout.queries, stride: d), rows: rows, depth: d, to: base + layout.left)
      products.multiply(
        base + layout.left, base + layout.keyColumns, into: scores, stride: keys, rows: rows, columns: keys,
        depth: d)
      attn_scan_multiply(isa, scores, base + layout.decays, scores, rows * keys)
    }
    products.packLeft(
      .init(scores, stride: keys).transposed, rows: keys, depth: rows, to: base + layout.left)
    products.packRight(gradients, columns: v, depth: rows, to: base + layout.other)
    products.multiply(
      base + layout.left, base + layout.other, into: target, stride: v, rows: keys, columns: v, depth: rows,
      adds: !isFirst)
  }

  /// Some columns of the gradients of the states behind all chunks, from the last to the first, and of what was written.
  func unwrite(_ head: Int, _ columns: Range<Int>, _ worker: Int) {
    let (d, v) = (shape.headDim, shape.valueDim), map = scan.map, width = columns.count
    let state = running + (head * geometry.stateCount + columns.lowerBound)
    for block in (0..<geometry.keyBlocks).reversed() {
      let piece = self.piece(head, block, worker), base = piece.base, keys = piece.keys.count
      let place = head * geometry.keyBlocks + block
      let slot = slots + (place * geometry.stateCount + columns.lowerBound), own = base + layout.keys
      if keys > 0, let written = writtenRow(piece) {
        attn_scan_load(
          isa, map.code, key.row(piece.batch, piece.keyHead, piece.keys.lowerBound), key.rowStride, own, d,
          keys, d, 1, map.epsilon)
        if scan.isByChannel {
          loadChannels(piece)
          attn_scan_behind(isa, own, base + layout.channels, own, keys, d)
        } else {
          decays(piece).writeKeys(to: base + layout.tails)
          attn_scan_scale(isa, own, d, base + layout.tails, own, d, keys, d)
        }
        products.packLeft(.init(own, stride: d), rows: keys, depth: d, to: base + layout.left)
        products.packRight(.init(state, stride: v), columns: width, depth: d, to: base + layout.other)
        products.multiply(
          base + layout.left, base + layout.other, into: written + columns.lowerBound, stride: v, rows: keys,
          columns: width, depth: d, adds: true)
      }
      for row in 0..<d {
        var factor = factors[scan.isByChannel ? place * d + row : place]
        attn_scan_step(isa, state + row * v, slot + row * v, &factor, 0, 1, width)
      }
      guard keys > 0, let written = writtenRow(piece), let erasing else { continue }
      let erased = erasing.row(piece.batch, piece.keyHead, piece.keys.lowerBound)
      products.packLeft(.init(erased, stride: d).transposed, rows: d, depth: keys, to: base + layout.left)
      products.packRight(
        .init(written + columns.lowerBound, stride: v), columns: width, depth: keys, to: base + layout.other)
      products.multiply(
        base + layout.left, base + layout.other, into: base + layout.held, stride: width, rows: d,
        columns: width, depth: keys)
      for row in 0..<d { attn_axpy(isa, -1, base + layout.held + row * width, state + row * v, width) }
    }
  }

  /// From X, what stands for it in the part of what was written: dV = βX, the gradient of β as far as that of V gives it, and X Hᵀ, whose
  /// negative is that of β e^G K; it stands on the left.
  func backThroughValues(
    _ piece: Piece, _ strengths: UnsafePointer<Float>, _ state: UnsafeMutablePointer<Float>
  ) {
    let (d, v) = (shape.headDim, shape.valueDim), base = piece.base, keys = piece.keys.count
    let x = base + layout.written, values = given.row(piece.batch, piece.keyHead, piece.keys.lowerBound)
    attn_scan_dots(isa, values, given.rowStride, x, v, base + layout.deltaStrength, 0, keys, v)
    attn_scan_scale(
      isa, x, v, strengths, valueGradient.row(piece.batch, piece.keyHead, piece.keys.lowerBound), v, keys, v)
    products.packLeft(.init(x, stride: v), rows: keys, depth: v, to: base + layout.left)
    products.packRight(.init(state, stride: v).transposed, columns: d, depth: v, to: base + layout.other)
    products.multiply(
      base + layout.left, base + layout.other, into: base + layout.extra, stride: d, rows: keys, columns: d,
      depth: v)
  }

  /// dV, the gradient of the strengths, and what erasing says of keys and decays. Keys are loaded, without decays.
  func backThroughDelta(_ piece: Piece, _ decays: ChunkDecays) {
    guard let writing, let source = writtenRow(piece), let state = piece.state else { return }
    let (d, v) = (shape.headDim, shape.valueDim), base = piece.base, keys = piece.keys.count
    let strengths = writing + place(piece), own = base + layout.keys, x = base + layout.written
    let (pairs, fading) = (base + layout.pairs, base + layout.decays), extra = base + layout.extra
    x.update(from: source, count: keys * v)
    // A with and without β, strictly below the diagonal.
    attn_scan_decays(isa, decays.sums, 0, keys, keys, fading)
    for row in 0..<keys { fading[row * keys + row] = 0 }
    products.packLeft(.init(own, stride: d), rows: keys, depth: d, to: base + layout.left)
    products.packRight(
      .init(own, stride: d).transposed, columns: keys, depth: d, to: base + layout.keyColumns)
    products.multiply(
      base + layout.left, base + layout.keyColumns, into: pairs, stride: keys, rows: keys, columns: keys,
      depth: d)
    attn_scan_multiply(isa, pairs, fading, pairs, keys * keys)
    let scores = base + layout.scores, slopes = base + layout.slopes
    attn_scan_scale(isa, pairs, keys, strengths, scores, keys, keys, keys)
    products.solve(scores, rows: keys, x, columns: v, transposed: true)
    let dBeta = base + layout.deltaStrength, inner = base + layout.inner
    backThroughValues(piece, strengths, state)
    decays.writeRows(0, keys, to: base + layout.rows)
    attn_scan_scale(isa, extra, d, base + layout.rows, extra, d, keys, d)
    attn_scan_dots(isa, own, d, extra, d, inner, 0, keys, d)
    let positions = doubles(piece, layout.positions)
    for row in 0..<keys {
      dBeta[row] -= inner[row]
      positions[row] -= Double(strengths[row]) * Double(inner[row])
      attn_axpy(isa, -strengths[row], extra + row * d, base + layout.keyGradient + row * d, d)
    }
    // A, whose gradient is −X V'ᵀ.
    products.packRight(self.values(piece).transposed, columns: keys, depth: v, to: base + layout.valueColumns)
    products.multiply(
      base + layout.left, base + layout.valueColumns, into: slopes, stride: keys, rows: keys, columns: keys,
      depth: v)
    let terms = base + layout.crossings
    attn_scan_multiply(isa, pairs, slopes, terms, keys * keys)
    attn_scan_sums(isa, terms, keys, inner, 0, keys, keys)
    for row in 0..<keys { (dBeta[row], inner[row]) = (dBeta[row] - inner[row], -strengths[row]) }
    attn_scan_scale(isa, terms, keys, inner, terms, keys, keys, keys)
    attn_scan_crossings(terms, 0, keys, keys, doubles(piece, layout.logGradient))
    attn_scan_multiply(isa, slopes, fading, slopes, keys * keys)
    attn_scan_scale(isa, slopes, keys, inner, slopes, keys, keys, keys)
    products.packRight(.init(own, stride: d), columns: d, depth: keys, to: base + layout.keyRows)
    let matrix = ChunkProducts.Matrix(slopes, stride: keys)
    for side in [matrix, matrix.transposed] {
      products.packLeft(side, rows: keys, depth: keys, to: base + layout.left)
      products.multiply(
        base + layout.left, base + layout.keyRows, into: base + layout.keyGradient, stride: d, rows: keys,
        columns: d, depth: keys, adds: true)
    }
  }
}
