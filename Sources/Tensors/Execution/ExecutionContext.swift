import Basics

/// How work is to run, in the operations of the layers and in the attention engine alike: threads, instruction set, where
/// bytes are counted, and how a pass is cancelled.
///
/// Every operation cuts its work into parts fixed by the shapes, never by the number of threads, so results have the same
/// bits for any `threads`.
public struct ExecutionContext: Sendable {
  /// Threads to use; at least 1.
  public var threads: Int
  /// The instruction set of the kernels.
  public var instructionSet: InstructionSet
  /// What is chosen by the processor: sizes of blocks, heights of tiles, when threads share work.
  public var choices: ProcessorChoices
  /// How bfloat16 inputs are multiplied where the instruction set has products of them (elsewhere they are up-converted);
  /// `nil`: as `BFloat16Choice.here` says.
  public var bfloat16Road: BFloat16Road?
  /// Where results and scratch are counted, and drawn from when it recycles; `nil`: nowhere.
  public var ledger: MemoryLedger?
  /// Asked between tiles; `nil`: never cancelled.
  public var cancellation: Cancellation?

  /// Creates a context; by default all processors and the best instruction set (or the one that
  /// `ATTNLAB_ISA` forces).
  public init(
    threads: Int = Parallel.processorCount, instructionSet: InstructionSet = .default,
    ledger: MemoryLedger? = nil, cancellation: Cancellation? = nil
  ) {
    precondition(threads >= 1, "threads: \(threads); at least 1")
    self.threads = threads
    self.instructionSet = instructionSet
    choices = .of(instructionSet)
    self.ledger = ledger
    self.cancellation = cancellation
  }

  /// A context with a recycling ledger of its own: a loop of equal steps, such as a training, allocates nothing after the
  /// first.
  public static func recycling(
    threads: Int = Parallel.processorCount, instructionSet: InstructionSet = .default
  ) -> ExecutionContext {
    ExecutionContext(
      threads: threads, instructionSet: instructionSet, ledger: MemoryLedger(recycles: true))
  }

  /// - Throws: `CancellationRequested` once `cancel()` was called.
  public func checkCancellation() throws(CancellationRequested) {
    if let cancellation, cancellation.isRequested { throw CancellationRequested() }
  }

  /// A tensor that is about to be written whole.
  /// - Throws: `MemoryLimitExceeded`.
  public func empty(_ shape: [Int]) throws(MemoryLimitExceeded) -> Tensor {
    try Tensor(uninitialized: shape, ledger: ledger)
  }

  /// A tensor of zeros.
  /// - Throws: `MemoryLimitExceeded`.
  public func zeros(_ shape: [Int]) throws(MemoryLimitExceeded) -> Tensor {
    try Tensor(zeros: shape, ledger: ledger)
  }
}
