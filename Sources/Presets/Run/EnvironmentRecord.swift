import Basics
import Foundation
import Records
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
    /// Bandwidth of reading memory in GB/s; `nil`: it was not measured.
    public let bandwidth: Double?

    /// What it is the peak of.
    public var need: PeakNeed {
      PeakNeed(threads: threads, instructionSet: instructionSet, precision: precision)
    }

    package init(
      threads: Int, instructionSet: String, precision: Precision, gflops: Double, bandwidth: Double?
    ) {
      (self.threads, self.instructionSet, self.precision) = (threads, instructionSet, precision)
      (self.gflops, self.bandwidth) = (gflops, bandwidth)
    }
  }

  /// One start of the run; a run that was interrupted has several.
  public struct Session: Sendable {
    /// When it began.
    public let startedAt: String
    /// The computer: a training may go on on another one.
    public var host = Machine.current.host
    /// The kind of machine.
    public var machine = Machine.current.kind
    /// The commit of the sources, `+` when changed since.
    public let commit: String?
    /// Measured peaks.
    public let peaks: [Peak]
    /// How bfloat16 rows were multiplied; `nil`: there were none.
    public let bfloat16: BFloat16Choice?
    /// What was chosen by the processor, and from what it follows.
    public var choices = ProcessorChoices.resolved()
    /// Bytes that a cell might use.
    public let memoryLimit: Int
    /// Seconds that a cell might use.
    public let timeLimit: Double?
  }

  /// What the results are of, as text that makes them again.
  public struct Subject: Sendable {
    /// The preset's name; `nil` of `attnlab train`.
    public let preset: String?
    /// The preset's file, as records name it.
    public let file: String?
    /// The preset's text, or the settings of a training.
    public let text: String
    /// Where the sources may be looked for.
    let anchors: [String]

    /// A preset.
    public init(_ preset: Preset) {
      (self.preset, file, text, anchors) = (preset.name, preset.shortFile, preset.source, [preset.file])
    }

    /// Something without a preset, by its settings.
    package init(text: String) { (preset, file, self.text, anchors) = (nil, nil, text, []) }

    fileprivate var members: [JSONValue.Member] {
      let name = preset == nil ? "training" : "preset"
      return [
        .init(key: "preset", value: .text(preset)), .init(key: "preset_file", value: .text(file)),
        .init(key: name + "_hash", value: .string(Fingerprint.of(text))),
        .init(key: name + "_text", value: .string(text)),
      ]
    }
  }

  /// What the results are of.
  public let subject: Subject
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
    let rest: [JSONValue.Member] = JSONValue.object([
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
    ]).members
    return .object(subject.members + rest)
  }
}

extension EnvironmentRecord {
  /// Adds a session to the `environment.json` of a folder, or begins it.
  /// - Throws: `UsageError` when it cannot be read or written.
  package static func add(
    _ subject: Subject, text: TextCorpus?, peaks: [Peak], bfloat16: BFloat16Choice? = nil, memoryLimit: Int,
    timeLimit: Double?, to folder: RunFolder
  ) async throws {
    let session = Session(
      startedAt: Timestamp.now(), commit: await Tool.commit(anchors: subject.anchors), peaks: peaks,
      bfloat16: bfloat16, memoryLimit: memoryLimit, timeLimit: timeLimit)
    let record = EnvironmentRecord(
      subject: subject, text: text, earlierSessions: try read(folder)?["sessions"].arrayValue ?? [],
      session: session, versions: await Versions.all())
    try RunFolder.replace(folder.environment, with: record.json.pretty + "\n")
  }

  /// The `environment.json` of a folder; `nil` when there is none.
  /// - Throws: `UsageError` when it cannot be read, or is no JSON.
  package static func read(_ folder: RunFolder) throws(UsageError) -> JSONValue? {
    try RunFolder.record(in: folder.path)
  }

  /// Makes sure that the rows of a folder, of which there are some, were made on a machine such as this.
  /// - Throws: `UsageError`; also when nobody can tell.
  package static func checkMachine(of folder: RunFolder) throws(UsageError) {
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
      "started_at": .string(startedAt), "host": .string(host), "machine": .string(machine),
      "commit": .text(commit),
      "peaks": .array(
        peaks.map {
          .object([
            "threads": .int($0.threads), "isa": .string($0.instructionSet),
            "precision": .string($0.precision.rawValue), "peak_gflops": .double($0.gflops),
            "bandwidth_gb_per_s": .number($0.bandwidth),
          ])
        }),
      "bfloat16": bfloat16?.json ?? .null, "choices": choices.json,
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
