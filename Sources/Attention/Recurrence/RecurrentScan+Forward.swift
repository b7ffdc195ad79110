import AttentionCore
import Basics
import CKernels
import Synchronization
import Tensors

extension RecurrentScan {
  /// Where the parts of a forward worker's scratch begin.
  struct ForwardLayout: Sendable {
    let keys: Int, queries: Int, decays: Int, scores: Int, sums: Int, rows: Int
    /// Of the delta rule alone: products of keys, and what a slice of the state holds for them.
    let pairs: Int, held: Int
    /// Of channels that fade apart alone.
    let channels: Int, fadedRows: Int, fadedKeys: Int, few: Int
    let left: Int, keyPack: Int, valuePack: Int, statePack: Int
    let count: Int

    init(_ scan: RecurrentScan, _ products: ChunkProducts) {
      let (d, v, chunk) = (scan.shape.headDim, scan.shape.valueDim, scan.geometry.chunk)
      var layout = ScratchLayout()
      keys = layout.take(chunk * d)
      queries = layout.take(chunk * d)
      decays = layout.take(chunk * chunk)
      scores = layout.take(chunk * chunk)
      sums = layout.take(2 * chunk)
      rows = layout.take(chunk)
      pairs = layout.take(scan.recurrence.isDelta ? chunk * chunk : 0)
      held = layout.take(scan.recurrence.isDelta ? chunk * RecurrentScan.columnsOfPiece : 0)
      let apart = scan.isByChannel ? d : 0
      channels = layout.take(apart * chunk)
      fadedRows = layout.take(apart * chunk)
      fadedKeys = layout.take(apart * chunk)
      few = layout.take(apart)
      left = layout.take(
        max(
          products.leftCount(rows: chunk, depth: max(chunk, d)), products.leftCount(rows: d, depth: chunk)))
      keyPack = layout.take(products.rightCount(columns: chunk, depth: d))
      valuePack = layout.take(products.rightCount(columns: v, depth: chunk))
      statePack = layout.take(products.rightCount(columns: v, depth: d))
      count = layout.count
    }
  }

  /// Output, and what the way back keeps.
  /// - Parameters:
  ///   - inputs: q, k and v.
  ///   - gates: decays and strengths, where they are data.
  ///   - state: the state before the first key, `[batch, keyHeads, state]`; `nil`: zeros.
  ///   - relay: the other parts of the sequence; `nil`: there are none.
  ///   - context: threads, instruction set and ledger.
  /// - Throws: `StateOverflow`, `MemoryLimitExceeded`, `CancellationRequested`; what the relay throws.
  func forward(
    _ inputs: Operands, _ gates: ScanGates.Values? = nil, from state: Tensor?,
    through relay: (any StateRelay)? = nil, in context: ExecutionContext
  ) throws -> (output: Tensor, kept: Kept) {
    inputs.check(shape)
    let products = ChunkProducts(isa: context.instructionSet.code, count: count)
    let layout = ForwardLayout(self, products)
    let size = geometry.stateCount, heads = geometry.heads
    var states = try context.empty([heads, geometry.keyBlocks, size])
    var factors = try context.empty([heads, geometry.keyBlocks, factorCount])
    var last =
      try state.map { try Tensor($0.array(), shape: [heads, size], ledger: context.ledger) }
      ?? context.zeros([heads, size])
    var inverses = try recurrence.normalizer.map { _ in try context.empty(shape.lseShape) }
    var output = try context.empty(shape.outputShape)
    let scratch = try Region([workers(geometry.keyBlocks, context), layout.count], in: context.ledger)
    let isDelta = recurrence.isDelta
    var written = isDelta ? try context.empty(shape.valueShape) : nil
    var erasing = isDelta ? try context.empty(shape.keyShape) : nil
    let delta = written?.rowsForWriting(), erased = erasing?.rowsForWriting()
    let pass = ScanForward(
      scan: self, products: products, layout: layout, scratch: scratch, query: inputs.query.rows(),
      key: inputs.key.rows(), value: inputs.value.rows(), output: output.rowsForWriting(),
      states: states.pinnedForWriting(), factors: factors.pinnedForWriting(),
      last: last.pinnedForWriting(), inverses: inverses?.pinnedForWriting(),
      padding: OverflowedPadding(), logs: gates?.decays.pinned(), strengths: gates?.strengths?.pinned(),
      written: delta, erasing: erased)
    try Parallel.forEach(count: heads * geometry.keyBlocks, threads: context.threads) { index, worker in
      try context.checkCancellation()
      let (head, block) = (index / geometry.keyBlocks, index % geometry.keyBlocks)
      if isDelta { pass.prepare(head, block, worker) } else { pass.add(head, block, worker) }
    }
    if isDelta {
      try overColumns(pass.last, through: relay, in: context) { pass.write($0, $1, $2) }
    } else {
      try scan(
        last, pass.last, pass.states, count: geometry.keyBlocks, factors: fades ? pass.factors : nil,
        reversed: false, through: relay, in: context)
    }
    try Parallel.forEach(count: heads * geometry.queryBlocks, threads: context.threads) { index, worker in
      try context.checkCancellation()
      try pass.read(index / geometry.queryBlocks, index % geometry.queryBlocks, worker)
    }
    let kept = Kept(
      states: states, factors: factors, last: last, inverses: inverses, written: written, erasing: erasing,
      overflowed: pass.padding.rows)
    return (output, kept)
  }

