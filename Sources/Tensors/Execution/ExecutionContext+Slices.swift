import Basics

extension ExecutionContext {
  package var isa: Int32 { instructionSet.code }

  /// Work below this many elementary operations stays on the calling thread: waking another costs more.
  package static let parallelThreshold = 1 << 15

  /// Runs `body(start ..< end)` over slices of `0 ..< count`, `grain` elements each.
  package func slices(_ count: Int, grain: Int, cost: Int = 1, _ body: @Sendable (Range<Int>) -> Void) {
    guard count > 0 else { return }
    let pieces = (count + grain - 1) / grain
    let workers = count * cost < ExecutionContext.parallelThreshold ? 1 : threads
    Parallel.forEachByShare(count: pieces, threads: workers) { piece, _ in
      body(piece * grain..<min(count, (piece + 1) * grain))
    }
  }
}
