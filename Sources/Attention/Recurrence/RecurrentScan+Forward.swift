import AttentionCore
import Basics
import CKernels
import Tensors

extension RecurrentScan {
  /// Where the parts of a forward worker's scratch begin.
  struct ForwardLayout: Sendable {
    let keys: Int, queries: Int, keyColumns: Int, decays: Int, scores: Int, sums: Int, rows: Int
    /// Of the delta rule alone: products of keys.
    let pairs: Int
    /// Of channels that fade apart alone.
    let channels: Int, fadedRows: Int, fadedKeys: Int, unfadedKeys: Int, inverses: Int, gentle: Int
    /// Of a sum of keys alone.
    let ones: Int
    let count: Int

    init(_ scan: RecurrentScan) {
      let (d, chunk) = (scan.shape.headDim, scan.geometry.chunk)
      var layout = ScratchLayout()
      keys = layout.take(chunk * d)
      queries = layout.take(chunk * d)
      keyColumns = layout.take(chunk * d)
      decays = layout.take(chunk * chunk)
      scores = layout.take(chunk * chunk)
      sums = layout.take(2 * chunk)
      rows = layout.take(chunk)
      pairs = layout.take(scan.recurrence.isDelta ? chunk * chunk : 0)
      let apart = scan.isByChannel ? d : 0
      channels = layout.take(apart * chunk)
      fadedRows = layout.take(apart * chunk)
      fadedKeys = layout.take(apart * chunk)
      unfadedKeys = layout.take(apart * chunk)
      inverses = layout.take(apart)
      gentle = layout.take(apart > 0 ? 1 : 0)
      ones = layout.take(scan.geometry.hasNormalizer ? chunk : 0)
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
    let layout = ForwardLayout(self)
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
    let takesHeads = takesHeads(in: context) && relay == nil
    let pass = ScanForward(
      scan: self, products: products, layout: layout, scratch: scratch, query: inputs.query.rows(),
      key: inputs.key.rows(), value: inputs.value.rows(), output: output.rowsForWriting(),
      states: states.pinnedForWriting(), factors: factors.pinnedForWriting(),
      last: last.pinnedForWriting(), inverses: inverses?.pinnedForWriting(),
      padding: OverflowedPadding(), logs: gates?.decays.pinned(), strengths: gates?.strengths?.pinned(),
      written: delta, erasing: erased, inOrder: takesHeads,
      skip: recurrence.skip.map { ScanSkip($0, inputs, shape: shape, isa: products.isa) })
    if takesHeads {
      try ScanLoop.forEach(count: heads, threads: context.threads) { head, worker in
        for block in 0..<geometry.keyBlocks {
          try context.checkCancellation()
          if isDelta {
            pass.prepare(head, block, worker)
            pass.write(head, block, 0..<shape.valueDim, worker)
          } else {
            pass.add(head, block, worker)
            step(
              head, block, block, rows: 0..<shape.headDim, pass.last, pass.states, count: geometry.keyBlocks,
              factors: fades ? pass.factors : nil, in: context)
          }
          try pass.read(head, block, worker)
        }
      }
    } else {
      try ScanLoop.forEach(count: heads * geometry.keyBlocks, threads: context.threads) { index, worker in
        try context.checkCancellation()
        let (head, block) = (index / geometry.keyBlocks, index % geometry.keyBlocks)
        if isDelta { pass.prepare(head, block, worker) } else { pass.add(head, block, worker) }
      }
      if isDelta {
        try overColumns(pass.last, through: relay, in: context) { head, columns, worker in
          for block in 0..<geometry.keyBlocks { pass.write(head, block, columns, worker) }
        }
      } else {
        try scan(
          last, pass.last, pass.states, count: geometry.keyBlocks, factors: fades ? pass.factors : nil,
          reversed: false, through: relay, in: context)
      }
      try ScanLoop.forEach(count: heads * geometry.queryBlocks, threads: context.threads) { index, worker in
        try context.checkCancellation()
        try pass.read(index / geometry.queryBlocks, index % geometry.queryBlocks, worker)
      }
    }
    let kept = Kept(
      states: states, factors: factors, last: last, inverses: inverses, written: written, erasing: erasing,
      overflowed: pass.padding.rows)
    return (output, kept)
  }

