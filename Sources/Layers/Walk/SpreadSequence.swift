import AttentionCore
import Tensors

/// Sequences whose rows are spread over ranks, as one of them walks through its own rows.
///
/// All that is done row by row needs the rows' positions alone. Attention, where rows meet, is this protocol's: a rank's rows of q, k
/// and v go in, its rows of the output come back.
package protocol SpreadSequence {
  /// Rows of a whole sequence.
  var length: Int { get }
  /// Those of them that this rank has.
  var rows: RowRuns { get }
  /// Real tokens of every whole sequence; `nil`: all.
  var lengths: [Int]? { get }
  /// Whether this is the rank that has what a sequence has once: its class.
  var isFirst: Bool { get }
  /// A tensor of every rank that shares the sequences, in the order of ranks, on each of them. All call it together.
  /// - Parameter own: this rank's; all have one of the same sizes.
  /// - Returns: that of every rank.
  /// - Throws: what messages throw.
  func gathered(_ own: Tensor) throws -> [Tensor]
  /// The rows of a result over whole sequences. All ranks call it, and its way back, together and in the same order.
  /// - Parameters:
  ///   - variant: planned for whole sequences.
  ///   - inputs: this rank's rows.
  ///   - layer: the layer that asks.
  ///   - context: how it is computed.
  /// - Throws: `ConfigurationError` for a variant that cannot be spread; what attention and messages throw.
  func attend(
    _ variant: any AttentionVariant, _ inputs: Operands, of layer: String, in context: ExecutionContext
  ) throws -> Forward
}

extension LayerRun {
  /// What a layer's rows come to under a plan for whole sequences: here, or over the ranks that share them.
  /// - Parameters:
  ///   - plan: of whole sequences.
  ///   - inputs: the rows that are here.
  ///   - layer: the layer that asks.
  /// - Returns: the rows of the result, with their way back.
  /// - Throws: what attention and messages throw.
  package func attend(_ plan: any AttentionVariant, _ inputs: Operands, of layer: String) throws -> Forward {
    observer?.attended(layer, plan, inputs)
    return try spread?.attend(plan, inputs, of: layer, in: context) ?? plan.attend(inputs, in: context)
  }
}