  /// Workers of a pass over blocks of all heads.
  func workers(_ blocks: Int, _ context: ExecutionContext) -> Int {
    min(
      context.threads,
      max(1, geometry.heads * max(blocks, geometry.queryBlocks, recurrence.isDelta ? columnPieces : 0)))
  }
}

/// The chunks of a forward pass.
struct ScanForward: Sendable {
  let scan: RecurrentScan
  let products: ChunkProducts
  let layout: RecurrentScan.ForwardLayout
  let scratch: Region
  let query: Rows, key: Rows, value: Rows, output: Rows
  let states: PinnedView<Float>, factors: PinnedView<Float>, last: PinnedView<Float>
  let inverses: PinnedView<Float>?
  let padding: OverflowedPadding
  let logs: PinnedView<Float>?, strengths: PinnedView<Float>?
  /// With the delta rule, what is written in place of v, and what is erased by.
  let written: Rows?, erasing: Rows?

  var isa: Int32 { products.isa }
  var shape: AttentionShape { scan.shape }
  var geometry: ScanGeometry { scan.geometry }

  /// The summed log decays stand in the scratch as Doubles.
  func decays(
    _ head: Int, _ keys: Range<Int>, _ base: UnsafeMutablePointer<Float>
  ) -> ChunkDecays {
    precondition(!scan.isByChannel, "channels have no common sum")
    let sums = UnsafeMutableRawPointer(base + layout.sums).bindMemory(
      to: Double.self, capacity: geometry.chunk)
    let place = head * shape.keyLength + keys.lowerBound
    return scan.decays(
      head % shape.keyHeads, count: keys.count, logs: logs.map { UnsafePointer($0 + place) }, isa: isa,
      sums: sums)
  }

  /// How strongly keys are written, where that is data.
  func strengths(_ head: Int, _ keys: Range<Int>) -> UnsafePointer<Float>? {
    strengths.map { UnsafePointer($0 + (head * shape.keyLength + keys.lowerBound)) }
  }

  func loadKeys(_ batch: Int, _ keyHead: Int, _ keys: Range<Int>, _ base: UnsafeMutablePointer<Float>) {
    let (d, map) = (shape.headDim, scan.map)
    attn_scan_load(
      isa, map.code, key.row(batch, keyHead, keys.lowerBound), key.rowStride, base + layout.keys, d,
      keys.count, d, 1, map.epsilon)
  }

  /// What a chunk adds to the state, and what it fades it by.
  func add(_ head: Int, _ block: Int, _ worker: Int) {
    let batch = head / shape.keyHeads, keyHead = head % shape.keyHeads
    let keys = geometry.keys(block, batch: batch), place = head * geometry.keyBlocks + block
    let slot = states + place * geometry.stateCount, base = scratch.at(worker * layout.count)
    guard !keys.isEmpty else {
      slot.update(repeating: 0, count: geometry.stateCount)
      keepAll(place)
      return
    }
    let (d, v) = (shape.headDim, shape.valueDim), own = base + layout.keys
    loadKeys(batch, keyHead, keys, base)
    if scan.isByChannel {
      fadeKeys(head, keys, place, base)
    } else if scan.fades {
      let decays = decays(head, keys, base)
      factors[place] = decays.total
      decays.writeKeys(to: base + layout.rows)
      if let strengths = strengths(head, keys) {
        attn_scan_multiply(isa, base + layout.rows, strengths, base + layout.rows, keys.count)
      }
      attn_scan_scale(isa, own, d, base + layout.rows, own, d, keys.count, d)
    }
    products.packLeft(.init(own, stride: d).transposed, rows: d, depth: keys.count, to: base + layout.left)
    products.packRight(
      .init(value.row(batch, keyHead, keys.lowerBound), stride: value.rowStride), columns: v,
      depth: keys.count, to: base + layout.valuePack)
    products.multiply(
      base + layout.left, base + layout.valuePack, into: slot, stride: v, rows: d, columns: v,
      depth: keys.count)
    guard geometry.hasNormalizer else { return }
    (slot + geometry.matrixCount).update(repeating: 0, count: d)
    attn_column_sums(isa, own, slot + geometry.matrixCount, keys.count, d, d)
  }

