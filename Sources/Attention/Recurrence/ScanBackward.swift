import AttentionCore
import CKernels
import Tensors

/// The chunks of a backward pass.
struct ScanBackward: Sendable {
  let scan: RecurrentScan
  let products: ChunkProducts
  let layout: RecurrentScan.BackwardLayout
  let scratch: Region
  let query: Rows, key: Rows, value: Rows, output: Rows, outputGradient: Rows
  let queryGradient: Rows, keyGradient: Rows, valueGradient: Rows
  let states: PinnedView<Float>, last: PinnedView<Float>, inverses: PinnedView<Float>?
  /// What query blocks give the state before them; after the scan the gradients of the states behind chunks.
  let slots: PinnedView<Float>, slotBlocks: Int, inOrder: Bool, running: PinnedView<Float>
  let logs: PinnedView<Float>?, strengths: PinnedView<Float>?
  /// Of the delta rule: v as it was given, strengths, what is erased by, what chunks fade by, and the gradient of what was written.
  let given: Rows, writing: PinnedView<Float>?, erasing: Rows?, factors: PinnedView<Float>
  let writtenGradient: Rows?
  let logGradient: PinnedView<Float>?, strengthGradient: PinnedView<Float>?
  /// What passes by the state, and the parts of its gradient: one a query head and block.
  let skip: ScanSkip?, skipParts: PinnedView<Float>?, blocks: Int

  /// One piece: rows, keys, and the states that they touch.
  struct Piece {
    var batch: Int, keyHead: Int
    var rows = 0..<0, keys = 0..<0
    /// Where the first row stands among the keys.
    var first = 0
    /// The rows and keys of the chunk that comes next, and the state that these rows read; empty where nobody knows.
    var nextRows = 0..<0, nextKeys = 0..<0, nextState: UnsafePointer<Float>?
    /// Whether its pairs fade as those of the chunk before it in this pass do, and the scratch still has by what.
    var hasDecays = false
    /// The state that rows read.
    var state: UnsafeMutablePointer<Float>?
    /// The gradient of the state that keys were added to.
    var stateGradient: UnsafeMutablePointer<Float>?
    let base: UnsafeMutablePointer<Float>
  }

  var isa: Int32 { products.isa }
  var shape: AttentionShape { scan.shape }
  var geometry: ScanGeometry { scan.geometry }

  /// What query blocks give the state before a chunk, then the gradient of the state behind it; one for all chunks of a head where they
  /// come one after the other.
  func slot(_ head: Int, _ block: Int) -> UnsafeMutablePointer<Float> {
    slots + (head * slotBlocks + min(block, slotBlocks - 1)) * geometry.stateCount
  }

  func piece(_ head: Int, _ block: Int, _ worker: Int) -> Piece {
    var piece = Piece(
      batch: head / shape.keyHeads, keyHead: head % shape.keyHeads, base: scratch.at(worker * layout.count))
    let size = geometry.stateCount
    guard shape.isCausal else {
      if block < geometry.queryBlocks {
        piece.rows = geometry.rows(block)
        piece.state = last + head * size
      } else {
        piece.keys = geometry.keys(block - geometry.queryBlocks, batch: piece.batch)
        piece.stateGradient = running + head * size
      }
      return piece
    }
    piece.rows = geometry.rows(block)
    piece.keys = geometry.keys(block, batch: piece.batch)
    piece.first = geometry.first(piece.rows, block)
    piece.state = states + (head * geometry.keyBlocks + block) * size
    piece.stateGradient = slot(head, block)
    if inOrder, block + 1 < geometry.keyBlocks {
      piece.hasDecays = scan.keepsDecays(of: block, from: block + 1, batch: piece.batch)
    }
    guard inOrder, block > 0 else { return piece }
    piece.nextRows = geometry.rows(block - 1)
    piece.nextKeys = geometry.keys(block - 1, batch: piece.batch)
    piece.nextState = piece.state.map { UnsafePointer($0 - size) }
    return piece
  }

  func decays(_ piece: Piece) -> ChunkDecays {
    precondition(!scan.isByChannel, "channels have no common sum")
    return scan.decays(
      piece.keyHead, count: piece.keys.count, logs: logs.map { UnsafePointer($0 + place(piece)) }, isa: isa,
      sums: doubles(piece, layout.sums))
  }

