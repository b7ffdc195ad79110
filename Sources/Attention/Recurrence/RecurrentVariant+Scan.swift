import AttentionCore
import CKernels
import Tensors

extension RecurrentVariant {
  /// The scan over this shape.
  var recurrentScan: RecurrentScan { RecurrentScan(shape, recurrence) }

  /// From no state.
  public func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    try forward(inputs, from: nil, in: context).result
  }

  /// The scan over chunks.
  public func forward(
    _ inputs: Operands, from state: RecurrentState?, in context: ExecutionContext
  ) throws -> (result: Forward, state: RecurrentState) {
    inputs.check(operands, at: shape)
    let scan = recurrentScan
    let passed = try scan.attend(inputs, from: state?.values, in: context)
    var result = Forward(output: passed.output, lse: nil) { try passed.back($0, nil, $1) }
    result.overflowedPadding = passed.overflowed
    let extents = [shape.batch, shape.keyHeads, scan.geometry.stateCount]
    return (result, RecurrentState(values: passed.last.reshaped(extents)))
  }

  /// The closed-form cost of the scan.
  public func cost(of pass: PassKind) -> Cost { recurrentScan.cost(of: pass, operands: operands) }

  /// Nothing: a scan needs no plan.
  public var planBytes: Int { 0 }
}

extension RecurrentScan {
  /// What a pass comes to, gates and what passes by the state included.
  struct Passed: Sendable {
    var output: Tensor
    /// The state behind all keys, `[heads, state]`.
    var last: Tensor
    /// Padded rows whose outputs are not finite, as places in all rows.
    var overflowed: [Int]
    /// The gradients of all operands, from that of the output.
    var back: @Sendable (Tensor, (any StateRelay)?, ExecutionContext) throws -> Operands
  }

  /// A pass over all that the recurrence reads.
  /// - Parameters:
  ///   - inputs: q, k, v and what else it reads.
  ///   - state: the state before the first key; `nil`: zeros.
  ///   - relay: the other parts of the sequence; `nil`: there are none.
  ///   - clearsPadding: whether padded rows that are not finite become 0: who does not ask for it takes them away.
  ///   - context: threads, instruction set and ledger.
  /// - Throws: as `forward`.
  func attend(
    _ inputs: Operands, from state: Tensor?, through relay: (any StateRelay)? = nil,
    clearsPadding: Bool = false, in context: ExecutionContext
  ) throws -> Passed {
    let gating = recurrence.gate.map { ScanGates(shape: shape, gate: $0) }
    let skip = recurrence.skip.map { ScanSkip(shape: shape, operand: $0) }
    let gates = try gating?.values(inputs, in: context)
    var (output, kept) = try forward(inputs, gates, from: state, through: relay, in: context)
    skip?.add(inputs, to: &output, in: context)
    let cleared = clearsPadding ? kept.overflowed : []
    var own = inputs
    if !cleared.isEmpty {
      // States do not depend on q: rows whose q is 0 have those that there are.
      own.query = try inputs.query.clearing(cleared, ledger: context.ledger)
      output = try output.clearing(cleared, ledger: context.ledger)
      if var inverses = kept.inverses {
        let view = inverses.pinnedForWriting()
        for row in cleared { view[row] = 0 }
        kept.inverses = inverses
      }
    }
    let finished = output, left = kept, read = own
    return Passed(output: finished, last: kept.last, overflowed: kept.overflowed) {
      given, relay, context in
      let outputGradient = cleared.isEmpty ? given : try given.clearing(cleared, ledger: context.ledger)
      var (gradient, ofGates) = try backward(
        outputGradient, read, gates, output: finished, left, through: relay, in: context)
      try skip?.addGradient(outputGradient, read, to: &gradient, in: context)
      if let gating, let ofGates { try gating.addGradient(ofGates, read, to: &gradient, in: context) }
      return gradient
    }
  }

