import AttentionCore
import CKernels
import Tensors

/// The way back through a chunk of which no channel fades by much: see `ScanForward.fadeKeys`.
///
/// With `q̃_i = q_i Λ_i` and `k̃_j = k_j/Λ_j`: `dq̃ = dO Hᵀ + dP k̃` and `dk̃ = dPᵀ q̃ + …`, and what pairs say of a decay is the difference of
/// what rows behind it take and keys behind it give, or of what keys before it give and rows before it take.
extension ScanBackward {
  /// Keys of a piece as they are behind it, and whether it is gentle; with the delta rule, keys as the recurrence reads them too.
  func fadeKeys(_ piece: Piece, _ block: Int) -> Bool {
    let base = piece.base, d = shape.headDim, keys = piece.keys.count
    guard keys > 0 else {
      base[layout.gentle] = 0
      return false
    }
    let isInPlace = scan.mapsNothing && !scan.recurrence.isDelta
    if !isInPlace { loadKeys(piece) }
    let x = isInPlace ? keyPlace(piece) : .init(base + layout.keys, stride: d)
    let isGentle = attn_scan_behind_all(
      isa, x.base, x.stride, channels(piece), base + layout.fadedKeys, base + layout.totals,
      base + layout.inverses, keys, d)
    base[layout.gentle] = isGentle != 0 && scan.isAligned(block, keys: keys) ? 1 : 0
    guard base[layout.gentle] != 0 else { return false }
    products.transpose(
      base + layout.fadedKeys, stride: d, rows: keys, columns: d, factors: base + layout.inverses,
      to: base + layout.keyColumns)
    return true
  }

  /// Whether a piece that was begun just now is gentle.
  func isGentle(_ piece: Piece, _ block: Int) -> Bool {
    scan.isAligned(block, keys: piece.keys.count) && piece.base[layout.gentle] != 0
  }

  private func keyPlace(_ piece: Piece) -> ChunkProducts.Matrix {
    .init(key.row(piece.batch, piece.keyHead, piece.keys.lowerBound), stride: key.rowStride)
  }

  /// Rows of q as the recurrence reads them, faded from the beginning of the chunk on.
  func fadeRows(_ piece: Piece, _ queryHead: Int) -> ChunkProducts.Matrix {
    let d = shape.headDim, target = piece.base + layout.fadedRows, rows = piece.rows
    if scan.mapsNothing {
      attn_scan_ahead_all(
        isa, query.row(piece.batch, queryHead, rows.lowerBound), query.rowStride,
        Float(scan.recurrence.scale),
        channels(piece), target, rows.count, d)
    } else {
      loadQueries(piece, queryHead)
      attn_scan_ahead_all(isa, queries(piece), d, 1, channels(piece), target, rows.count, d)
    }
    return .init(target, stride: d)
  }

  /// Products of rows and keys that have faded; 0 where a key stands behind a row.
  func pairGently(_ piece: Piece, _ rows: UnsafePointer<Float>, to pairs: UnsafeMutablePointer<Float>) {
    let d = shape.headDim, keys = piece.keys.count
    products.multiply(
      .init(rows, stride: d), piece.base + layout.keyColumns, keys, into: pairs, stride: keys, rows: keys,
      columns: keys, depth: d, .lower(first: 0))
    attn_scan_clear(isa, pairs, 0, keys, keys)
  }

