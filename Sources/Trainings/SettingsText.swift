import Settings

/// Settings as the text of an id, in today's spelling or in that of earlier versions.
enum SettingsText {
  case today, former

  /// `name=value` separated by `;`.
  func text(_ settings: [String: ParameterValue]) -> String { pairs(settings).joined(separator: ";") }

  /// `name=value`, sorted by the names as they are spelt.
  func pairs(_ settings: [String: ParameterValue]) -> [String] {
    settings.map { (name($0.key), $0.key == "attention" ? line("\($0.value)") : "\($0.value)") }
      .sorted { $0.0 < $1.0 }.map { "\($0)=\($1)" }
  }

  /// A line of attention.
  func line(_ text: String) -> String { Spelling.line(text, by: name) }

  private func name(_ name: String) -> String {
    let today = Spelling.today(name)
    return self == .today ? today : Spelling.former(today)
  }
}
