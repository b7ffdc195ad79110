import AttentionCore
import Tensors

/// A recurrence over some rows of a sequence, whose other rows other ranks have.
///
/// With the state H that comes in, this part's outputs are those of the whole sequence: `o_i = e^{G_i} q_i H + …`; what goes out is
/// `H' = T H + B`, T the transition of these rows and B what they write.
/// - Complexity: as of a scan over these rows alone, and one product of states where states fade by factors.
public struct ScanPart: Sendable {
  private let scan: RecurrentScan

  /// Takes rows of a sequence.
  /// - Parameters:
  ///   - shape: the sizes of these rows: causal, the last row of q stands at the last key.
  ///   - recurrence: that of the whole sequence.
  public init(_ shape: AttentionShape, _ recurrence: Recurrence) {
    scan = RecurrentScan(shape, recurrence)
  }

  /// The sizes of these rows.
  public var shape: AttentionShape { scan.shape }
  /// Elements of the pieces in which states pass from part to part.
  public var pieceCounts: [Int] { scan.pieceCounts }
  /// Elements of all states.
  public var stateCount: Int { scan.geometry.heads * scan.geometry.stateCount }

  /// What a part comes to.
  public struct Result: Sendable {
    /// `[batch, queryHeads, queryLength, valueDim]`.
    public var output: Tensor
    /// Padded rows whose outputs single precision does not hold, as places in all rows of q.
    public var cleared: [Int]
    fileprivate var back: RecurrentScan.Passed.Back

    /// The gradients of these rows, and this part's shares of those of what all rows have in common.
    /// - Parameters:
    ///   - outputGradient: of the output's shape.
    ///   - relay: brings the gradients of states from the part behind.
    ///   - context: threads, instruction set and ledger.
    /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`; what the relay throws.
    public func backward(
      _ outputGradient: Tensor, through relay: any StateRelay, in context: ExecutionContext
    ) throws -> Operands { try back(outputGradient, nil, relay, context).inputs }
  }

  /// The outputs of these rows. Outputs of padding that single precision does not hold are 0.
  /// - Parameters:
  ///   - inputs: these rows.
  ///   - relay: brings states from the part before.
  ///   - context: threads, instruction set and ledger.
  /// - Throws: `StateOverflow` with the place in these rows; `MemoryLimitExceeded`, `CancellationRequested`; what the relay throws.
  public func forward(
    _ inputs: Operands, through relay: any StateRelay, in context: ExecutionContext
  ) throws -> Result {
    let passed = try scan.attend(inputs, from: nil, through: relay, clearsPadding: true, in: context)
    return Result(output: passed.output, cleared: passed.overflowed, back: passed.back)
  }
}
