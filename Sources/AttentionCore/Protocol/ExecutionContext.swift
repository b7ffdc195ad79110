import Basics
import Synchronization
import Tensors

/// How a pass is to run: threads, instruction set, where bytes are counted, and how it is cancelled.
public struct ExecutionContext: Sendable {
  /// Threads to use; at least 1.
  public var threads: Int
  /// The instruction set of the register tiles.
  public var instructionSet: InstructionSet
  /// Whether bfloat16 inputs may use AVX512-BF16 where the processor has it; `false` widens them, as other processors do.
  public var usesBFloat16Products = true
  /// Where buffers are counted; `nil`: nowhere.
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
    self.ledger = ledger
    self.cancellation = cancellation
  }

  /// - Throws: `CancellationRequested` once `cancel()` was called.
  public func checkCancellation() throws(CancellationRequested) {
    if let cancellation, cancellation.isRequested { throw CancellationRequested() }
  }
}

/// A flag that stops running passes at the next tile.
public final class Cancellation: Sendable {
  private let flag = Atomic<Bool>(false)
  /// Creates a flag that is not set.
  public init() {}
  /// Sets the flag.
  public func cancel() { flag.store(true, ordering: .relaxed) }
  /// Whether the flag is set.
  public var isRequested: Bool { flag.load(ordering: .relaxed) }
}

/// A pass that was stopped by its `Cancellation`.
public struct CancellationRequested: Error, Sendable, CustomStringConvertible {
  /// Creates the error.
  public init() {}
  /// One line.
  public var description: String { "cancelled" }
}
