import AttentionCore
import Basics
import CKernels
import Tensors

extension RecurrentScan {
  /// Where the parts of a backward worker's scratch begin.
  struct BackwardLayout: Sendable {
    let keys: Int, queries: Int, keyGradient: Int, queryGradient: Int, outputs: Int, extra: Int
    let decays: Int, scores: Int, slopes: Int
    let sums: Int, rows: Int, tails: Int, normalizers: Int, ones: Int
    /// Of gates alone.
    let crossings: Int, strengthGradient: Int, inner: Int, stateDots: Int, logGradient: Int, positions: Int
    /// Of the delta rule alone.
    let pairs: Int, deltaStrength: Int
    /// Of channels that fade apart alone.
    let channels: Int, fadedRows: Int, fadedKeys: Int, few: Int, result: Int, channelGradient: Int
    /// Of chunks that are gentle: what all of them fades a channel by, its inverse, and what the state and the pairs give their keys.
    let gentle: Int, totals: Int, inverses: Int, stateKeys: Int, pairKeys: Int, erasers: Int
    /// Keys, values, the state and its gradient, rows and columns exchanged.
    let keyColumns: Int, valueColumns: Int, stateColumns: Int, gradientColumns: Int
    let count: Int

    init(_ scan: RecurrentScan) {
      let (d, v, chunk) = (scan.shape.headDim, scan.shape.valueDim, scan.geometry.chunk)
      var layout = ScratchLayout()
      keys = layout.take(chunk * d)
      queries = layout.take(chunk * d)
      keyGradient = layout.take(chunk * d)
      queryGradient = layout.take(chunk * d)
      outputs = layout.take(chunk * v)
      extra = layout.take(chunk * d)
      decays = layout.take(chunk * chunk)
      scores = layout.take(chunk * chunk)
      slopes = layout.take(chunk * chunk)
      sums = layout.take(2 * chunk)
      rows = layout.take(chunk)
      tails = layout.take(chunk)
      normalizers = layout.take(chunk)
      ones = layout.take(chunk)
      let apart = scan.isByChannel ? d : 0
      channels = layout.take(apart * chunk)
      fadedRows = layout.take(apart * chunk)
      fadedKeys = layout.take(apart * chunk)
      few = layout.take(apart * (ChannelBlocks.base + 1))
      result = layout.take(apart * chunk)
      channelGradient = layout.take(apart * chunk)
      gentle = layout.take(apart > 0 ? 1 : 0)
      totals = layout.take(apart)
      inverses = layout.take(apart)
      stateKeys = layout.take(apart * chunk)
      pairKeys = layout.take(apart * chunk)
      erasers = layout.take(scan.recurrence.isDelta ? apart * chunk : 0)
      let gated = scan.isGated ? chunk : 0
      crossings = layout.take(gated * chunk)
      strengthGradient = layout.take(gated)
      inner = layout.take(gated)
      stateDots = layout.take(gated)
      logGradient = layout.take(2 * gated)
      positions = layout.take(2 * gated)
      let delta = scan.recurrence.isDelta ? chunk : 0
      pairs = layout.take(delta * chunk)
      deltaStrength = layout.take(delta)
      keyColumns = layout.take(chunk * d)
      valueColumns = layout.take(chunk * v)
      stateColumns = layout.take(d * v)
      gradientColumns = layout.take(d * v)
      count = layout.count
    }
  }

