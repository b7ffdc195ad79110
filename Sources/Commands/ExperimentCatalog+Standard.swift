import Measuring
import Presets
import Trainings

extension ExperimentCatalog {
  /// The kinds of this package.
  public static let standard = ExperimentCatalog([MeasurementExperiment.self, TrainingExperiment.self])
}