  /// The closed-form cost of a pass: workspace is that of one thread, with the best instruction set.
  ///
  /// Of n tokens a forward pass needs `2·d·d_v` multiply-adds a token for the state and as many for reading it, less what a group of heads
  /// shares, and `(C + 1)/2·(d + d_v)` for the pairs within a chunk. A way back needs three times the pairs' (five products of which two
  /// are those of the way forward; d counts three times, d_v twice) and five products with states. `decode` is one token against the state.
  func cost(of pass: PassKind, operands: [Operand]) -> Cost {
    let (needed, executed) = operations(of: pass)
    return Cost(
      flops: 2 * needed, executedFlops: 2 * executed, workspaceBytes: Double(workspaceBytes(of: pass)),
      inputOutputBytes: Cost.inputOutputBytes(of: pass, shape: shape, operands: operands, hasLSE: false),
      stateBytes: Double(RecurrentState.byteCount(of: shape, recurrence)))
  }

  /// Multiply-adds that are needed and those that are executed: pairs above the diagonal of a chunk are executed too.
  private func operations(of pass: PassKind) -> (needed: Double, executed: Double) {
    let (d, v) = (Double(shape.headDim), Double(shape.valueDim))
    let keyHeads = Double(shape.batch * shape.keyHeads), heads = Double(shape.batch * shape.queryHeads)
    if pass == .decode {
      let steps = (keyHeads + heads) * d * v
      return (steps, steps)
    }
    let isBack = pass == .backward
    var needed = 0.0, executed = 0.0
    for batch in 0..<shape.batch {
      let keys = Double(shape.validKeys(batch: batch)), rows = Double(geometry.covered.count)
      // Forward: added by keys, read by rows. Back: the states' gradients by rows, q by rows, k and v by keys.
      let state = (isBack ? 2 : 1) * d * v * (keys * keyHeads + rows * heads) / Double(shape.batch)
      needed += state
      executed += state
    }
    guard shape.isCausal else { return (needed, executed) }
    let perPair = isBack ? 3 * d + 2 * v : d + v
    for batch in 0..<shape.batch {
      for block in 0..<geometry.keyBlocks {
        let keys = geometry.keys(block, batch: batch).count, rows = geometry.rows(block)
        guard keys > 0, !rows.isEmpty else { continue }
        let first = geometry.first(rows, block)
        let pairs = (0..<rows.count).reduce(0) { $0 + min(keys, first + $1 + 1) }
        needed += perPair * Double(pairs * shape.queryHeads)
        executed += perPair * Double(rows.count * keys * shape.queryHeads)
      }
    }
    return (needed, executed)
  }

  /// What a pass allocates beyond its results, to the byte; a way back counts what the forward pass kept for it.
  func workspaceBytes(
    of pass: PassKind, in context: ExecutionContext = ExecutionContext(threads: 1)
  ) -> Int {
    let products = ChunkProducts(isa: context.instructionSet.code), size = geometry.stateCount
    let blocks = shape.isCausal ? geometry.keyBlocks : geometry.queryBlocks + geometry.keyBlocks
    let rows = recurrence.normalizer == nil ? 0 : shape.lseShape.reduce(1, *)
    let gates = isGated ? 2 * geometry.heads * shape.keyLength : 0
    let tokens = geometry.heads * shape.keyLength
    let delta = recurrence.isDelta ? tokens * (shape.headDim + shape.valueDim) : 0
    let kept = geometry.heads * (geometry.keyBlocks * (size + 1) + size) + rows + gates + delta
    let forward = kept + workers(geometry.keyBlocks, context) * ForwardLayout(self, products).count
    guard pass == .backward else { return 4 * forward }
    let backDelta = recurrence.isDelta ? tokens * (1 + shape.valueDim) : 0
    let slots = geometry.heads * (geometry.queryBlocks + 1) * size + gates + backDelta
    return 4 * (kept + slots + workers(blocks, context) * BackwardLayout(self, products).count)
  }
}
