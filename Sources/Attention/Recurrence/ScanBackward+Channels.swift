import AttentionCore
import CKernels
import Tensors

/// The way back through a chunk whose channels fade apart. Every decay is a product that rows or keys go through, so the gradients of log
/// decays are what those ways back say: sums of what crosses a token.
extension ScanBackward {
  /// Behind the last key and the last row of a chunk.
  private func end(_ piece: Piece) -> Int {
    max(piece.keys.count, piece.rows.isEmpty ? 0 : piece.first + piece.rows.count)
  }

  /// What channels fade by before the tokens of a chunk; 1 behind the last key. Read where it lies if there is no such token.
  func channels(_ piece: Piece) -> UnsafePointer<Float> {
    let d = shape.headDim, own = piece.base + layout.channels, keys = piece.keys.count, end = end(piece)
    guard let logs else { return UnsafePointer(own) }
    guard end > keys else { return UnsafePointer(logs + place(piece) * d) }
    own.update(from: logs + place(piece) * d, count: keys * d)
    (own + keys * d).update(repeating: 1, count: (end - keys) * d)
    return UnsafePointer(own)
  }

  /// Products of the rows and keys of a piece, or with `ofKeys` of its keys with themselves.
  func channelPairs(_ piece: Piece, ofKeys: Bool = false) -> ChannelPairs {
    let base = piece.base, keys = piece.keys.count
    return ChannelPairs(
      blocks: scan.blocks, products: products, dim: shape.headDim, decays: channels(piece),
      rows: ofKeys ? 0..<keys : piece.first..<piece.first + piece.rows.count, keys: keys,
      scratch: .init(
        rows: base + layout.fadedRows, keys: base + layout.fadedKeys, result: base + layout.result,
        few: base + layout.few))
  }

  /// The gradients of the rows and keys of a block.
  func runChannels(_ head: Int, _ block: Int, _ worker: Int) {
    let piece = piece(head, block, worker), base = piece.base, d = shape.headDim
    let keys = piece.keys.count
    if block == 0 { clear(piece) }
    if inOrder ? isGentle(piece, block) : fadeKeys(piece, block) { return runGently(piece, head, block) }
    (base + layout.channelGradient).update(repeating: 0, count: end(piece) * d)
    if keys > 0 {
      if !keepsKeys(piece) { loadKeys(piece) }
      (base + layout.keyGradient).update(repeating: 0, count: keys * d)
      backThroughChannelState(piece)
    }
    for member in 0..<(piece.rows.isEmpty ? 0 : shape.groupSize) {
      backChannels(piece, piece.keyHead * shape.groupSize + member)
    }
    guard keys > 0 else { return }
    if scan.recurrence.isDelta { backThroughChannelDelta(piece) }
    writeKeyGradients(of: piece)
    writeChannelGates(piece, factors + (head * geometry.keyBlocks + block) * d)
  }

  /// The way back of one query head: dQ, and what it adds to dK, dV and the decays.
  private func backChannels(_ piece: Piece, _ queryHead: Int) {
    guard let state = piece.state else { return }
    let (d, v) = (shape.headDim, shape.valueDim), base = piece.base, map = scan.map
    let rows = piece.rows.count, keys = piece.keys.count, shift = piece.first * d
    let target = base + layout.queryGradient, read = base + layout.extra, logs = base + layout.channelGradient
    if !keepsQueries(piece) { loadQueries(piece, queryHead) }
    let gradients = outputGradients(piece, queryHead)
    products.transpose(state, stride: v, rows: d, columns: v, to: base + layout.stateColumns)
    products.multiply(
      gradients, base + layout.stateColumns, d, into: read + shift, stride: d, rows: rows, columns: d,
      depth: v, ahead: outputGradient.ahead(piece.batch, queryHead, piece.nextRows, dim: v))
    (target + shift).update(repeating: 0, count: rows * d)
    if keys > 0 {
      let (scores, slopes) = (base + layout.scores, base + layout.slopes)
      transposeValues(piece)
      products.multiply(
        gradients, base + layout.valueColumns, keys, into: slopes, stride: keys, rows: rows, columns: keys,
        depth: v, .lower(first: piece.first), ahead: stateAhead(piece))
      let pairs = channelPairs(piece), own = base + layout.keys
      if !scan.recurrence.isDelta {
        pairs.write(base + layout.queries, own, to: scores, stride: keys)
        products.multiply(
          .init(scores, stride: keys).transposed, gradients.base, gradients.stride,
          into: valueGradient.row(piece.batch, piece.keyHead, piece.keys.lowerBound), stride: v, rows: keys,
          columns: v, depth: rows, .byLowerTransposed(first: piece.first), target: .added)
      }
      pairs.back(
        slopes, stride: keys, base + layout.queries, own, dq: target, dk: base + layout.keyGradient,
        dLogs: logs)
    }
    attn_scan_ahead_back(
      isa, read, channels(piece), base + layout.queries, target, logs, piece.first, piece.first + rows,
      d)
    attn_scan_load_backward(
      isa, map.code, query.row(piece.batch, queryHead, piece.rows.lowerBound), query.rowStride,
      queries(piece), target + shift, d,
      queryGradient.row(piece.batch, queryHead, piece.rows.lowerBound), d, rows, d,
      Float(scan.recurrence.scale), map.epsilon)
  }

