import Basics
import Foundation
import Records

extension RunFolder {
  /// `runs.csv` in the folder.
  public var runs: String { path + "/" + TrainingExperiment.table }
  /// `curves.csv` in the folder.
  public var curves: String { path + "/" + TrainingExperiment.curveTable }
  /// `steps.csv` in the folder.
  public var steps: String { path + "/" + TrainingExperiment.stepTable }

  /// Whether the folder has the row of a training, under one of its ids; a torn last line, which a killed run can leave, is removed.
  /// - Throws: `UsageError` when `runs.csv` cannot be read.
  public func hasTraining(_ job: TrainingJob) throws(UsageError) -> Bool {
    guard FileManager.default.fileExists(atPath: runs) else { return false }
    _ = try RowWriter.repair(runs)
    guard FileManager.default.contents(atPath: runs)?.isEmpty == false else { return false }
    let ids = [job.id] + job.formerIDs
    return try TrainingRow.read(runs).contains { ids.contains($0.runID) && $0.isTraining }
  }
}
