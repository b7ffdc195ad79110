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
