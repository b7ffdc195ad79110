import AttentionCore
import Basics
import Settings

/// Reads the fields of a mapping by name, remembers which are known, and complains about all others.
public struct FieldReader {
  private let entries: [PresetNode.Entry]
  private let sharedNames: Set<String>
  private var known: [String] = []
  /// Where the mapping stands.
  public let place: String

  /// Reads a mapping over defaults from another one.
  /// - Throws: `UsageError` when the node is no mapping.
  public init(_ node: PresetNode, defaults: [PresetNode.Entry] = []) throws(UsageError) {
    guard let own = node.entries else {
      throw node.error("\(node.summary) stands where fields (name: value) are expected")
    }
    let shared = defaults.filter { shared in !own.contains { $0.key == shared.key } }
    entries = own + shared
    sharedNames = Set(shared.map(\.key))
    place = node.place
  }

  /// The node of a field, or `nil` when it is absent.
  public mutating func node(_ name: String) -> PresetNode? {
    let name = Spelling.today(name)
    known.append(name)
    return entries.first { $0.key == name }?.value
  }

  /// The value of a field.
  public mutating func value<T: Sendable>(
    _ name: String, _ kind: ColumnKind<T>, default fallback: T
  ) throws(UsageError) -> T {
    guard let node = node(name) else { return fallback }
    return try kind.read(name, node)
  }

  /// The value of a field that may be absent.
  public mutating func optional<T: Sendable>(_ name: String, _ kind: ColumnKind<T>) throws(UsageError) -> T? {
    guard let node = node(name) else { return nil }
    return try kind.read(name, node)
  }

  /// The values of a field that may be swept: one value or a list of different values.
  public mutating func sweep<T: Hashable & Sendable>(
    _ name: String, _ kind: ColumnKind<T>, default fallback: [T]
  ) throws(UsageError) -> [T] {
    guard let node = node(name) else { return fallback }
    let nodes = node.alternatives
    guard !nodes.isEmpty else {
      throw node.error("\(name): an empty list; it takes \(kind.allowed), or a list")
    }
    var values: [T] = []
    for element in nodes {
      let value = try kind.read(name, element)
      guard !values.contains(value) else { throw element.error("\(name): \(element.summary) appears twice") }
      values.append(value)
    }
    return values
  }

  /// The values of a declared field that may be swept; `nil` when it is absent.
  package mutating func changes<Root>(
    _ field: Field<Root>, isSwept: Bool, folder: String
  ) throws(UsageError) -> [Change<Root>]? {
    guard let key = field.key, let parse = field.parse, let node = node(key) else { return nil }
    guard isSwept else { return [try parse(node, folder)] }
    let nodes = node.alternatives
    guard !nodes.isEmpty else {
      throw node.error("\(key): an empty list; it takes \(field.allowed), or a list")
    }
    var changes: [Change<Root>] = []
    for element in nodes {
      let change = try parse(element, folder)
      guard !changes.contains(where: { $0.text == change.text }) else {
        throw element.error("\(key): \(element.summary) appears twice")
      }
      changes.append(change)
    }
    return changes
  }

  /// Complains about a field of the mapping itself that nothing asked for; what is shared with others may be theirs
  /// (`unasked`).
  /// - Throws: `UsageError` with its place and the nearest known name.
  public func finish(also others: [String] = []) throws(UsageError) {
    let names = Set(known + others)
    guard
      let unknown = entries.first(where: { !names.contains($0.key) && !sharedNames.contains($0.key) })
    else { return }
    throw Self.complaint(unknown, names)
  }

  /// Shared fields that nothing has asked for so far, each with what is said where nobody does.
  package var unasked: [(name: String, error: UsageError)] {
    let names = Set(known)
    return entries.filter { sharedNames.contains($0.key) && !names.contains($0.key) }
      .map { ($0.key, Self.complaint($0, names)) }
  }

  private static func complaint(_ unknown: PresetNode.Entry, _ names: Set<String>) -> UsageError {
    UsageError(
      "\(unknown.place): unknown field \(shown(unknown.key)); known are \(choices(names.sorted(), near: unknown.key))"
    )
  }
}

extension ColumnKind {
  /// Reads a value of YAML: a plain scalar. Words get the nearest one suggested, and a quoted number is a text.
  package func read(_ name: String, _ node: PresetNode) throws(UsageError) -> Value {
    if case .scalar(let text, let isQuoted) = node.content,
      !isQuoted || !isOfScalars || words.contains(text),
      case .value(let value) = read(text)
    {
      return value
    }
    let nearest = suggestion(near: node.text ?? "", among: words)
    throw node.error("\(name): \(node.summary) is not allowed; it takes \(allowed)\(nearest)")
  }
}
