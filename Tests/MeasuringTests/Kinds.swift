import Measuring
import Presets

extension ExperimentCatalog {
  /// The kinds that these tests are about.
  static let standard = ExperimentCatalog([MeasurementExperiment.self])
}