  /// The gradients of the rows and keys of a block.
  func runGently(_ piece: Piece, _ head: Int, _ block: Int) {
    guard let state = piece.state, let gradient = piece.stateGradient, let logGradient else { return }
    let (d, v) = (shape.headDim, shape.valueDim), base = piece.base, keys = piece.keys.count
    (base + layout.channelGradient).update(repeating: 0, count: keys * d)
    products.transpose(gradient, stride: v, rows: d, columns: v, to: base + layout.gradientColumns)
    products.multiply(
      values(piece), base + layout.gradientColumns, d, into: base + layout.stateKeys, stride: d, rows: keys,
      columns: d, depth: v, ahead: key.ahead(piece.batch, piece.keyHead, piece.nextKeys, dim: d))
    if !scan.recurrence.isDelta {
      products.multiply(
        .init(base + layout.fadedKeys, stride: d), gradient, v,
        into: valueGradient.row(piece.batch, piece.keyHead, piece.keys.lowerBound), stride: v, rows: keys,
        columns: v, depth: d, ahead: given.ahead(piece.batch, piece.keyHead, piece.nextKeys, dim: v))
    }
    products.transpose(state, stride: v, rows: d, columns: v, to: base + layout.stateColumns)
    transposeValues(piece)
    var active = 0
    for member in 0..<shape.groupSize {
      active = max(
        active, backGently(piece, piece.keyHead * shape.groupSize + member, isFirst: member == 0))
    }
    addSkip(piece, block)
    if scan.recurrence.isDelta { active = max(active, backThroughGentleDelta(piece, state)) }
    let through = base + layout.few, place = place(piece)
    attn_scan_dots(isa, state, v, gradient, v, through, 0, d, v)
    attn_scan_multiply(isa, through, base + layout.totals, through, d)
    let isInPlace = scan.mapsNothing
    let target = keyGradient.row(piece.batch, piece.keyHead, piece.keys.lowerBound)
    let sums = isInPlace && !scan.recurrence.isDelta ? target : base + layout.keyGradient
    var ways = gentle(
      piece, base + layout.fadedKeys, state: base + layout.stateKeys, pairs: base + layout.pairKeys,
      into: sums, active: active, adds: scan.recurrence.isDelta)
    attn_scan_keys_back(isa, &ways, through, logGradient + place * d)
    if sums != target { writeKeyGradients(of: piece) }
    guard let strengthGradient else { return }
    (strengthGradient + place).update(from: base + layout.deltaStrength, count: keys)
  }

  /// The way back through the decays of rows or keys, from what the state and the pairs give them.
  private func gentle(
    _ piece: Piece, _ faded: UnsafePointer<Float>, state: UnsafePointer<Float>, pairs: UnsafePointer<Float>,
    into gradient: UnsafeMutablePointer<Float>, active: Int, adds: Bool = false
  ) -> attn_gentle {
    attn_gentle(
      decays: channels(piece), inverses: piece.base + layout.inverses, faded: faded, state: state,
      pairs: pairs,
      gradient: gradient, adds: adds ? 1 : 0, logs: piece.base + layout.channelGradient,
      rows: piece.keys.count, dim: shape.headDim, active: active)
  }

  /// Rows up to the last one that gives pairs a gradient.
  private func active(_ piece: Piece) -> Int {
    let slopes = piece.base + layout.slopes, keys = piece.keys.count
    return (0..<keys).last { row in (0...row).contains { slopes[row * keys + $0] != 0 } }.map { $0 + 1 } ?? 0
  }