  /// What keys add to the state: values, or with the delta rule what of them the state did not hold.
  private var added: Rows { written ?? value }

  /// The outputs of a block of query rows, of every query head of the group.
  func read(_ head: Int, _ block: Int, _ worker: Int) throws {
    let batch = head / shape.keyHeads, keyHead = head % shape.keyHeads
    if block == 0 { clear(batch, keyHead) }
    let rows = geometry.rows(block)
    guard !rows.isEmpty else { return }
    let keys = shape.isCausal ? geometry.keys(block, batch: batch) : 0..<0
    let base = scratch.at(worker * layout.count), (d, v) = (shape.headDim, shape.valueDim)
    let first = shape.isCausal ? geometry.first(rows, block) : 0
    let state =
      shape.isCausal
      ? states + (head * geometry.keyBlocks + block) * geometry.stateCount
      : last + head * geometry.stateCount
    products.packRight(.init(state, stride: v), columns: v, depth: d, to: base + layout.statePack)
    if scan.isByChannel {
      loadChannels(head, keys, to: first + rows.count, base)
      if !keys.isEmpty {
        loadKeys(batch, keyHead, keys, base)
        products.packRight(
          .init(added.row(batch, keyHead, keys.lowerBound), stride: added.rowStride), columns: v,
          depth: keys.count, to: base + layout.valuePack)
      }
    } else if !keys.isEmpty {
      let decays = decays(head, keys, base)
      loadKeys(batch, keyHead, keys, base)
      products.packRight(
        .init(base + layout.keys, stride: d).transposed, columns: keys.count, depth: d,
        to: base + layout.keyPack)
      products.packRight(
        .init(added.row(batch, keyHead, keys.lowerBound), stride: added.rowStride), columns: v,
        depth: keys.count, to: base + layout.valuePack)
      attn_scan_decays(isa, decays.sums, first, rows.count, keys.count, base + layout.decays)
      if !scan.recurrence.isDelta, let strengths = strengths(head, keys) {
        ChunkDecays.scale(
          base + layout.decays, rows: rows.count, by: strengths, keys: keys.count, isa: isa)
      }
    }
    if scan.fades, !scan.isByChannel {
      decays(head, keys, base).writeRows(first, rows.count, to: base + layout.rows)
    }
    for member in 0..<shape.groupSize {
      let queryHead = keyHead * shape.groupSize + member
      if scan.isByChannel {
        readChannels(batch, queryHead, rows, keys.count, first, state, base)
      } else {
        read(batch, queryHead, rows, keys.count, state, base)
      }
      try refuse(batch, queryHead, rows, keys, first, state, base)
    }
  }

  /// Refuses rows whose output is not finite; notes those that are padding, and nobody's result.
  private func refuse(
    _ batch: Int, _ queryHead: Int, _ rows: Range<Int>, _ keys: Range<Int>, _ first: Int,
    _ state: UnsafeMutablePointer<Float>, _ base: UnsafeMutablePointer<Float>
  ) throws {
    let v = shape.valueDim, target = output.row(batch, queryHead, rows.lowerBound)
    guard attn_scan_finite(isa, target, v, rows.count, v) == 0 else { return }
    let bad = rows.filter { attn_scan_finite(isa, target + ($0 - rows.lowerBound) * v, v, 1, v) == 0 }
    guard bad.allSatisfy({ shape.isPaddedQuery(batch: batch, query: $0) }) else {
      let row = firstOverflow(batch, shape.keyHead(of: queryHead), rows.count, keys, first, state, base)
      throw StateOverflow(batch: batch, head: queryHead, query: rows.lowerBound + row)
    }
    let start = (batch * shape.queryHeads + queryHead) * shape.queryLength
    padding.note(bad.map { start + $0 })
  }

