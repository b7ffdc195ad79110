import Basics

/// `--threads`, as several subcommands take it.
enum ThreadFlag {
  /// More than this is a slip of the pen: every thread has scratch of its own.
  static let allowed = 1...1024

  /// - Throws: `UsageError` when a number was given that is not allowed.
  static func check(_ threads: Int?) throws(UsageError) {
    guard let threads, !allowed.contains(threads) else { return }
    throw UsageError(
      "--threads \(threads): it takes a whole number from \(allowed.lowerBound) to \(allowed.upperBound)")
  }
}
