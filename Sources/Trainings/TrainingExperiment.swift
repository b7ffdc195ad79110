import Basics
import Presets
import Records
import Settings

/// Trains Transformers: `experiment: training`.
public enum TrainingExperiment: ExperimentKind {
  /// How presets name it.
  public static let id = "training"
  /// What its results are called.
  public static let results = "trainings"
  /// The file of its rows.
  public static let table = "runs.csv"

  /// Reads the fields of an experiment.
  /// - Throws: `UsageError`.
  public static func plan(
    _ reader: inout FieldReader, _ context: PlanContext
  ) throws(UsageError) -> TrainingPlan {
    try TrainingPlan(&reader, catalog: context.catalog, name: context.name)
  }
}

extension Preset {
  /// All trainings of all training experiments.
  public var trainings: [TrainingJob] { plans(of: TrainingExperiment.self).flatMap(\.plan.jobs) }

  /// The files and folders of text that its trainings read.
  public var trainedPaths: [String] {
    trainings.compactMap { job in
      if case .string(let path)? = job.taskSettings["path"] { path } else { nil }
    }
  }
}
