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

  /// The rows behind a state.
  public func forward(
    _ inputs: Operands, from state: RecurrentState?, in context: ExecutionContext
  ) throws -> (result: Forward, state: RecurrentState) {
    let stretch = try stretch(inputs, from: state, in: context)
    return (stretch.result, stretch.state)
  }

  /// The scan over chunks.
  public func stretch(
    _ inputs: Operands, from state: RecurrentState?, in context: ExecutionContext
  ) throws -> RecurrentStretch {
    inputs.check(operands, at: shape)
    let scan = recurrentScan
    let passed = try scan.attend(inputs, from: state?.values, in: context)
    var result = Forward(output: passed.output, lse: nil) { try passed.back($0, nil, nil, $1).inputs }
    result.overflowedPadding = passed.overflowed
    let extents = [shape.batch, shape.keyHeads, scan.geometry.stateCount]
    return RecurrentStretch(
      result: result, state: RecurrentState(values: passed.last.reshaped(extents))
    ) { outputGradient, behind, context in
      let (gradient, before) = try passed.back(outputGradient, behind?.values, nil, context)
      return (gradient, RecurrentState(values: before.reshaped(extents)))
    }
  }

  /// One token of every sequence, the states moved on in place.
  public func advance(
    _ state: inout RecurrentState, by token: Operands, in context: ExecutionContext
  ) throws -> Tensor {
    token.check(operands, at: shape)
    return try recurrentScan.advance(&state.values, by: token, in: context)
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
    /// The gradients of all operands and of the state before the first key, from those of the output and of the state behind all keys,
    /// `nil` where nothing reads it.
    var back: Back
    typealias Back =
      @Sendable (Tensor, _ behind: Tensor?, (any StateRelay)?, ExecutionContext) throws -> (
        inputs: Operands, before: Tensor
      )
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
    let gates = try gating?.values(inputs, in: context)
    var (output, kept) = try forward(inputs, gates, from: state, through: relay, in: context)
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
      given, behind, relay, context in
      let outputGradient = cleared.isEmpty ? given : try given.clearing(cleared, ledger: context.ledger)
      var (gradient, ofGates, before) = try backward(
        outputGradient, behind: behind, read, gates, output: finished, left, through: relay, in: context)
      if let gating, let ofGates { try gating.addGradient(ofGates, read, to: &gradient, in: context) }
      return (gradient, before)
    }
  }
}
