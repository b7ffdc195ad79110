import Basics
import Foundation

/// What a folder may hold for whoever writes into it: results of two kinds do not mix.
extension RunFolder {
  /// Refuses a folder with results that a preset cannot have made.
  /// - Throws: `UsageError`.
  func check(for preset: Preset) throws(UsageError) {
    if !preset.hasMeasurements, hasContent(measurements) {
      throw UsageError(
        "\(measurements): measurements of another run; \(preset.file) has trainings only; \(Self.remedy)")
    }
    if preset.trainings.isEmpty, hasContent(runs) {
      throw UsageError("\(runs): trainings of another run; \(preset.file) has none; \(Self.remedy)")
    }
    if hasContent(path + "/" + TrainingRun.checkpointFile) {
      throw UsageError("\(path): it holds a training of attnlab train; \(Self.remedy)")
    }
  }

  /// Refuses a folder in which `attnlab run` keeps its results.
  /// - Throws: `UsageError`.
  public func checkForOneTraining() throws(UsageError) {
    let preset = try EnvironmentRecord.read(self)?["preset"].stringValue
    guard preset != nil || hasContent(measurements) else { return }
    throw UsageError(
      "\(path): it holds results of attnlab run\(preset.map { " \($0)" } ?? ""); --checkpoint writes elsewhere"
    )
  }

  private func hasContent(_ file: String) -> Bool {
    FileManager.default.contents(atPath: file)?.isEmpty == false
  }
}
