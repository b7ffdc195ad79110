import Basics

/// The attention variant of one layer, and the line of text that describes several.
///
/// Grammar: `name(setting=value, …) xCount`, separated by commas; `(…)` and `xCount` may be left out. A list value is
/// written `[1 2 3]`; a value in `"…"` or `'…'` is text, whatever stands in it. The list is repeated over the layers: `sliding-window(left=63) x3, full` is three to one.
public struct LayerAttention: Hashable, Sendable {
  /// The variant's id.
  public var id: String
  /// Its settings.
  public var settings: [String: ParameterValue]

  /// Creates a description.
  public init(_ id: String, settings: [String: ParameterValue] = [:]) {
    self.id = id
    self.settings = settings
  }

  /// Reads a line.
  /// - Throws: `ConfigurationError` that quotes the part that is wrong.
  public static func parse(_ text: String) throws(ConfigurationError) -> [LayerAttention] {
    var layers: [LayerAttention] = []
    for part in split(text, at: ",") {
      var word = part.trimmed
      var count = 1
      if let space = word.lastIndex(of: " "), word[space...].hasPrefix(" x"),
        let number = Int(word[word.index(space, offsetBy: 2)...])
      {
        count = number
        word = word[..<space].trimmed
      }
      guard (1...1000).contains(count) else { throw wrong(part) }
      var settings: [String: ParameterValue] = [:]
      if let open = word.firstIndex(of: "(") {
        guard word.hasSuffix(")") else { throw wrong(part) }
        for setting in split(String(word[word.index(after: open)...].dropLast()), at: ",")
        where !setting.trimmed.isEmpty {
          guard let equals = setting.firstIndex(of: "=") else { throw wrong(part) }
          let name = setting[..<equals].trimmed, value = setting[setting.index(after: equals)...].trimmed
          guard !name.isEmpty, !value.isEmpty else { throw wrong(part) }
          settings[name] = unquoted(value).map { .string($0) } ?? ParameterValue(parsing: value)
        }
        word = word[..<open].trimmed
      }
      guard !word.isEmpty, !word.contains(" ") else { throw wrong(part) }
      guard layers.count + count <= mostLayers else {
        throw ConfigurationError(
          field: "attention", value: "a list of more than \(mostLayers) layers",
          allowed: "at most \(mostLayers)")
      }
      layers += Array(repeating: LayerAttention(word, settings: settings), count: count)
    }
    return layers
  }

  /// The line of layers, with a count where neighbours are the same: what `parse` reads as them.
  public static func line(_ layers: [LayerAttention]) -> String {
    var runs: [(layer: LayerAttention, count: Int)] = []
    for layer in layers {
      if runs.last?.layer == layer { runs[runs.count - 1].count += 1 } else { runs.append((layer, 1)) }
    }
    return runs.map { $0.count == 1 ? "\($0.layer)" : "\($0.layer) x\($0.count)" }.joined(separator: ", ")
  }

  /// The most layers that a line may name: more than any model here has.
  private static let mostLayers = 10_000

  private static func wrong(_ part: String) -> ConfigurationError {
    ConfigurationError(
      field: "attention", value: part.trimmed.isEmpty ? "an empty entry" : shown(part.trimmed),
      allowed: "a list such as: sliding-window(left=63) x3, full")
  }

  /// The text in quotes; `nil`: it stands in none.
  private static func unquoted(_ value: String) -> String? {
    guard value.count >= 2, let quote = value.first, quotes.contains(quote), value.last == quote else {
      return nil
    }
    let inner = value.dropFirst().dropLast()
    return inner.contains(quote) ? nil : String(inner)
  }

  fileprivate static let quotes: Set<Character> = ["\"", "'"]

  /// Cuts at a separator outside brackets and quotes.
  private static func split(_ text: String, at separator: Character) -> [String] {
    var parts = [""], depth = 0
    var quote: Character?
    for character in text {
      if let open = quote {
        if character == open { quote = nil }
      } else if quotes.contains(character) {
        quote = character
      } else if character == "(" || character == "[" {
        depth += 1
      } else if character == ")" || character == "]" {
        depth -= 1
      }
      if character == separator, depth == 0, quote == nil {
        parts.append("")
      } else {
        parts[parts.count - 1].append(character)
      }
    }
    return parts
  }
}

extension LayerAttention: CustomStringConvertible {
  /// As `parse` reads it.
  public var description: String {
    guard !settings.isEmpty else { return id }
    let values = settings.sorted { $0.key < $1.key }.map { "\($0.key)=\(Self.written($0.value))" }
    return "\(id)(\(values.joined(separator: ", ")))"
  }

  /// Text that would be read as something else, or cut, in quotes.
  private static func written(_ value: ParameterValue) -> String {
    guard case .string(let text) = value else { return "\(value)" }
    let isPlain =
      !text.isEmpty && !text.contains { "()[],'\"".contains($0) } && ParameterValue(parsing: text) == value
    guard !isPlain, let quote = ["\"", "'"].first(where: { !text.contains($0) }) else { return text }
    return quote + text + quote
  }
}
