import Basics
import CKernels

/// Where dense operations run: threads, instruction set, and the ledger that their results are drawn from.
///
/// With a recycling ledger a loop of equal steps allocates nothing after the first. Every operation cuts its work into
/// parts fixed by the shapes, never by the number of threads, so results have the same bits for any `threads`.
public struct Compute: Sendable {
  /// Threads to use; at least 1.
  public var threads: Int
  /// The instruction set of the kernels.
  public var instructionSet: InstructionSet
  /// Where results and scratch are counted; `nil`: nowhere.
  public var ledger: MemoryLedger?

  /// Creates a context; by default all processors, the best instruction set and a recycling ledger.
  public init(
    threads: Int = Parallel.processorCount, instructionSet: InstructionSet = .default,
    ledger: MemoryLedger? = MemoryLedger(recycles: true)
  ) {
    precondition(threads >= 1, "threads: \(threads); at least 1")
    self.threads = threads
    self.instructionSet = instructionSet
    self.ledger = ledger
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

  var isa: Int32 { instructionSet.code }

  /// Work below this many elementary operations stays on the calling thread: waking another costs more.
  static let parallelThreshold = 1 << 15

  /// Runs `body(start ..< end)` over slices of `0 ..< count`, `grain` elements each.
  func slices(_ count: Int, grain: Int, cost: Int = 1, _ body: @Sendable (Range<Int>) -> Void) {
    guard count > 0 else { return }
    let pieces = (count + grain - 1) / grain
    let workers = count * cost < Compute.parallelThreshold ? 1 : threads
    Parallel.forEach(count: pieces, threads: workers) { piece, _ in
      body(piece * grain..<min(count, (piece + 1) * grain))
    }
  }
}

/// A pointer that a parallel loop may share: its iterations write disjoint parts.
struct Shared<Pointee>: @unchecked Sendable {
  let pointer: UnsafeMutablePointer<Pointee>
  init(_ pointer: UnsafeMutablePointer<Pointee>) { self.pointer = pointer }
  init(_ pointer: UnsafePointer<Pointee>) { self.pointer = UnsafeMutablePointer(mutating: pointer) }
}
