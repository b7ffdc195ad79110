import AttentionCore
import Basics
import Tensors

/// Decoding with a recurrence: the state of all earlier tokens is made once, and what is timed takes one token along.
extension Measurement {
  /// A recurrence that stands before the last of its tokens.
  struct TokenStep {
    /// The variant of one token.
    let variant: any RecurrentVariant
    /// That token.
    let inputs: Operands
    /// What the tokens before it left.
    var state: RecurrentState

    /// The outputs, `[batch, queryHeads, 1, valueDim]`.
    mutating func advance(in context: ExecutionContext) throws -> Tensor {
      try variant.advance(&state, by: inputs, in: context)
    }
  }

  /// Whether a pass takes one token along, and not all that came before.
  func takesToken(_ variant: any AttentionVariant) -> Bool {
    cell.pass == .decode && variant is any RecurrentVariant
  }

  /// Makes the state of all tokens but the last.
  /// - Parameters:
  ///   - inputs: of all tokens, outside the ledger: a decoder does not hold them.
  ///   - shape: one query row, which stands at the last key.
  ///   - context: its ledger counts the state and the token.
  /// - Throws: as the variant.
  func tokenStep(
    _ inputs: Operands, _ shape: AttentionShape, in context: ExecutionContext
  ) throws -> TokenStep {
    let last = shape.keyLength - 1
    let (variant, token) = try part(last..<shape.keyLength, of: inputs, shape, ledger: context.ledger)
    var state = try RecurrentState.empty(of: variant.shape, variant.recurrence, in: context)
    // Outside the ledger, and piece by piece: what a long way back would keep is nobody's here.
    let unbounded = ExecutionContext(threads: context.threads, instructionSet: context.instructionSet)
    for first in stride(from: 0, to: last, by: Self.tokensOfPiece) {
      let rows = first..<min(last, first + Self.tokensOfPiece)
      let (before, earlier) = try part(rows, of: inputs, shape, ledger: nil)
      state = try before.forward(earlier, from: state, in: unbounded).state
    }
    state.values = try Tensor(state.values.array(), shape: state.values.shape, ledger: context.ledger)
    return TokenStep(variant: variant, inputs: token, state: state)
  }

  /// Tokens that are taken into a state at once.
  private static let tokensOfPiece = 8192

  /// The variant over some tokens, and their rows of everything.
  private func part(
    _ rows: Range<Int>, of inputs: Operands, _ shape: AttentionShape, ledger: MemoryLedger?
  ) throws -> (any RecurrentVariant, Operands) {
    var own = shape
    (own.queryLength, own.keyLength) = (rows.count, rows.count)
    let made = try catalog.make(
      cell.variant, settings: cell.settings, shape: own,
      key: RandomKey(seed: cell.seed)("variant")(cell.variant))
    guard let variant = made as? any RecurrentVariant else {
      preconditionFailure("\(cell.variant) is no recurrence")
    }
    var given = inputs
    for operand in Operand.all(variant.operandsRead) where operand.name != .query {
      guard let axis = operand.axes.firstIndex(of: .keys), let x = inputs[operand.name] else { continue }
      given[operand.name] = try Tensor(
        x.narrowed(axis: axis, to: rows).array(), shape: operand.extents(at: own), ledger: ledger)
    }
    // Earlier rows of q, which the cell does not have, change no state: zeros stand in.
    let query = rows.upperBound == shape.keyLength ? inputs.query.array() : []
    given.query = try Tensor(
      query.isEmpty ? [Float](repeating: 0, count: own.queryShape.reduce(1, *)) : query,
      shape: own.queryShape,
      ledger: ledger)
    return (variant, given)
  }
}