  /// The first row whose own terms have no finite sum: in the products of a chunk a later key that is not finite spoils earlier rows
  /// too.
  private func firstOverflow(
    _ batch: Int, _ keyHead: Int, _ rows: Int, _ keys: Range<Int>, _ first: Int,
    _ state: UnsafeMutablePointer<Float>, _ base: UnsafeMutablePointer<Float>
  ) -> Int {
    let (d, v) = (shape.headDim, shape.valueDim)
    let own = base + layout.queries + (scan.isByChannel ? first * d : 0)
    func dot(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, step: Int) -> Double {
      (0..<d).reduce(0.0) { $0 + Double(a[$1]) * Double(b[$1 * step]) }
    }
    func isFinite(_ row: Int) -> Bool {
      let query = own + row * d, last = min(first + row + 1, keys.count)
      let products = (0..<last).map { dot(query, base + layout.keys + $0 * d, step: 1) }
      return (0..<v).allSatisfy { c in
        let sum = products.enumerated().reduce(dot(query, state + c, step: v)) {
          $0 + $1.element * Double(added.row(batch, keyHead, keys.lowerBound + $1.offset)[c])
        }
        return Float(sum).isFinite
      }
    }
    return (0..<rows).first { !isFinite($0) } ?? 0
  }

  private func read(
    _ batch: Int, _ queryHead: Int, _ rows: Range<Int>, _ keys: Int, _ state: UnsafeMutablePointer<Float>,
    _ base: UnsafeMutablePointer<Float>
  ) {
    let (d, v) = (shape.headDim, shape.valueDim), map = scan.map, count = rows.count
    let own = base + layout.queries, scores = base + layout.scores
    let target = output.row(batch, queryHead, rows.lowerBound)
    attn_scan_load(
      isa, map.code, query.row(batch, queryHead, rows.lowerBound), query.rowStride, own, d, count, d,
      Float(scan.recurrence.scale), map.epsilon)
    products.packLeft(.init(own, stride: d), rows: count, depth: d, to: base + layout.left)
    products.multiply(
      base + layout.left, base + layout.statePack, into: target, stride: v, rows: count, columns: v, depth: d)
    if scan.fades { attn_scan_scale(isa, target, v, base + layout.rows, target, v, count, v) }
    if keys > 0 {
      products.multiply(
        base + layout.left, base + layout.keyPack, into: scores, stride: keys, rows: count, columns: keys,
        depth: d)
      attn_scan_multiply(isa, scores, base + layout.decays, scores, count * keys)
      products.packLeft(.init(scores, stride: keys), rows: count, depth: keys, to: base + layout.left)
      products.multiply(
        base + layout.left, base + layout.valuePack, into: target, stride: v, rows: count, columns: v,
        depth: keys, adds: true)
    }
    guard let epsilon = scan.recurrence.normalizer, let inverses else { return }
    let inverse = inverses + ((batch * shape.queryHeads + queryHead) * shape.queryLength + rows.lowerBound)
    attn_scan_dots(isa, own, d, state + geometry.matrixCount, 0, inverse, 0, count, d)
    if scan.fades { attn_scan_multiply(isa, inverse, base + layout.rows, inverse, count) }
    if keys > 0 { attn_scan_sums(isa, scores, keys, inverse, 1, count, keys) }
    for row in 0..<count {
      let sum = inverse[row] + Float(epsilon)
      inverse[row] = sum == 0 ? 0 : 1 / sum
    }
    attn_scan_scale(isa, target, v, inverse, target, v, count, v)
  }

  /// Rows that read no state have the output 0: those before the first key.
  private func clear(_ batch: Int, _ keyHead: Int) {
    let count = geometry.covered.lowerBound
    for member in 0..<(count > 0 ? shape.groupSize : 0) {
      let queryHead = keyHead * shape.groupSize + member
      output.row(batch, queryHead, 0).update(repeating: 0, count: count * shape.valueDim)
      guard let inverses else { continue }
      let start = (batch * shape.queryHeads + queryHead) * shape.queryLength
      (inverses + start).update(repeating: 0, count: count)
    }
  }
}

/// Padded rows whose outputs single precision does not hold, as blocks find them.
final class OverflowedPadding: Sendable {
  private let found = Mutex<[Int]>([])
  func note(_ rows: [Int]) { found.withLock { $0 += rows } }
  /// In rising order, whoever found them first.
  var rows: [Int] { found.withLock { $0.sorted() } }
}
