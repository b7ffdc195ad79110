import AttentionCore

extension ParameterValue {
  /// The value that a user's text stands for: a whole number, a number, `true` or `false`, a list, else a word.
  public init(parsing text: String) {
    let text = text.trimmed
    if let number = Int(text) {
      self = .int(number)
    } else if let number = Double(text), text.first.map({ $0.isNumber || "+-.".contains($0) }) == true {
      self = .double(number)
    } else if text == "true" || text == "false" {
      self = .bool(text == "true")
    } else if let list = ParameterValue.list(parsing: text) {
      self = .list(list)
    } else {
      self = .string(text)
    }
  }

  private static func list(parsing text: String) -> [Int]? {
    let isBracketed = text.hasPrefix("[") && text.hasSuffix("]")
    guard isBracketed || text.contains(",") else { return nil }
    let inner = isBracketed ? String(text.dropFirst().dropLast()) : text
    if inner.trimmed.isEmpty { return [] }
    // Within brackets spaces will do, as in a line of attention.
    let words =
      isBracketed && !inner.contains(",")
      ? inner.split(whereSeparator: \.isWhitespace)
      : inner.split(separator: ",", omittingEmptySubsequences: false)
    let numbers = words.map { Int(String($0).trimmed) }
    return numbers.contains(nil) ? nil : numbers.compactMap(\.self)
  }

  /// Reads `name=value` pairs as `--set` takes them.
  /// - Throws: `UsageError` for text without `=` or a name that appears twice.
  public static func settings(parsing pairs: [String]) throws(UsageError) -> [String: ParameterValue] {
    var settings: [String: ParameterValue] = [:]
    for pair in pairs {
      guard let equals = pair.firstIndex(of: "="), equals != pair.startIndex else {
        throw UsageError("--set \(pair): write it as name=value, such as --set left=64")
      }
      let name = String(pair[..<equals]).trimmed
      guard settings[name] == nil else { throw UsageError("--set \(name): given twice") }
      settings[name] = ParameterValue(parsing: String(pair[pair.index(after: equals)...]))
    }
    return settings
  }
}

extension String {
  /// The text without white space at both ends.
  var trimmed: String {
    var slice = self[...]
    while let first = slice.first, first.isWhitespace { slice.removeFirst() }
    while let last = slice.last, last.isWhitespace { slice.removeLast() }
    return String(slice)
  }
}
