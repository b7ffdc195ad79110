import Measuring
import Presets
import Trainings

extension ExperimentCatalog {
  /// The kinds that these tests are about.
  static let standard = ExperimentCatalog([MeasurementExperiment.self, TrainingExperiment.self])
}
