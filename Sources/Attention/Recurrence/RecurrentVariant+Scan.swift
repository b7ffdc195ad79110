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
    let scan = recurrentScan, recurrence = recurrence
    let gating = recurrence.gate.map { ScanGates(shape: shape, gate: $0) }
    let skip = recurrence.skip.map { ScanSkip(shape: shape, operand: $0) }
    let gates = try gating?.values(inputs, in: context)
    var (output, kept) = try scan.forward(inputs, gates, from: state?.values, in: context)
    skip?.add(inputs, to: &output, in: context)
    let finished = output, left = kept
    var result = Forward(output: finished, lse: nil) { outputGradient, context in
      var (gradient, ofGates) = try scan.backward(
        outputGradient, inputs, gates, output: finished, left, in: context)
      try skip?.addGradient(outputGradient, inputs, to: &gradient, in: context)
      if let gating, let ofGates { try gating.addGradient(ofGates, inputs, to: &gradient, in: context) }
      return gradient
    }
    result.overflowedPadding = kept.overflowed
    let extents = [shape.batch, shape.keyHeads, scan.geometry.stateCount]
    return (result, RecurrentState(values: kept.last.reshaped(extents)))
  }

  /// The closed-form cost of the scan.
  public func cost(of pass: PassKind) -> Cost { recurrentScan.cost(of: pass, operands: operands) }

  /// Nothing: a scan needs no plan.
  public var planBytes: Int { 0 }
}

extension RecurrentScan {
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
