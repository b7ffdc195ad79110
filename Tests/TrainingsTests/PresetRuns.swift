import Attention
import Presets
import Records
import Trainings

extension Preset {
  /// Runs the first trainings in a folder; how many it kept, and how many it made.
  func run(_ count: Int, in path: String) async throws -> [Int] {
    let outcome = try await Runner(
      TrainingExperiment.self, Array(trainings.prefix(count)), in: RunFolder(path),
      RunSetting(self, catalog: .standard)
    ).run()
    return [outcome.kept, outcome.added]
  }
}