  /// The gradients of q, k and v, of decays and strengths, and of the state before the first key, from those of the output and of the
  /// state behind all keys. With a relay the gradients of states come from the part behind, and go to the part before.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`; what the relay throws.
  func backward(
    _ outputGradient: Tensor, behind: Tensor? = nil, _ inputs: Operands, _ gates: ScanGates.Values? = nil,
    output: Tensor, _ kept: Kept, through relay: (any StateRelay)? = nil, in context: ExecutionContext
  ) throws -> (inputs: Operands, gates: ScanGates.Values?, before: Tensor) {
    let products = ChunkProducts(isa: context.instructionSet.code, count: count)
    let layout = BackwardLayout(self)
    let size = geometry.stateCount, heads = geometry.heads
    let takesHeads = takesHeads(in: context) && relay == nil
    let slotBlocks = takesHeads ? 1 : geometry.queryBlocks
    var slots = try context.empty([heads, slotBlocks, size])
    var running =
      try behind.map { try Tensor($0.array(), shape: [heads, size], ledger: context.ledger) }
      ?? context.zeros([heads, size])
    var query = try context.empty(shape.queryShape), key = try context.empty(shape.keyShape)
    var value = try context.empty(shape.valueShape)
    var gateGradient = try gates.map { gates in
      ScanGates.Values(
        decays: try context.empty(gates.decays.shape),
        strengths: try gates.strengths.map { try context.empty($0.shape) })
    }
    // The parts that the delta rule shares with others read what was written, with a strength of 1.
    let isDelta = recurrence.isDelta
    var ones = try isDelta ? context.empty([heads, shape.keyLength]) : nil
    ones?.fill(1)
    var writtenGradient = try isDelta ? context.empty(shape.valueShape) : nil
    let blocks = shape.isCausal ? geometry.keyBlocks : geometry.queryBlocks + geometry.keyBlocks
    let scratch = try Region([workers(blocks, context), layout.count], in: context.ledger)
    let skip = recurrence.skip.map { ScanSkip($0, inputs, shape: shape, isa: products.isa) }
    var skipParts = try skip.map { _ in try context.empty([shape.batch, shape.queryHeads, blocks]) }
    let pass = ScanBackward(
      scan: self, products: products, layout: layout, scratch: scratch, query: inputs.query.rows(),
      key: inputs.key.rows(), value: (kept.written ?? inputs.value).rows(), output: output.rows(),
      outputGradient: outputGradient.rows(), queryGradient: query.rowsForWriting(),
      keyGradient: key.rowsForWriting(), valueGradient: value.rowsForWriting(),
      states: kept.states.pinned(), last: kept.last.pinned(), inverses: kept.inverses?.pinned(),
      slots: slots.pinnedForWriting(), slotBlocks: slotBlocks, inOrder: takesHeads,
      running: running.pinnedForWriting(),
      logs: gates?.decays.pinned(), strengths: (ones ?? gates?.strengths)?.pinned(),
      given: inputs.value.rows(), writing: gates?.strengths?.pinned(), erasing: kept.erasing?.rows(),
      factors: kept.factors.pinned(), writtenGradient: writtenGradient?.rowsForWriting(),
      logGradient: gateGradient?.decays.pinnedForWriting(),
      strengthGradient: gateGradient?.strengths?.pinnedForWriting(), skip: skip,
      skipParts: skipParts?.pinnedForWriting(), blocks: blocks)
    func finish() throws -> (inputs: Operands, gates: ScanGates.Values?, before: Tensor) {
      var result = Operands(query: query, key: key, value: value)
      if let name = recurrence.skip, let parts = pass.skipParts {
        var sums = try context.empty([shape.queryHeads])
        for head in 0..<shape.queryHeads {
          var sum = 0.0
          for batch in 0..<shape.batch {
            let place = (batch * shape.queryHeads + head) * blocks
            for block in 0..<blocks { sum += Double(parts[place + block]) }
          }
          sums[head] = Float(sum)
        }
        result[name] = sums
      }
      return (result, gateGradient, running)
    }
    let fading = fades ? kept.factors.pinned() : nil
    guard !takesHeads else {
      try ScanLoop.forEach(count: heads, threads: context.threads) { head, worker in
        for block in (0..<blocks).reversed() {
          try context.checkCancellation()
          pass.add(head, block, worker)
          if isDelta {
            pass.unwrite(head, block, 0..<shape.valueDim, worker)
          } else {
            step(
              head, block, 0, rows: 0..<shape.headDim, pass.running, pass.slots, count: 1, factors: fading,
              in: context)
          }
          pass.run(head, block, worker)
        }
      }
      return try finish()
    }
    try ScanLoop.forEach(count: heads * geometry.queryBlocks, threads: context.threads) { index, worker in
      try context.checkCancellation()
      pass.add(index / geometry.queryBlocks, index % geometry.queryBlocks, worker)
    }
    if isDelta {
      try overColumns(pass.running, through: relay, in: context) { head, columns, worker in
        for block in (0..<geometry.keyBlocks).reversed() { pass.unwrite(head, block, columns, worker) }
      }
    } else {
      try scan(
        running, pass.running, pass.slots, count: geometry.queryBlocks, factors: fading, reversed: true,
        through: relay, in: context)
    }
    try ScanLoop.forEach(count: heads * blocks, threads: context.threads) { index, worker in
      try context.checkCancellation()
      pass.run(index / blocks, index % blocks, worker)
    }
    return try finish()
  }
}