  /// Whether threads take whole heads, chunk after chunk while the state stays in the nearest caches; else they share out chunks. The
  /// sums, and so the bits, are the same.
  func takesHeads(in context: ExecutionContext) -> Bool {
    shape.isCausal
      && (geometry.heads % context.threads == 0 || geometry.heads >= 4 * context.threads)
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
  /// Whether the chunks of a head come one after the other.
  let inOrder: Bool
  let skip: ScanSkip?

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

  /// Rows of q as the recurrence reads them.
  func loadQueries(
    _ batch: Int, _ queryHead: Int, _ rows: Range<Int>, _ target: UnsafeMutablePointer<Float>
  ) {
    let (d, map) = (shape.headDim, scan.map)
    attn_scan_load(
      isa, map.code, query.row(batch, queryHead, rows.lowerBound), query.rowStride, target, d, rows.count, d,
      Float(scan.recurrence.scale), map.epsilon)
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
    let (d, v) = (shape.headDim, shape.valueDim)
    let own = base + (scan.isByChannel ? layout.fadedKeys : layout.keys)
    let inPlace = scan.readsInPlace && scan.fades
    if scan.isByChannel {
      fadeKeys(head, block, keys, base)
    } else if !inPlace {
      loadKeys(batch, keyHead, keys, base)
    }
    if !scan.isByChannel, scan.fades {
      let decays = decays(head, keys, base)
      factors[place] = decays.total
      decays.writeKeys(to: base + layout.rows)
      if let strengths = strengths(head, keys) {
        attn_scan_multiply(isa, base + layout.rows, strengths, base + layout.rows, keys.count)
      }
      let from = inPlace ? key.row(batch, keyHead, keys.lowerBound) : own
      attn_scan_scale(
        isa, from, inPlace ? key.rowStride : d, base + layout.rows, own, d, keys.count, d)
    }
    products.multiply(
      .init(own, stride: d).transposed, value.row(batch, keyHead, keys.lowerBound), value.rowStride,
      into: slot, stride: v, rows: d, columns: v, depth: keys.count,
      ahead: key.ahead(batch, keyHead, nextKeys(block, batch), dim: d))
    guard geometry.hasNormalizer else { return }
    let ones = base + layout.ones
    ones.update(repeating: 1, count: keys.count)
    products.combine(ones, own, rows: keys.count, dim: d, into: slot + geometry.matrixCount)
  }

  /// The keys, and rows, of the chunk that comes next.
  func nextKeys(_ block: Int, _ batch: Int) -> Range<Int> {
    inOrder && block + 1 < geometry.keyBlocks ? geometry.keys(block + 1, batch: batch) : 0..<0
  }
  func nextRows(_ block: Int) -> Range<Int> {
    inOrder && block + 1 < geometry.queryBlocks ? geometry.rows(block + 1) : 0..<0
  }

  /// What keys add to the state: values, or with the delta rule what of them the state did not hold.
  var added: Rows { written ?? value }

  /// The outputs of a block of query rows, of every query head of the group.
  func read(_ head: Int, _ block: Int, _ worker: Int) throws {
    let batch = head / shape.keyHeads, keyHead = head % shape.keyHeads
    if block == 0 { clear(batch, keyHead) }
    let rows = geometry.rows(block)
    guard !rows.isEmpty else { return }
    let keys = shape.isCausal ? geometry.keys(block, batch: batch) : 0..<0
    let base = scratch.at(worker * layout.count)
    let first = shape.isCausal ? geometry.first(rows, block) : 0
    let state =
      shape.isCausal
      ? states + (head * geometry.keyBlocks + block) * geometry.stateCount
      : last + head * geometry.stateCount
    let values = added.row(batch, keyHead, keys.lowerBound)
    // A chunk that has just been prepared has its keys, and what they fade by, in the scratch.
    let isPrepared = inOrder && scan.recurrence.isDelta && first == 0 && rows.count == keys.count
    var channels = UnsafePointer(base)
    let gentle = scan.isByChannel ? gentleRows(head, block, keys, base) : 0, isGentle = gentle == rows.count
    if scan.isByChannel {
      channels = self.channels(head, keys, to: first + rows.count, base)
      if isGentle, !isPrepared { exchangeKeys(keys.count, base) }
      if !isGentle, !keys.isEmpty, !isPrepared { loadKeys(batch, keyHead, keys, base) }
    } else {
      let decays = decays(head, keys, base)
      if scan.fades {
        decays.writeRows(first, rows.count, scale: scan.fadingScale, to: base + layout.rows)
      } else if scan.scalesRows {
        (base + layout.rows).update(repeating: scan.fadingScale, count: rows.count)
      }
      if !keys.isEmpty, !isPrepared {
        loadPairs(batch, keyHead, keys, first, rows.count, block, decays, base)
      }
    }
    for member in 0..<shape.groupSize {
      let queryHead = keyHead * shape.groupSize + member
      if scan.isByChannel {
        readChannels(
          batch, queryHead, block, rows, keys.count, first, gentle: gentle, channels, state, values, base)
      } else {
        read(batch, queryHead, block, rows, keys.count, first, state, values, base)
      }
      try refuse(batch, queryHead, rows, keys, first, state, isGentle: isGentle, base)
      skip?.add(batch, queryHead, rows, to: output)
    }
  }

  /// Keys, their rows and columns exchanged, and what they fade by up to rows.
  private func loadPairs(
    _ batch: Int, _ keyHead: Int, _ keys: Range<Int>, _ first: Int, _ rows: Int, _ block: Int,
    _ decays: ChunkDecays, _ base: UnsafeMutablePointer<Float>
  ) {
    let d = shape.headDim, inPlace = scan.readsInPlace
    // Keys that do not fade are those that were just added to the state.
    if !inPlace, !inOrder || scan.fades { loadKeys(batch, keyHead, keys, base) }
    products.transpose(
      inPlace ? key.row(batch, keyHead, keys.lowerBound) : base + layout.keys,
      stride: inPlace ? key.rowStride : d, rows: keys.count, columns: d, to: base + layout.keyColumns)
    guard scan.fadesPairs else { return }
    if inOrder, block > 0, scan.keepsDecays(of: block, from: block - 1, batch: batch) { return }
    decays.write(first, rows, scale: scan.fadingScale, to: base + layout.decays)
    let head = batch * shape.keyHeads + keyHead
    if !scan.recurrence.isDelta, let strengths = strengths(head, keys) {
      ChunkDecays.scale(base + layout.decays, rows: rows, by: strengths, keys: keys.count, isa: isa)
    }
  }

  private func read(
    _ batch: Int, _ queryHead: Int, _ block: Int, _ rows: Range<Int>, _ keys: Int, _ first: Int,
    _ state: UnsafeMutablePointer<Float>, _ values: UnsafePointer<Float>, _ base: UnsafeMutablePointer<Float>
  ) {
    let (d, v) = (shape.headDim, shape.valueDim), count = rows.count
    let own = base + layout.queries, scores = base + layout.scores
    let target = output.row(batch, queryHead, rows.lowerBound)
    var left = ChunkProducts.Matrix(own, stride: d)
    if scan.readsInPlace {
      left = .init(query.row(batch, queryHead, rows.lowerBound), stride: query.rowStride)
    } else {
      loadQueries(batch, queryHead, rows, own)
    }
    products.multiply(
      left, state, v, into: target, stride: v, rows: count, columns: v, depth: d,
      factors: scan.scalesRows ? UnsafePointer(base + layout.rows) : nil,
      ahead: value.ahead(batch, shape.keyHead(of: queryHead), nextKeys(block, batch), dim: v))
    if keys > 0 {
      products.multiply(
        left, base + layout.keyColumns, keys, into: scores, stride: keys, rows: count, columns: keys,
        depth: d,
        .lower(first: first),
        ahead: query.ahead(batch, queryHead, nextRows(block), dim: d))
      if scan.fadesPairs {
        attn_scan_fade(isa, scores, base + layout.decays, scores, first, count, keys)
      } else {
        attn_scan_clear(isa, scores, first, count, keys)
      }
      products.multiply(
        .init(scores, stride: keys), values, added.rowStride, into: target, stride: v, rows: count,
        columns: v,
        depth: keys, .byLower(first: first), target: .added,
        ahead: output.ahead(batch, queryHead, nextRows(block), dim: v, writes: true))
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
