import Basics
import Settings

extension ParameterValue {
  /// Reads `name=value` pairs as `--set` takes them: names in today's spelling; old ones are noted.
  /// - Throws: `UsageError` for text without `=` or a name that appears twice.
  public static func settings(parsing pairs: [String]) throws(UsageError) -> [String: ParameterValue] {
    var settings: [String: ParameterValue] = [:]
    for pair in pairs {
      guard let equals = pair.firstIndex(of: "="), equals != pair.startIndex else {
        throw UsageError("--set \(shown(pair)): write it as name=value, such as --set left=64")
      }
      let name = Spelling.noted(String(pair[..<equals]).trimmed)
      guard settings[name] == nil else { throw UsageError("--set \(shown(name)): given twice") }
      settings[name] = ParameterValue(parsing: String(pair[pair.index(after: equals)...]))
    }
    return settings
  }
}