  func doubles(_ piece: Piece, _ part: Int) -> UnsafeMutablePointer<Double> {
    UnsafeMutableRawPointer(piece.base + part).bindMemory(to: Double.self, capacity: geometry.chunk)
  }

  /// Where the first key of a piece stands among all gates.
  func place(_ piece: Piece) -> Int {
    (piece.batch * shape.keyHeads + piece.keyHead) * shape.keyLength + piece.keys.lowerBound
  }

  /// How strongly the keys of a piece are written, where that is data.
  func strengths(_ piece: Piece) -> UnsafePointer<Float>? {
    strengths.map { UnsafePointer($0 + place(piece)) }
  }

  /// Where the rows of q lie in their part: from their place in the chunk on where channels fade apart.
  func queries(_ piece: Piece) -> UnsafeMutablePointer<Float> {
    piece.base + layout.queries + (scan.isByChannel ? piece.first * shape.headDim : 0)
  }

  /// Rows of q as the recurrence reads them.
  func loadQueries(_ piece: Piece, _ queryHead: Int) {
    let (d, map) = (shape.headDim, scan.map)
    attn_scan_load(
      isa, map.code, query.row(piece.batch, queryHead, piece.rows.lowerBound), query.rowStride,
      queries(piece), d, piece.rows.count, d, Float(scan.recurrence.scale), map.epsilon)
  }

  /// Rows of q, loaded unless they are read in place.
  func queryRows(_ piece: Piece, _ queryHead: Int, isKept: Bool = false) -> ChunkProducts.Matrix {
    if scan.readsInPlace {
      return .init(query.row(piece.batch, queryHead, piece.rows.lowerBound), stride: query.rowStride)
    }
    if !isKept { loadQueries(piece, queryHead) }
    return .init(queries(piece), stride: shape.headDim)
  }

  /// Whether the scratch still has the keys of a piece, and under the delta rule its rows' products with them: each chunk of a head is
  /// taken from its first step to its last.
  func keepsKeys(_ piece: Piece) -> Bool { inOrder && scan.recurrence.isDelta && !piece.rows.isEmpty }

  /// Whether it has the rows of q too, of the one query head that there is.
  func keepsQueries(_ piece: Piece) -> Bool { inOrder && shape.groupSize == 1 }

  /// Keys of a piece that are loaded, or read in place.
  func keyRows(_ piece: Piece) -> ChunkProducts.Matrix {
    scan.readsInPlace
      ? .init(key.row(piece.batch, piece.keyHead, piece.keys.lowerBound), stride: key.rowStride)
      : .init(piece.base + layout.keys, stride: shape.headDim)
  }

  /// Where the gradient of a piece's keys is summed.
  func keySums(_ piece: Piece) -> UnsafeMutablePointer<Float> {
    scan.readsInPlace
      ? keyGradient.row(piece.batch, piece.keyHead, piece.keys.lowerBound) : piece.base + layout.keyGradient
  }

  /// The gradient of what was read, `dO/(z·q + ε)` with a normaliser, whose own gradient is written too.
  /// - Parameter isKept: whether the scratch has it.
  func outputGradients(_ piece: Piece, _ queryHead: Int, isKept: Bool = false) -> ChunkProducts.Matrix {
    let given = outputGradient.row(piece.batch, queryHead, piece.rows.lowerBound)
    guard let inverses else { return .init(given, stride: outputGradient.rowStride) }
    let v = shape.valueDim, count = piece.rows.count, own = piece.base + layout.normalizers
    if isKept { return .init(piece.base + layout.outputs, stride: v) }
    let place = (piece.batch * shape.queryHeads + queryHead) * shape.queryLength + piece.rows.lowerBound
    let inverse = inverses + place
    attn_scan_dots(
      isa, given, outputGradient.rowStride, output.row(piece.batch, queryHead, piece.rows.lowerBound),
      output.rowStride, own, 0, count, v)
    for row in 0..<count { own[row] *= -inverse[row] }
    attn_scan_scale(
      isa, given, outputGradient.rowStride, inverse, piece.base + layout.outputs, v, count, v)
    return .init(piece.base + layout.outputs, stride: v)
  }

