import Foundation

/// A program of this package, run as a user runs it: another process, its streams and its exit code.
public enum BuiltProgram: String {
  /// The program.
  case attnlab
  /// The program with variants that crash, dawdle, eat memory or lie.
  case fakes = "attnlab-fakes"
  /// The program of `Experiments/CustomVariant`.
  case custom = "attnlab-custom"

  /// What a run of it left.
  public struct Result: Sendable {
    /// The exit code; of a program that a signal ended, minus the signal.
    public let code: Int32
    /// What it wrote to standard output.
    public let output: String
    /// What it wrote to standard error.
    public let errors: String
    /// The lines of standard error.
    public var errorLines: [String] { errors.split(whereSeparator: \.isNewline).map(String.init) }
  }

  /// The program's file: beside the test bundle, or what the environment variable `ATTNLAB_PROGRAM` says.
  public var path: String {
    if self == .attnlab, let given = ProcessInfo.processInfo.environment["ATTNLAB_PROGRAM"] { return given }
    // The working folder is the package's; the configuration is the tests' own.
    let bundles =
      Bundle.allBundles.map(\.bundleURL) + [
        Bundle.main.bundleURL, URL(fileURLWithPath: CommandLine.arguments[0]),
      ]
    let beside = bundles.flatMap { [$0, $0.deletingLastPathComponent()] }
    let found = beside.map { $0.appendingPathComponent(rawValue).path }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
    return found ?? ".build/debug/\(rawValue)"
  }

  /// Runs it to its end.
  public func run(
    _ arguments: String..., in folder: String? = nil, environment: [String: String] = [:]
  ) throws -> Result {
    try run(arguments, in: folder, environment: environment)
  }

  /// Runs it to its end.
  public func run(
    _ arguments: [String], in folder: String? = nil, environment: [String: String] = [:]
  ) throws -> Result {
    // Files rather than pipes: a pipe that nobody reads would stop a program that prints much.
    let scratch = try Scratch()
    let (process, files) = try start(arguments, in: folder, environment: environment, scratch: scratch)
    return try Self.result(of: process, files)
  }

  /// Runs it to its end without holding a thread of the pool: other tests go on meanwhile.
  public func finished(
    _ arguments: [String], in folder: String? = nil, environment: [String: String] = [:]
  ) async throws -> Result {
    let scratch = try Scratch()
    let (process, files) = try Self.prepare(
      absolutePath, arguments, in: folder, environment: environment, scratch: scratch)
    try await Self.end(process)
    return try Self.result(of: process, files)
  }

  /// Runs a line of a shell in which the program goes by its name, likewise.
  public func finishedShell(_ line: String, in folder: String) async throws -> Result {
    let scratch = try Scratch()
    let (process, files) = try prepareShell(line, in: folder, scratch: scratch)
    try await Self.end(process)
    return try Self.result(of: process, files)
  }

  private static func end(_ process: Process) async throws {
    try await withCheckedThrowingContinuation { (ended: CheckedContinuation<Void, any Error>) in
      process.terminationHandler = { _ in ended.resume() }
      do { try process.run() } catch { ended.resume(throwing: error) }
    }
  }

  private static func result(of process: Process, _ files: (output: String, errors: String)) throws -> Result
  {
    process.waitUntilExit()
    return Result(
      code: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
      output: try String(contentsOfFile: files.output, encoding: .utf8),
      errors: try String(contentsOfFile: files.errors, encoding: .utf8))
  }

  /// Runs a line of a shell in which the program goes by its name.
  public func shell(_ line: String, in folder: String) throws -> Result {
    let scratch = try Scratch()
    let (process, files) = try prepareShell(line, in: folder, scratch: scratch)
    try process.run()
    return try Self.result(of: process, files)
  }

  private func prepareShell(
    _ line: String, in folder: String, scratch: Scratch
  ) throws -> (process: Process, files: (output: String, errors: String)) {
    try FileManager.default.createSymbolicLink(atPath: scratch(rawValue), withDestinationPath: absolutePath)
    let search = "\(scratch.path):\(ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")"
    return try Self.prepare(
      "/bin/sh", ["-c", line], in: folder, environment: ["PATH": search], scratch: scratch)
  }

  /// Starts it and returns at once.
  public func start(
    _ arguments: [String], in folder: String? = nil, environment: [String: String] = [:], scratch: Scratch
  ) throws -> (process: Process, files: (output: String, errors: String)) {
    let prepared = try Self.prepare(
      absolutePath, arguments, in: folder, environment: environment, scratch: scratch)
    try prepared.process.run()
    return prepared
  }

  /// The program's file from the root on.
  public var absolutePath: String { URL(fileURLWithPath: path).standardizedFileURL.path }

  private static func prepare(
    _ program: String, _ arguments: [String], in folder: String?, environment: [String: String],
    scratch: Scratch
  ) throws -> (process: Process, files: (output: String, errors: String)) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    if let folder { process.currentDirectoryURL = URL(fileURLWithPath: folder) }
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
    let number = Int.random(in: 0...Int.max)
    let files = (output: "\(scratch.path)/output-\(number)", errors: "\(scratch.path)/errors-\(number)")
    for file in [files.output, files.errors] { try Data().write(to: URL(fileURLWithPath: file)) }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: files.output))
    process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: files.errors))
    return (process, files)
  }
}
