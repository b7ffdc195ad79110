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
  let slots: PinnedView<Float>, running: PinnedView<Float>
  let logs: PinnedView<Float>?, strengths: PinnedView<Float>?
  /// Of the delta rule: v as it was given, strengths, what is erased by, what chunks fade by, and the gradient of what was written.
  let given: Rows, writing: PinnedView<Float>?, erasing: Rows?, factors: PinnedView<Float>
  let writtenGradient: Rows?
  let logGradient: PinnedView<Float>?, strengthGradient: PinnedView<Float>?

  /// One piece: rows, keys, and the states that they touch.
  struct Piece {
    var batch: Int, keyHead: Int
    var rows = 0..<0, keys = 0..<0
    /// Where the first row stands among the keys.
    var first = 0
    /// The state that rows read.
    var state: UnsafeMutablePointer<Float>?
    /// The gradient of the state that keys were added to.
    var stateGradient: UnsafeMutablePointer<Float>?
    let base: UnsafeMutablePointer<Float>
  }

  var isa: Int32 { products.isa }
  var shape: AttentionShape { scan.shape }
  var geometry: ScanGeometry { scan.geometry }

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
    piece.stateGradient = slots + (head * geometry.keyBlocks + block) * size
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

  /// The gradient of what was read, `dO/(z·q + ε)` with a normaliser, whose own gradient is written too.
  func outputGradients(_ piece: Piece, _ queryHead: Int) -> ChunkProducts.Matrix {
    let given = outputGradient.row(piece.batch, queryHead, piece.rows.lowerBound)
    guard let inverses else { return .init(given, stride: outputGradient.rowStride) }
    let v = shape.valueDim, count = piece.rows.count, own = piece.base + layout.normalizers
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
    let slot = slots + (head * geometry.queryBlocks + block) * geometry.stateCount
    let (d, v, count) = (shape.headDim, shape.valueDim, piece.rows.count), base = piece.base
    guard count > 0 else {
      clearWritten(piece)
      return slot.update(repeating: 0, count: geometry.stateCount)
    }
    if geometry.hasNormalizer { (slot + geometry.matrixCount).update(repeating: 0, count: d) }
    if scan.isByChannel {
      loadChannels(piece)
    } else if scan.fades {
      decays(piece).writeRows(piece.first, count, to: base + layout.rows)
    }
    for member in 0..<shape.groupSize {
      let queryHead = piece.keyHead * shape.groupSize + member, own = queries(piece)
      loadQueries(piece, queryHead)
      let gradients = outputGradients(piece, queryHead)
      if scan.recurrence.isDelta { addWritten(piece, gradients, isFirst: member == 0) }
      if scan.isByChannel {
        let all = base + layout.queries
        attn_scan_ahead(isa, all, base + layout.channels, all, piece.first, piece.first + count, d)
      } else if scan.fades {
        attn_scan_scale(isa, own, d, base + layout.rows, own, d, count, d)
      }
      products.packLeft(.init(own, stride: d).transposed, rows: d, depth: count, to: base + layout.left)
      products.packRight(gradients, columns: v, depth: count, to: base + layout.other)
      products.multiply(
        base + layout.left, base + layout.other, into: slot, stride: v, rows: d, columns: v, depth: count,
        adds: member > 0)
      guard geometry.hasNormalizer else { continue }
      for row in 0..<count {
        attn_axpy(isa, base[layout.normalizers + row], own + row * d, slot + geometry.matrixCount, d)
      }
    }
  }

  /// The gradients of the rows and keys of a block.
  func run(_ head: Int, _ block: Int, _ worker: Int) {
    let piece = piece(head, block, worker), base = piece.base
    if block == 0 { clear(piece) }
    let keys = piece.keys.count, rows = piece.rows.count
    let decays = decays(piece)
    if scan.fades {
      decays.writeRows(piece.first, rows, to: base + layout.rows)
      if keys > 0 { decays.writeKeys(to: base + layout.tails) }
    }
    if keys > 0 { startKeys(piece) }
    if scan.isGated { clearGates(piece) }
    if rows > 0 { pack(piece, decays) }
    for member in 0..<(rows > 0 ? shape.groupSize : 0) {
      back(piece, piece.keyHead * shape.groupSize + member)
    }
    if scan.recurrence.isDelta, keys > 0 { backThroughDelta(piece, decays) }
    if keys > 0 { backThroughState(piece) }
    if scan.isGated, keys > 0 { writeGates(piece, decays) }
  }

  /// Keys as the recurrence reads them, and zeros for the gradients of keys and values.
  func startKeys(_ piece: Piece) {
    let (d, v, map) = (shape.headDim, shape.valueDim, scan.map), base = piece.base, keys = piece.keys.count
    attn_scan_load(
      isa, map.code, key.row(piece.batch, piece.keyHead, piece.keys.lowerBound), key.rowStride,
      base + layout.keys, d, keys, d, 1, map.epsilon)
    (base + layout.keyGradient).update(repeating: 0, count: keys * d)
    valueGradient.row(piece.batch, piece.keyHead, piece.keys.lowerBound).update(repeating: 0, count: keys * v)
  }

  /// Packs what all query heads of a group are multiplied by.
  func pack(_ piece: Piece, _ decays: ChunkDecays) {
    let (d, v) = (shape.headDim, shape.valueDim), keys = piece.keys.count, base = piece.base
    if let state = piece.state {
      products.packRight(
        .init(state, stride: v).transposed, columns: d, depth: v, to: base + layout.stateColumns)
    }
    guard keys > 0 else { return }
    let own = ChunkProducts.Matrix(base + layout.keys, stride: d)
    products.packRight(own.transposed, columns: keys, depth: d, to: base + layout.keyColumns)
    products.packRight(own, columns: d, depth: keys, to: base + layout.keyRows)
    products.packRight(values(piece).transposed, columns: keys, depth: v, to: base + layout.valueColumns)
    attn_scan_decays(isa, decays.sums, piece.first, piece.rows.count, keys, base + layout.decays)
    (base + layout.ones).update(repeating: 1, count: keys)
  }

  func values(_ piece: Piece) -> ChunkProducts.Matrix {
    .init(value.row(piece.batch, piece.keyHead, piece.keys.lowerBound), stride: value.rowStride)
  }

  /// The way back of one query head: dQ, and what it adds to dK and dV.
  private func back(_ piece: Piece, _ queryHead: Int) {
    let (d, v) = (shape.headDim, shape.valueDim), base = piece.base, map = scan.map
    let rows = piece.rows.count, keys = piece.keys.count
    let queries = base + layout.queries, target = base + layout.queryGradient
    loadQueries(piece, queryHead)
    let gradients = outputGradients(piece, queryHead)
    products.packLeft(gradients, rows: rows, depth: v, to: base + layout.left)
    products.multiply(
      base + layout.left, base + layout.stateColumns, into: target, stride: d, rows: rows, columns: d,
      depth: v)
    if geometry.hasNormalizer, let state = piece.state {
      attn_scan_outer(
        isa, base + layout.normalizers, state + geometry.matrixCount, target, d, rows, d)
    }
    if scan.fades { attn_scan_scale(isa, target, d, base + layout.rows, target, d, rows, d) }
    if scan.isGated, keys > 0 { noteReading(piece) }
    if keys > 0 {
      backThroughPairs(piece, gradients, target)
      let own = valueGradient.row(piece.batch, piece.keyHead, piece.keys.lowerBound)
      let (scores, slopes) = (base + layout.scores, base + layout.slopes)
      products.packLeft(
        .init(slopes, stride: keys).transposed, rows: keys, depth: rows, to: base + layout.left)
      products.packRight(.init(queries, stride: d), columns: d, depth: rows, to: base + layout.other)
      products.multiply(
        base + layout.left, base + layout.other, into: base + layout.keyGradient, stride: d, rows: keys,
        columns: d, depth: rows, adds: true)
      if !scan.recurrence.isDelta {
        products.packLeft(
          .init(scores, stride: keys).transposed, rows: keys, depth: rows, to: base + layout.left)
        products.packRight(gradients, columns: v, depth: rows, to: base + layout.other)
        products.multiply(
          base + layout.left, base + layout.other, into: own, stride: v, rows: keys, columns: v, depth: rows,
          adds: true)
      }
    }
    attn_scan_load_backward(
      isa, map.code, query.row(piece.batch, queryHead, piece.rows.lowerBound), query.rowStride, target, d,
      queryGradient.row(piece.batch, queryHead, piece.rows.lowerBound), d, rows, d,
      Float(scan.recurrence.scale), map.epsilon)
  }

  /// The products of rows and keys of one chunk and their gradients; adds to that of the queries. The packed gradient of the output
  /// stands on the left.
  private func backThroughPairs(
    _ piece: Piece, _ gradients: ChunkProducts.Matrix, _ target: UnsafeMutablePointer<Float>
  ) {
    let (d, v) = (shape.headDim, shape.valueDim), base = piece.base
    let rows = piece.rows.count, keys = piece.keys.count
    let (scores, slopes) = (base + layout.scores, base + layout.slopes)
    products.multiply(
      base + layout.left, base + layout.valueColumns, into: slopes, stride: keys, rows: rows, columns: keys,
      depth: v)
    if geometry.hasNormalizer {
      attn_scan_outer(isa, base + layout.normalizers, base + layout.ones, slopes, keys, rows, keys)
    }
    products.packLeft(.init(base + layout.queries, stride: d), rows: rows, depth: d, to: base + layout.left)
    products.multiply(
      base + layout.left, base + layout.keyColumns, into: scores, stride: keys, rows: rows, columns: keys,
      depth: d)
    attn_scan_multiply(isa, scores, base + layout.decays, scores, rows * keys)
    if let strengths = strengths(piece) { noteCrossings(piece, strengths) }
    attn_scan_multiply(isa, slopes, base + layout.decays, slopes, rows * keys)
    if let strengths = strengths(piece) {
      for matrix in [scores, slopes] {
        ChunkDecays.scale(matrix, rows: rows, by: strengths, keys: keys, isa: isa)
      }
    }
    products.packLeft(.init(slopes, stride: keys), rows: rows, depth: keys, to: base + layout.left)
    products.multiply(
      base + layout.left, base + layout.keyRows, into: target, stride: d, rows: rows, columns: d, depth: keys,
      adds: true)
  }

  /// What the state behind a chunk gives its keys and values; then the keys' gradient goes through their map.
  private func backThroughState(_ piece: Piece) {
    let (d, v) = (shape.headDim, shape.valueDim), base = piece.base, keys = piece.keys.count
    let own = base + layout.keys, sums = base + layout.keyGradient, extra = base + layout.extra
    if let gradient = piece.stateGradient {
      let matrix = ChunkProducts.Matrix(gradient, stride: v)
      products.packLeft(values(piece), rows: keys, depth: v, to: base + layout.left)
      products.packRight(matrix.transposed, columns: d, depth: v, to: base + layout.other)
      products.multiply(
        base + layout.left, base + layout.other, into: extra, stride: d, rows: keys, columns: d, depth: v)
      if geometry.hasNormalizer {
        for row in 0..<keys { attn_axpy(isa, 1, gradient + geometry.matrixCount, extra + row * d, d) }
      }
      if scan.fades {
        attn_scan_scale(isa, extra, d, base + layout.tails, extra, d, keys, d)
        if scan.isGated { attn_scan_dots(isa, own, d, extra, d, base + layout.stateDots, 0, keys, d) }
        attn_scan_scale(isa, own, d, base + layout.tails, own, d, keys, d)
      }
      if let strengths = strengths(piece) {
        attn_scan_scale(isa, extra, d, strengths, extra, d, keys, d)
        attn_scan_scale(isa, own, d, strengths, own, d, keys, d)
      }
      attn_axpy(isa, 1, extra, sums, keys * d)
      if !scan.recurrence.isDelta {
        addValueGradients(own, matrix, of: piece)
      }
    }
    writeKeyGradients(of: piece)
  }

  /// Adds `A·M` to the gradients of a piece's values: A, one row a key, M the gradient of the state behind them.
  func addValueGradients(_ a: UnsafePointer<Float>, _ matrix: ChunkProducts.Matrix, of piece: Piece) {
    let (d, v) = (shape.headDim, shape.valueDim), base = piece.base, keys = piece.keys.count
    products.packLeft(.init(a, stride: d), rows: keys, depth: d, to: base + layout.left)
    products.packRight(matrix, columns: v, depth: d, to: base + layout.other)
    products.multiply(
      base + layout.left, base + layout.other,
      into: valueGradient.row(piece.batch, piece.keyHead, piece.keys.lowerBound), stride: v, rows: keys,
      columns: v, depth: d, adds: true)
  }

  /// The gradients of a piece's keys, through their map, from those of what the scan read.
  func writeKeyGradients(of piece: Piece) {
    let d = shape.headDim, map = scan.map, first = piece.keys.lowerBound
    attn_scan_load_backward(
      isa, map.code, key.row(piece.batch, piece.keyHead, first), key.rowStride,
      piece.base + layout.keyGradient, d, keyGradient.row(piece.batch, piece.keyHead, first), d,
      piece.keys.count, d, 1, map.epsilon)
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
