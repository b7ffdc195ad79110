import Basics
import Presets
import Records
import Tasks
import Tensors

extension EnvironmentRecord.Subject {
  /// One training: its settings by path, a line each, as YAML of a preset's point.
  public init(_ job: TrainingJob) {
    let settings = job.settings.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)\n" }
    self.init(text: "task.id: \(job.task)\n" + settings.joined())
  }
}

extension EnvironmentRecord {
  /// Adds a session of one training.
  /// - Throws: `UsageError` when the record cannot be read or written.
  public static func add(
    _ job: TrainingJob, text: TextCorpus?, threads: Int, peakGflops: Double?, to folder: RunFolder
  ) async throws {
    let peak = peakGflops.map {
      Peak(
        threads: threads, instructionSet: InstructionSet.default.rawValue, precision: .float32, gflops: $0,
        bandwidth: nil)
    }
    try await add(
      EnvironmentRecord.Subject(job), text: text, peaks: [peak].compactMap(\.self),
      memoryLimit: ProcessMemory.machineBytes,
      timeLimit: nil, to: folder)
  }
}
