import Models
import Records

extension TrainingRow {
  /// `name=value` pairs of a configuration.
  static func settings(_ configuration: String) -> [String: String] {
    let pairs = configuration.split(separator: ";").map {
      $0.split(separator: "=", maxSplits: 1).map(String.init)
    }
    let settings = Dictionary(pairs.filter { $0.count == 2 }.map { ($0[0], $0[1]) }) { first, _ in first }
    return ModelConfiguration.renamed(settings)
  }
}
