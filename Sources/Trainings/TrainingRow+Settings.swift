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

  /// The settings in force by dotted path (`model.width`); of a training that failed the task alone.
  package var settingsByPath: [String: String] {
    let columns = [
      ("task", taskConfiguration), ("model", modelConfiguration), ("training", trainingConfiguration),
    ]
    var settings = ["task.id": task]
    for (section, cell) in columns {
      for (name, value) in Self.settings(cell) { settings["\(section).\(name)"] = value }
    }
    return settings
  }
}
