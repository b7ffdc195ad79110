import Basics
import Foundation
import Settings
import Tasks
import Tensors

/// What `environment.json` says: where results come from, enough to make them again.
public struct EnvironmentRecord: Sendable {
  /// The peak of a number of threads with an instruction set, measured at the start of a session.
  public struct Peak: Hashable, Sendable {
    /// Threads.
    public let threads: Int
    /// The instruction set.
    public let instructionSet: String
    /// What is multiplied: float32, or pairs of bfloat16.
    public let precision: Precision
    /// Multiply-add peak in GFLOP/s.
    public let gflops: Double
    /// Bandwidth of reading memory in GB/s.
    public let bandwidth: Double
  }

  /// One start of the run; a run that was interrupted has several.
  public struct Session: Sendable {
    /// When it began.
    public let startedAt: String
    /// The commit of the sources, `+` when changed since.
    public let commit: String?
    /// Measured peaks.
    public let peaks: [Peak]
    /// How bfloat16 rows were multiplied; `nil`: there were none.
    public let bfloat16: BFloat16Choice?
    /// Bytes that a cell might use.
    public let memoryLimit: Int
    /// Seconds that a cell might use.
    public let timeLimit: Double?
  }

  /// The preset.
  public let preset: Preset
  /// The text in use; its name and hash are kept, not the folder where it lay.
  public let text: TextCorpus?
  /// All sessions, the present one last; earlier ones as they were read.
  public let earlierSessions: [JSONValue]
  /// The present session.
  public let session: Session
  /// Versions of programs and libraries.
  public let versions: [(String, String)]

  /// The record as JSON.
  public var json: JSONValue {
    let best = session.peaks.filter { $0.precision == .float32 }.max { $0.gflops < $1.gflops }
    return .object([
      "preset": .string(preset.name), "preset_file": .string(preset.shortFile),
      "preset_hash": .string(Fingerprint.of(preset.source)), "preset_text": .string(preset.source),
      "machine": Machine.current.json, "processor": .string(Machine.current.processor),
      "isa": .string(InstructionSet.default.rawValue), "peak_gflops": .number(best?.gflops),
      "bandwidth_gb_per_s": .number(best?.bandwidth), "commit": .text(session.commit),
      "versions": .object(versions.map { JSONValue.Member(key: $0.0, value: .string($0.1)) }),
      "text": text.map {
        .object([
          "origin": .string($0.name), "bytes": .int($0.bytes.count), "hash": .string($0.fingerprint),
        ])
      } ?? .null,
      "sessions": .array(earlierSessions + [session.json]),
    ])
  }
}

extension EnvironmentRecord {
  /// Adds a session to the `environment.json` of a folder, or begins it.
  /// - Throws: `UsageError` when it cannot be read or written.
  static func add(
    _ preset: Preset, text: TextCorpus?, peaks: [Peak], bfloat16: BFloat16Choice? = nil, memoryLimit: Int,
    timeLimit: Double?, to folder: RunFolder
  ) async throws {
    let session = Session(
      startedAt: Timestamp.now(), commit: await Tool.commit(anchors: [preset.file]), peaks: peaks,
      bfloat16: bfloat16, memoryLimit: memoryLimit, timeLimit: timeLimit)
    let record = EnvironmentRecord(
      preset: preset, text: text, earlierSessions: try read(folder)?["sessions"].arrayValue ?? [],
      session: session, versions: await Versions.all())
    try RunFolder.replace(folder.environment, with: record.json.pretty + "\n")
  }

  /// The `environment.json` of a folder; `nil` when there is none.
  /// - Throws: `UsageError` when it is not JSON.
  static func read(_ folder: RunFolder) throws(UsageError) -> JSONValue? {
    guard let text = try? String(contentsOfFile: folder.environment, encoding: .utf8) else { return nil }
    return try JSONValue(parsing: text, file: folder.environment)
  }

  /// Makes sure that the rows of a folder, of which there are some, were made on a machine such as this.
  /// - Throws: `UsageError`; also when nobody can tell.
  static func checkMachine(of folder: RunFolder) throws(UsageError) {
    guard let record = try read(folder) else {
      throw UsageError(
        "\(folder.environment): it is missing, so nobody can tell on which machine the rows beside it were made; "
          + RunFolder.remedy)
    }
    guard let differences = Machine.current.differences(from: record) else {
      throw UsageError(
        "\(folder.environment): it names no machine, so nobody can tell where the rows beside it were made; "
          + RunFolder.remedy)
    }
    guard let first = differences.first else { return }
    throw UsageError(
      "\(folder.path): begun on \(first.there), this is \(first.here): rows of two machines do not mix; "
        + RunFolder.remedy)
  }
}

extension EnvironmentRecord.Session {
  /// The session as JSON.
  var json: JSONValue {
    .object([
      "started_at": .string(startedAt), "commit": .text(commit),
      "peaks": .array(
        peaks.map {
          .object([
            "threads": .int($0.threads), "isa": .string($0.instructionSet),
            "precision": .string($0.precision.rawValue), "peak_gflops": .double($0.gflops),
            "bandwidth_gb_per_s": .double($0.bandwidth),
          ])
        }),
      "bfloat16": bfloat16?.json ?? .null,
      "memory_limit_bytes": .int(memoryLimit),
      "time_limit_seconds": .number(timeLimit),
    ])
  }
}

extension BFloat16Choice {
  /// The choice as JSON.
  public var json: JSONValue {
    .object([
      "road": .string(road.rawValue), "reason": .string(reason),
      "products_gflops_one_thread": .number(rates.map { $0.products / 1e9 }),
      "float32_gflops_one_thread": .number(rates.map { $0.float32 / 1e9 }),
    ])
  }
}

extension JSONValue {
  /// Reads JSON text.
  /// - Throws: `UsageError` that names the file.
  public init(parsing text: String, file: String) throws(UsageError) {
    do throws(JSONError) { try self.init(parsing: text) } catch { throw UsageError("\(file): \(error)") }
  }
}