  /// What the rows of a block give the state before it.
  func add(_ head: Int, _ block: Int, _ worker: Int) {
    let piece = piece(head, block, worker)
    let slot = slot(head, block)
    let (d, v, count) = (shape.headDim, shape.valueDim, piece.rows.count), base = piece.base
    guard count > 0 else {
      clearWritten(piece)
      return slot.update(repeating: 0, count: geometry.stateCount)
    }
    let isGentle = scan.isByChannel && fadeKeys(piece, block)
    if !scan.isByChannel { writeRows(piece) }
    for member in 0..<shape.groupSize {
      let queryHead = piece.keyHead * shape.groupSize + member
      let read = isGentle ? fadeRows(piece, queryHead) : queryRows(piece, queryHead)
      let faded = isGentle ? base + layout.fadedRows : base + layout.queryGradient
      let own = scan.isByChannel ? faded + piece.first * d : scan.scalesRows ? faded : queries(piece)
      let gradients = outputGradients(piece, queryHead)
      if scan.recurrence.isDelta { addWritten(piece, gradients, isFirst: member == 0) }
      if isGentle {
        // Rows have faded already.
      } else if scan.isByChannel {
        let all = base + layout.queries
        attn_scan_ahead(isa, all, channels(piece), faded, piece.first, piece.first + count, d)
      } else if scan.scalesRows {
        attn_scan_scale(isa, read.base, read.stride, base + layout.rows, faded, d, count, d)
      }
      products.multiply(
        .init(own, stride: d).transposed, gradients.base, gradients.stride, into: slot, stride: v, rows: d,
        columns: v, depth: count, target: member > 0 ? .added : .replaced,
        ahead: query.ahead(piece.batch, queryHead, piece.nextRows, dim: d))
      guard geometry.hasNormalizer else { continue }
      products.combine(
        base + layout.normalizers, own, rows: count, dim: d, into: slot + geometry.matrixCount,
        target: member > 0 ? .added : .replaced)
    }
  }

  /// The gradients of the rows and keys of a block.
  func run(_ head: Int, _ block: Int, _ worker: Int) {
    if scan.isByChannel { return runChannels(head, block, worker) }
    let piece = piece(head, block, worker), base = piece.base
    if block == 0 { clear(piece) }
    let keys = piece.keys.count, rows = piece.rows.count
    let decays = decays(piece)
    writeRows(piece)
    if keys > 0 {
      if scan.fades { decays.writeKeys(to: base + layout.tails) }
      if !scan.readsInPlace, !keepsKeys(piece) { loadKeys(piece) }
      backThroughState(piece)
    }
    if scan.isGated { clearGates(piece) }
    if rows > 0 { transpose(piece, decays) }
    for member in 0..<(rows > 0 ? shape.groupSize : 0) {
      back(piece, piece.keyHead * shape.groupSize + member)
    }
    addSkip(piece, block)
    guard keys > 0 else { return }
    if scan.recurrence.isDelta { backThroughDelta(piece, decays) }
    if !scan.readsInPlace { writeKeyGradients(of: piece) }
    if scan.isGated { writeGates(piece, decays) }
  }

  /// What the rows of a block give the values that pass by the state, and its factors.
  func addSkip(_ piece: Piece, _ block: Int) {
    guard let skip, let skipParts else { return }
    for member in 0..<shape.groupSize {
      let head = piece.keyHead * shape.groupSize + member
      skipParts[(piece.batch * shape.queryHeads + head) * blocks + block] = skip.addGradient(
        outputGradient, piece.batch, head, piece.rows, to: valueGradient)
    }
  }

  /// What rows of the state are multiplied by where they are read.
  private func writeRows(_ piece: Piece) {
    guard scan.scalesRows else { return }
    let (rows, target) = (piece.rows.count, piece.base + layout.rows)
    if scan.fades {
      decays(piece).writeRows(piece.first, rows, scale: scan.fadingScale, to: target)
    } else {
      target.update(repeating: scan.fadingScale, count: rows)
    }
  }

