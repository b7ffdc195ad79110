import Models
import Records
import Settings

extension TrainingRow {
  /// `name=value` pairs of a configuration.
  static func settings(_ configuration: String) -> [String: String] {
    let pairs = configuration.split(separator: ";").map {
      $0.split(separator: "=", maxSplits: 1).map(String.init)
    }
    let former = ModelConfiguration.formerNames
    let settings = pairs.filter { $0.count == 2 }.map { (former[$0[0]] ?? Spelling.today($0[0]), $0[1]) }
    return Dictionary(settings) { first, _ in first }
  }
}
