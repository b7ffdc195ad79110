import Basics

/// `--threads`, as several subcommands take it.
package enum ThreadFlag {
  /// More than this is a slip of the pen: every thread has scratch of its own.
  package static let allowed = 1...1024

  /// Refuses a number of threads that is not allowed.
  /// - Parameter threads: the number; `nil`: none was given.
  /// - Throws: `UsageError`.
  package static func check(_ threads: Int?) throws(UsageError) {
    guard let threads, !allowed.contains(threads) else { return }
    throw UsageError(
      "--threads \(threads): it takes a whole number from \(allowed.lowerBound) to \(allowed.upperBound)")
  }
}