  /// Keys as the recurrence reads them.
  func loadKeys(_ piece: Piece) {
    let (d, map) = (shape.headDim, scan.map)
    attn_scan_load(
      isa, map.code, key.row(piece.batch, piece.keyHead, piece.keys.lowerBound), key.rowStride,
      piece.base + layout.keys, d, piece.keys.count, d, 1, map.epsilon)
  }

  /// Exchanges rows and columns of what all query heads of a group are multiplied by.
  func transpose(_ piece: Piece, _ decays: ChunkDecays) {
    let (d, v) = (shape.headDim, shape.valueDim), keys = piece.keys.count, base = piece.base
    if let state = piece.state {
      products.transpose(state, stride: v, rows: d, columns: v, to: base + layout.stateColumns)
    }
    guard keys > 0 else { return }
    transposeValues(piece)
    if !keepsKeys(piece) {
      let own = keyRows(piece)
      products.transpose(own.base, stride: own.stride, rows: keys, columns: d, to: base + layout.keyColumns)
      if scan.fadesPairs, !piece.hasDecays {
        decays.write(piece.first, piece.rows.count, scale: scan.fadingScale, to: base + layout.decays)
      }
    }
    (base + layout.ones).update(repeating: 1, count: keys)
  }

  func transposeValues(_ piece: Piece) {
    let values = values(piece)
    products.transpose(
      values.base, stride: values.stride, rows: piece.keys.count, columns: shape.valueDim,
      to: piece.base + layout.valueColumns)
  }

  func values(_ piece: Piece) -> ChunkProducts.Matrix {
    .init(value.row(piece.batch, piece.keyHead, piece.keys.lowerBound), stride: value.rowStride)
  }

  /// The way back of one query head: dQ, and what it adds to dK and dV.
  private func back(_ piece: Piece, _ queryHead: Int) {
    let (d, v) = (shape.headDim, shape.valueDim), base = piece.base, map = scan.map
    let rows = piece.rows.count, keys = piece.keys.count
    let first = piece.rows.lowerBound, read = queryRows(piece, queryHead, isKept: keepsQueries(piece))
    let result = queryGradient.row(piece.batch, queryHead, first)
    let target = scan.readsInPlace ? result : base + layout.queryGradient
    let gradients = outputGradients(piece, queryHead, isKept: keepsQueries(piece))
    products.multiply(
      gradients, base + layout.stateColumns, d, into: target, stride: d, rows: rows, columns: d, depth: v,
      factors: scan.scalesRows && !geometry.hasNormalizer ? UnsafePointer(base + layout.rows) : nil,
      ahead: outputGradient.ahead(piece.batch, queryHead, piece.nextRows, dim: v))
    if geometry.hasNormalizer, let state = piece.state {
      attn_scan_outer(
        isa, base + layout.normalizers, state + geometry.matrixCount, target, d, rows, d)
    }
    if geometry.hasNormalizer, scan.fades {
      attn_scan_scale(isa, target, d, base + layout.rows, target, d, rows, d)
    }
    if scan.isGated, keys > 0 { noteReading(piece, read, target) }
    if keys > 0 {
      backThroughPairs(piece, queryHead, read, gradients, target)
      let own = valueGradient.row(piece.batch, piece.keyHead, piece.keys.lowerBound)
      let (scores, slopes) = (base + layout.scores, base + layout.slopes)
      products.multiply(
        .init(slopes, stride: keys).transposed, read.base, read.stride, into: keySums(piece), stride: d,
        rows: keys, columns: d, depth: rows, .byLowerTransposed(first: piece.first), target: .added,
        ahead: valueGradient.ahead(piece.batch, piece.keyHead, piece.nextKeys, dim: v, writes: true))
      if !scan.recurrence.isDelta {
        products.multiply(
          .init(scores, stride: keys).transposed, gradients.base, gradients.stride, into: own, stride: v,
          rows: keys, columns: v, depth: rows, .byLowerTransposed(first: piece.first), target: .added)
      }
    }
    if scan.readsInPlace { return }
    attn_scan_load_backward(
      isa, map.code, query.row(piece.batch, queryHead, piece.rows.lowerBound), query.rowStride,
      queries(piece), target, d,
      result, d, rows, d, Float(scan.recurrence.scale), map.epsilon)
  }

