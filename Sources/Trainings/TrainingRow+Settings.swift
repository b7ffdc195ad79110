import Models
import Records
import Settings

extension TrainingRow {
  /// `name=value` pairs of a configuration.
  static func settings(_ configuration: String) -> [String: String] {
    let former = ModelConfiguration.formerNames
    let settings = CSVTable.settings(in: configuration).map { name, value in
      (former[name] ?? Spelling.today(name), value)
    }
    return Dictionary(settings) { first, _ in first }
  }
}
