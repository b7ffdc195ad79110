import Basics
import Presets
import Records
import Tasks
import Tensors

extension EnvironmentRecord.Subject {
  /// One training: its settings by path, a line each, as YAML of a preset's point; and at which steps its schedule was
  /// given another end.
  public init(_ job: TrainingJob, extendedFrom ends: [Int] = []) {
    let settings = job.settings.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)\n" }
    let former = ends.map { "\($0)" }.joined(separator: ";")
    self.init(
      text: "task.id: \(job.task)\n" + settings.joined()
        + (ends.isEmpty ? "" : "\(Provenance.formerEnds): \(former)\n"))
  }
}

extension EnvironmentRecord {
  /// Adds a session of one training.
  /// - Parameters:
  ///   - subject: the training.
  ///   - text: the text of its task.
  ///   - threads: how many work on it.
  ///   - peakGflops: the machine's peak with these threads.
  ///   - folder: where the record stands.
  /// - Throws: `UsageError` when the record cannot be read or written.
  public static func add(
    _ subject: Subject, text: TextCorpus?, threads: Int, peakGflops: Double?, to folder: RunFolder
  ) async throws {
    let peak = peakGflops.map {
      Peak(
        threads: threads, instructionSet: InstructionSet.default.rawValue, precision: .float32, gflops: $0,
        bandwidth: nil)
    }
    try await add(
      subject, text: text, peaks: [peak].compactMap(\.self),
      memoryLimit: ProcessMemory.machineBytes,
      timeLimit: nil, to: folder)
  }
}