  /// The products of rows and keys of one chunk and their gradients; adds to that of the queries.
  private func backThroughPairs(
    _ piece: Piece, _ queryHead: Int, _ read: ChunkProducts.Matrix, _ gradients: ChunkProducts.Matrix,
    _ target: UnsafeMutablePointer<Float>
  ) {
    let (d, v) = (shape.headDim, shape.valueDim), base = piece.base, first = piece.first
    let rows = piece.rows.count, keys = piece.keys.count
    let (scores, slopes) = (base + layout.scores, base + layout.slopes)
    products.multiply(
      gradients, base + layout.valueColumns, keys, into: slopes, stride: keys, rows: rows, columns: keys,
      depth: v, .lower(first: first), ahead: stateAhead(piece))
    if geometry.hasNormalizer {
      attn_scan_outer(isa, base + layout.normalizers, base + layout.ones, slopes, keys, rows, keys)
    }
    if !(keepsKeys(piece) && keepsQueries(piece)) {
      products.multiply(
        read, base + layout.keyColumns, keys, into: scores, stride: keys,
        rows: rows, columns: keys, depth: d, .lower(first: first),
        ahead: queryGradient.ahead(piece.batch, queryHead, piece.nextRows, dim: d, writes: true))
      fade(scores, piece)
    }
    if let strengths = strengths(piece) { noteCrossings(piece, strengths) }
    fade(slopes, piece)
    if let strengths = strengths(piece), !scan.recurrence.isDelta {
      for matrix in [scores, slopes] {
        ChunkDecays.scale(matrix, rows: rows, by: strengths, keys: keys, isa: isa)
      }
    }
    let own = keyRows(piece)
    products.multiply(
      .init(slopes, stride: keys), own.base, own.stride, into: target, stride: d, rows: rows, columns: d,
      depth: keys, .byLower(first: first), target: .added,
      ahead: keyGradient.ahead(piece.batch, piece.keyHead, piece.nextKeys, dim: d, writes: true))
  }

  /// Fades products of rows and keys; those of keys behind a row are 0.
  private func fade(_ pairs: UnsafeMutablePointer<Float>, _ piece: Piece) {
    let rows = piece.rows.count, keys = piece.keys.count
    guard scan.fadesPairs else { return attn_scan_clear(isa, pairs, piece.first, rows, keys) }
    attn_scan_fade(isa, pairs, piece.base + layout.decays, pairs, piece.first, rows, keys)
  }

  /// The gradients of a piece's keys, through their map, from those of what the scan read.
  func writeKeyGradients(of piece: Piece) {
    let d = shape.headDim, map = scan.map, first = piece.keys.lowerBound
    attn_scan_load_backward(
      isa, map.code, key.row(piece.batch, piece.keyHead, first), key.rowStride,
      piece.base + layout.keys, piece.base + layout.keyGradient, d,
      keyGradient.row(piece.batch, piece.keyHead, first), d,
      piece.keys.count, d, 1, map.epsilon)
  }

  /// The state that the rows of the next chunk read.
  func stateAhead(_ piece: Piece) -> attn_ahead {
    guard let state = piece.nextState else { return attn_ahead() }
    let v = shape.valueDim
    return attn_ahead(base: state, stride: v, rows: shape.headDim, columns: v, writes: 0)
  }

  /// What takes no part has the gradient 0: rows that read no state, keys behind the end of a sequence.
  func clear(_ piece: Piece) {
    let (d, v) = (shape.headDim, shape.valueDim), count = geometry.covered.lowerBound
    for member in 0..<(count > 0 ? shape.groupSize : 0) {
      queryGradient.row(piece.batch, piece.keyHead * shape.groupSize + member, 0).update(
        repeating: 0, count: count * d)
    }
    let valid = shape.validKeys(batch: piece.batch), rest = shape.keyLength - valid
    guard rest > 0 else { return }
    keyGradient.row(piece.batch, piece.keyHead, valid).update(repeating: 0, count: rest * d)
    valueGradient.row(piece.batch, piece.keyHead, valid).update(repeating: 0, count: rest * v)
  }
}