  /// The delta rule's part: see `backThroughDelta`.
  private func backThroughChannelDelta(_ piece: Piece) {
    guard let writing, let writtenGradient, let state = piece.state else { return }
    let (d, v) = (shape.headDim, shape.valueDim), base = piece.base, keys = piece.keys.count
    let strengths = writing + place(piece), own = base + layout.keys
    let x = writtenGradient.row(piece.batch, piece.keyHead, piece.keys.lowerBound)
    let (pairs, slopes, extra) = (base + layout.pairs, base + layout.slopes, base + layout.extra)
    let faded = base + layout.fadedRows, channels = channels(piece)
    let products = channelPairs(piece, ofKeys: true)
    products.write(own, own, to: pairs, stride: keys)
    for row in 0..<keys { pairs[row * keys + row] = 0 }
    solveForValues(piece, x, strengths, state)
    // A, whose gradient is −X V'ᵀ.
    if piece.rows.isEmpty { transposeValues(piece) }
    self.products.multiply(
      .init(x, stride: v), base + layout.valueColumns, keys, into: slopes, stride: keys, rows: keys,
      columns: keys, depth: v, .lower(first: 0))
    attn_scan_ahead(isa, own, channels, faded, 0, keys, d)
    backThroughStrengths(piece, faded, strengths)
    let (target, logs) = (base + layout.keyGradient, base + layout.channelGradient)
    attn_scan_ahead_back(isa, extra, channels, own, target, logs, 0, keys, d)
    products.back(slopes, stride: keys, own, own, dq: target, dk: target, dLogs: logs)
  }

  /// What the state behind a chunk gives its keys, values and decays; others add to the gradient of the values.
  private func backThroughChannelState(_ piece: Piece) {
    guard let gradient = piece.stateGradient else { return }
    let (d, v) = (shape.headDim, shape.valueDim), base = piece.base, keys = piece.keys.count
    let own = base + layout.keys, sums = base + layout.keyGradient, extra = base + layout.extra
    let faded = base + layout.fadedKeys
    products.transpose(gradient, stride: v, rows: d, columns: v, to: base + layout.gradientColumns)
    products.multiply(
      values(piece), base + layout.gradientColumns, d, into: extra, stride: d, rows: keys, columns: d,
      depth: v, ahead: key.ahead(piece.batch, piece.keyHead, piece.nextKeys, dim: d))
    attn_scan_behind(isa, own, channels(piece), faded, keys, d)
    attn_scan_behind_back(
      isa, extra, channels(piece), own, sums, base + layout.channelGradient, keys, d)
    if !scan.recurrence.isDelta {
      products.multiply(
        .init(faded, stride: d), gradient, v,
        into: valueGradient.row(piece.batch, piece.keyHead, piece.keys.lowerBound), stride: v, rows: keys,
        columns: v, depth: d, ahead: given.ahead(piece.batch, piece.keyHead, piece.nextKeys, dim: v))
    }
  }

  /// The gradients of log decays: what crosses a token within the chunk, and what goes through all of it by the state.
  private func writeChannelGates(_ piece: Piece, _ factors: UnsafePointer<Float>) {
    guard let logGradient, let state = piece.state, let gradient = piece.stateGradient else { return }
    let (d, v) = (shape.headDim, shape.valueDim), base = piece.base, keys = piece.keys.count
    let through = base + layout.few, sums = base + layout.channelGradient
    attn_scan_dots(isa, state, v, gradient, v, through, 0, d, v)
    attn_scan_multiply(isa, through, factors, through, d)
    let target = logGradient + place(piece) * d
    target.update(from: sums, count: keys * d)
    for key in 0..<keys { attn_axpy(isa, 1, through, target + key * d, d) }
    guard let strengthGradient else { return }
    (strengthGradient + place(piece)).update(from: base + layout.deltaStrength, count: keys)
  }
}
