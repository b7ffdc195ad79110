import ArgumentParser
import Pages

/// A subcommand: what it does with files it declares, so that one check speaks for all of them.
package protocol FileCommand: ParsableCommand {
  /// All files that it will read and write, as its arguments say.
  /// - Throws: what its `run` would throw for these arguments.
  func files() throws -> CommandFiles
}
