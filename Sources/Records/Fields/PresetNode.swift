import Basics
import Settings

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

    package init(key: String, place: String, value: PresetNode) {
      (self.key, self.place, self.value) = (key, place, value)
    }
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

  /// What an unquoted scalar means; a quoted one is text, whatever it looks like. `nil` of lists and mappings.
  public var scalar: CoreScalar? {
    guard case .scalar(let text, let isQuoted) = content else { return nil }
    return isQuoted ? .text(text) : CoreScalar(text)
  }

  /// The elements of a list, or the node alone: a sweep is a list where a value could stand.
  public var alternatives: [PresetNode] { elements ?? [self] }

  /// The node as a user would write it on one line, as a message shows it: bounded, with nothing that a terminal obeys.
  public var summary: String { shown(written, limit: 120) }

  private var written: String {
    switch content {
    case .scalar(let text, let isQuoted): isQuoted ? "\"\(text)\"" : text.isEmpty ? "nothing" : text
    case .list(let nodes): "[" + nodes.map(\.written).joined(separator: ", ") + "]"
    case .mapping(let entries):
      "{" + entries.map { "\($0.key): \($0.value.written)" }.joined(separator: ", ") + "}"
    }
  }

  /// An error at this place.
  public func error(_ text: String) -> UsageError { UsageError("\(place): \(text)") }
}
