import Basics
import Settings

/// What a declaration allows, as a JSON Schema: its words are made by the declarations themselves (`Parameter`,
/// `ColumnKind`), and a test reads every one of them.
package enum AllowedValues {
  /// The schema of what some words allow; `nil` for words that no declaration makes.
  ///
  /// ```swift
  /// AllowedValues.schema("a whole number from 1 to 8")  // {"type": "integer", "minimum": 1, "maximum": 8}
  /// AllowedValues.schema("one of uniform, google")      // {"enum": ["uniform", "google"]}
  /// ```
  package static func schema(_ allowed: String) -> JSONValue? {
    if let rest = allowed.trimmingPrefix("none or "), let value = schema(rest) {
      return .object(["anyOf": .array([.object(["const": .string("none")]), value])])
    }
    if let words = allowed.trimmingPrefix("one of ") {
      return .object(["enum": .array(words.split(separator: ", ").map { .string(String($0)) })])
    }
    if allowed.hasSuffix(ParameterWords.perHead) {
      return schema(String(allowed.dropLast(ParameterWords.perHead.count))).map { number in
        .object([
          "anyOf": .array([
            number, .object(["type": .string("array"), "items": number, "minItems": .int(1)]),
          ])
        ])
      }
    }
    if allowed.hasPrefix(ParameterWords.expression) {
      // 1 is one, too.
      return .object(["type": .array([.string("string"), .string("integer"), .string("boolean")])])
    }
    switch allowed {
    case "true or false": return .object(["type": .string("boolean")])
    case "a list of whole numbers of at least 0":
      let number = JSONValue.object(["type": .string("integer"), "minimum": .int(0)])
      return .object(["anyOf": .array([number, .object(["type": .string("array"), "items": number])])])
    default: break
    }
    guard let (type, rest) = number(allowed) else { return nil }
    var members = [JSONValue.Member(key: "type", value: .string(type))]
    let words = rest.split(separator: " ").map(String.init)
    switch (words.first, words.count) {
    case (nil, _): break
    case ("from"?, 4) where words[2] == "to":
      guard let low = bound(words[1]), let high = bound(words[3]) else { return nil }
      members += [.init(key: "minimum", value: low), .init(key: "maximum", value: high)]
    case ("of"?, 4) where Array(words[1...2]) == ["at", "least"]:
      guard let low = bound(words[3]) else { return nil }
      members.append(.init(key: "minimum", value: low))
    case ("above"?, 2):
      guard let low = bound(words[1]) else { return nil }
      members.append(.init(key: "exclusiveMinimum", value: low))
    default: return nil
    }
    return .object(members)
  }

  private static func number(_ allowed: String) -> (type: String, rest: String)? {
    if let rest = allowed.trimmingPrefix("a whole number") { return ("integer", rest) }
    if let rest = allowed.trimmingPrefix("a number") { return ("number", rest) }
    return nil
  }

  private static func bound(_ word: String) -> JSONValue? {
    Int(word).map { .int($0) } ?? Double(word).map { .double($0) }
  }
}

extension String {
  /// What stands behind a prefix; `nil`: it does not begin so.
  fileprivate func trimmingPrefix(_ prefix: String) -> String? {
    hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil
  }
}