  /// The way back of one query head: dQ, and what it adds to dK, dV and the decays.
  /// - Returns: rows up to the last one that gives pairs a gradient.
  private func backGently(_ piece: Piece, _ queryHead: Int, isFirst: Bool) -> Int {
    let (d, v) = (shape.headDim, shape.valueDim), base = piece.base, map = scan.map
    let rows = piece.rows.count, keys = piece.keys.count
    let (scores, slopes) = (base + layout.scores, base + layout.slopes), faded = base + layout.fadedRows
    if !keepsQueries(piece) { _ = fadeRows(piece, queryHead) }
    let gradients = outputGradients(piece, queryHead)
    products.multiply(
      gradients, base + layout.stateColumns, d, into: base + layout.extra, stride: d, rows: rows, columns: d,
      depth: v, ahead: outputGradient.ahead(piece.batch, queryHead, piece.nextRows, dim: v),
      also: scan.ahead(of: logs, piece.batch, piece.keyHead, piece.nextKeys))
    products.multiply(
      gradients, base + layout.valueColumns, keys, into: slopes, stride: keys, rows: rows, columns: keys,
      depth: v, .lower(first: 0), ahead: stateAhead(piece))
    attn_scan_clear(isa, slopes, 0, rows, keys)
    if !scan.recurrence.isDelta {
      pairGently(piece, faded, to: scores)
      products.multiply(
        .init(scores, stride: keys).transposed, gradients.base, gradients.stride,
        into: valueGradient.row(piece.batch, piece.keyHead, piece.keys.lowerBound), stride: v, rows: keys,
        columns: v, depth: rows, .byLowerTransposed(first: 0), target: .added)
    }
    let result = queryGradient.row(piece.batch, queryHead, piece.rows.lowerBound)
    let target = base + layout.queryGradient
    backThroughGentlePairs(piece, faded, isFirst: isFirst)
    let active = active(piece)
    var ways = gentle(
      piece, faded, state: base + layout.extra, pairs: base + layout.result, into: target, active: active)
    attn_scan_rows_back(isa, &ways)
    attn_scan_load_backward(
      isa, map.code, query.row(piece.batch, queryHead, piece.rows.lowerBound), query.rowStride,
      queries(piece), target, d,
      result, d, rows, d, Float(scan.recurrence.scale), map.epsilon)
    return active
  }

  /// What the gradients of pairs give rows and keys, but for the decays.
  private func backThroughGentlePairs(_ piece: Piece, _ rows: UnsafePointer<Float>, isFirst: Bool) {
    let d = shape.headDim, base = piece.base, keys = piece.keys.count
    let matrix = ChunkProducts.Matrix(base + layout.slopes, stride: keys)
    products.multiply(
      matrix, base + layout.fadedKeys, d, into: base + layout.result, stride: d, rows: keys, columns: d,
      depth: keys, .byLower(first: 0),
      ahead: keyGradient.ahead(piece.batch, piece.keyHead, piece.nextKeys, dim: d, writes: true))
    products.multiply(
      matrix.transposed, rows, d, into: base + layout.pairKeys, stride: d, rows: keys, columns: d,
      depth: keys,
      .byLowerTransposed(first: 0), target: isFirst ? .replaced : .added,
      ahead: valueGradient.ahead(
        piece.batch, piece.keyHead, piece.nextKeys, dim: shape.valueDim, writes: true))
  }

  /// The delta rule's part: see `backThroughDelta`. Keys erase as rows of q read.
  /// - Returns: rows up to the last one that gives pairs a gradient.
  private func backThroughGentleDelta(_ piece: Piece, _ state: UnsafeMutablePointer<Float>) -> Int {
    guard let writing, let writtenGradient else { return 0 }
    let (d, v) = (shape.headDim, shape.valueDim), base = piece.base, keys = piece.keys.count
    let x = writtenGradient.row(piece.batch, piece.keyHead, piece.keys.lowerBound)
    let strengths = writing + place(piece), erasers = base + layout.erasers, extra = base + layout.extra
    let (pairs, slopes) = (base + layout.pairs, base + layout.slopes)
    attn_scan_ahead_all(isa, base + layout.keys, d, 1, channels(piece), erasers, keys, d)
    pairGently(piece, erasers, to: pairs)
    for row in 0..<keys { pairs[row * keys + row] = 0 }
    solveForValues(piece, x, strengths, state)
    products.multiply(
      .init(x, stride: v), base + layout.valueColumns, keys, into: slopes, stride: keys, rows: keys,
      columns: keys, depth: v, .lower(first: 0),
      ahead: erasing?.ahead(piece.batch, piece.keyHead, piece.nextKeys, dim: d) ?? attn_ahead())
    backThroughStrengths(piece, erasers, strengths)
    attn_scan_clear(isa, slopes, 0, keys, keys)
    backThroughGentlePairs(piece, erasers, isFirst: false)
    let active = active(piece)
    var ways = gentle(
      piece, erasers, state: extra, pairs: base + layout.result, into: base + layout.keyGradient,
      active: active)
    attn_scan_rows_back(isa, &ways)
    return active
  }
}
