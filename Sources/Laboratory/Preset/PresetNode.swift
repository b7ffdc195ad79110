import Yams

/// A piece of a preset that knows where it was written: the tree that all reading is done from.
public struct PresetNode: Sendable {
  /// What stands there.
  public enum Content: Sendable {
    /// A single value; `isQuoted` values are text, whatever they look like.
    case scalar(String, isQuoted: Bool)
    /// A list.
    case list([PresetNode])
    /// Keys and values in their order.
    case mapping([Entry])
  }

  /// A key with its value.
  public struct Entry: Sendable {
    /// The key.
    public let key: String
    /// Where the key stands.
    public let place: String
    /// Its value.
    public var value: PresetNode
  }

  /// What stands there.
  public var content: Content
  /// Where: `file.yaml:12`, or `--set n=8` for a value from the command line.
  public let place: String

  /// Creates a node.
  public init(_ content: Content, place: String) {
    self.content = content
    self.place = place
  }

  /// Reads YAML text.
  /// - Parameters:
  ///   - yaml: the text.
  ///   - place: turns a line number into a place.
  /// - Throws: `UsageError` naming the place.
  public static func parse(_ yaml: String, place: (Int) -> String) throws(UsageError) -> PresetNode? {
    // Some editors begin a file with a mark of its byte order.
    let yaml = yaml.hasPrefix("\u{FEFF}") ? String(yaml.dropFirst()) : yaml
    do {
      return try Parser(yaml: yaml).singleRoot().map { try convert($0, line: 1, place: place) }
    } catch let error as YamlError {
      throw describe(error, yaml: yaml, place: place)
    } catch let error as UsageError {
      throw error
    } catch {
      throw UsageError("\(place(1)): \(error)")
    }
  }

  private static func convert(_ node: Node, line: Int, place: (Int) -> String) throws -> PresetNode {
    let line = node.mark?.line ?? line
    switch node {
    case .scalar(let scalar):
      let isQuoted = scalar.style != .plain && scalar.style != .any
      return PresetNode(.scalar(scalar.string, isQuoted: isQuoted), place: place(line))
    case .sequence(let sequence):
      return PresetNode(
        .list(try sequence.map { try convert($0, line: line, place: place) }), place: place(line))
    case .mapping(let mapping):
      let entries = try mapping.map { key, value in
        let keyLine = key.mark?.line ?? line
        guard let name = key.scalar?.string else {
          throw UsageError("\(place(keyLine)): a key must be a word")
        }
        return Entry(
          key: name, place: place(keyLine), value: try convert(value, line: keyLine, place: place))
      }
      return PresetNode(.mapping(entries), place: place(line))
    case .alias:
      throw UsageError("\(place(line)): an alias without its anchor")
    }
  }

  private static func describe(_ error: YamlError, yaml: String, place: (Int) -> String) -> UsageError {
    switch error {
    case .duplicatedKeysInMapping(let keys, let context):
      return UsageError(
        "\(place(context.mark.line)): key \(keys.sorted().joined(separator: ", ")) appears twice")
    case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
      .composer(let context, let problem, let mark, _):
      let lines = yaml.split(separator: "\n", omittingEmptySubsequences: false)
      if mark.line >= 1, mark.line <= lines.count,
        lines[mark.line - 1].prefix(while: \.isWhitespace).contains("\t")
      {
        return UsageError("\(place(mark.line)): a tab indents this line; YAML is indented with spaces")
      }
      let detail = [problem, context?.text].compactMap(\.self).joined(separator: " ")
      return UsageError("\(place(mark.line)): not valid YAML: \(detail)")
    case .reader(let problem, _, _, _):
      return UsageError("\(place(1)): not valid YAML: \(problem)")
    default:
      return UsageError("\(place(1)): not valid YAML: \(error)")
    }
  }
}

extension PresetNode {
  /// The entries of a mapping, or `nil`.
  public var entries: [Entry]? { if case .mapping(let entries) = content { entries } else { nil } }

  /// The elements of a list, or `nil`.
  public var elements: [PresetNode]? { if case .list(let elements) = content { elements } else { nil } }

  /// The value of a key of a mapping.
  public subscript(key: String) -> PresetNode? { entries?.first { $0.key == key }?.value }

  /// The text of a scalar.
  public var text: String? { if case .scalar(let text, _) = content { text } else { nil } }

  /// The elements of a list, or the node alone: a sweep is a list where a value could stand.
  public var alternatives: [PresetNode] { elements ?? [self] }

  /// The node as a user would write it on one line.
  public var summary: String {
    switch content {
    case .scalar(let text, _): text.isEmpty ? "nothing" : text
    case .list(let nodes): "[" + nodes.map(\.summary).joined(separator: ", ") + "]"
    case .mapping(let entries):
      "{" + entries.map { "\($0.key): \($0.value.summary)" }.joined(separator: ", ") + "}"
    }
  }

  /// An error at this place.
  public func error(_ text: String) -> UsageError { UsageError("\(place): \(text)") }
}
