import Basics
import Foundation

/// Another program in this one's place: the same process, terminal and signals.
public enum ProcessReplacement {
  /// Starts a program in the place of this one.
  /// - Parameter words: the program, looked for in `PATH` unless it has a folder, and its arguments.
  /// - Throws: `UsageError` when it cannot be started.
  public static func run(_ words: [String]) throws(UsageError) -> Never {
    // Freed by whoever takes the place, or with the process.
    var arguments = words.map { strdup($0) } + [nil]
    if let program = arguments[0] { _ = execvp(program, &arguments) }
    throw UsageError("\(shown(words.first ?? "")) could not be run: \(String(cString: strerror(errno)))")
  }
}
