import Basics
import CKernels

/// The loop over heads and pieces of a recurrence.
///
/// What decays is multiplied by a factor below 1 again and again, and ends among the numbers below the least normal one, about 1.2e-38,
/// far below the rounding of any result. They are taken as 0 here: an Intel core needs a hundred cycles and more for each
/// multiply-add with one.
enum ScanLoop {
  /// As `Parallel.forEach`.
  static func forEach(
    count: Int, threads: Int, _ body: @Sendable (_ index: Int, _ worker: Int) throws -> Void
  ) rethrows {
    try Parallel.forEach(count: count, threads: threads) { index, worker in
      let before = attn_flush_denormals()
      defer { attn_restore_denormals(before) }
      try body(index, worker)
    }
  }
}
