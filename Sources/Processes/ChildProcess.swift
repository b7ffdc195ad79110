import Basics
import Foundation
import Subprocess
import SystemPackage

/// Other programs, run to their end: the one place that starts any.
///
/// A child has a session of its own: Ctrl-C and a lost terminal reach this process only, which decides what becomes of
/// the child. Its arguments go to the system as they are; no shell reads them.
package enum ChildProcess {
  /// What a child left.
  package struct Outcome<Watcher: Sendable>: Sendable {
    /// How it ended.
    package let status: TerminationStatus
    /// Its standard output.
    package let output: String
    /// Its standard error.
    package let errors: String
    /// What `during` returned.
    package let watcher: Watcher
  }

  /// The most that is kept of each stream.
  private static let outputLimit = 1 << 20

  /// Runs a program.
  /// - Parameters:
  ///   - variables: added to the environment.
  ///   - during: called with the process's number once it runs.
  /// - Throws: `SubprocessError` when it cannot be started, or prints more than a mebibyte.
  package static func run<Watcher: Sendable>(
    _ program: Executable, _ arguments: [String], in folder: String? = nil,
    variables: [String: String] = [:], during: (Int32) -> Watcher
  ) async throws -> Outcome<Watcher> {
    var options = PlatformOptions()
    options.createSession = true
    let variables = variables.map { (Environment.Key(stringLiteral: $0.key), $0.value) }
    let environment = Environment.inherit.updating(Dictionary(uniqueKeysWithValues: variables))
    let result = try await Subprocess.run(
      program, arguments: Arguments(arguments), environment: environment,
      workingDirectory: folder.map { FilePath($0) }, platformOptions: options, input: .none,
      output: .string(limit: outputLimit), error: .string(limit: outputLimit)
    ) { execution in
      let process = execution.processIdentifier.value
      Leftovers.add(process: process)
      return (process: process, watcher: during(process))
    }
    let (process, watcher) = result.closureResult
    Leftovers.forget(process: process)
    return Outcome(
      status: result.terminationStatus, output: result.standardOutput,
      errors: result.standardError, watcher: watcher)
  }

  /// Why a program could not be run, in few words.
  package static func reason(_ error: any Error) -> String {
    guard let error = error as? SubprocessError else { return shown("\(error)", limit: 160) }
    switch error.code {
    case .executableNotFound: return "it was not found, or may not be executed"
    case .outputLimitExceeded: return "it printed more than \(outputLimit) bytes"
    default:
      return error.underlyingError.map { String(cString: strerror($0.rawValue)) }
        ?? "the system does not say why"
    }
  }

  /// Runs a program that nobody watches.
  /// - Throws: as above.
  package static func run(
    _ program: Executable, _ arguments: [String], in folder: String? = nil
  ) async throws -> Outcome<Bool> {
    try await run(program, arguments, in: folder) { _ in true }
  }
}
