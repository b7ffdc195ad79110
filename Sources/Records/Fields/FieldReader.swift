import AttentionCore
import Basics

/// Reads the fields of a mapping by name, remembers which are known, and complains about all others.
public struct FieldReader {
  private let entries: [PresetNode.Entry]
  private var known: [String] = []
  /// Where the mapping stands.
  public let place: String

  /// Reads a mapping over defaults from another one.
  /// - Throws: `UsageError` when the node is no mapping.
  public init(_ node: PresetNode, defaults: [PresetNode.Entry] = []) throws(UsageError) {
    guard let own = node.entries else {
      throw node.error("\(node.summary) stands where fields (name: value) are expected")
    }
    entries = own + defaults.filter { shared in !own.contains { $0.key == shared.key } }
    place = node.place
  }

  /// The node of a field, or `nil` when it is absent.
  public mutating func node(_ name: String) -> PresetNode? {
    known.append(name)
    return entries.first { $0.key == name }?.value
  }

  /// The value of a field.
  public mutating func value<T>(
    _ name: String, _ kind: FieldKind<T>, default fallback: T
  ) throws(UsageError) -> T {
    guard let node = node(name) else { return fallback }
    return try kind.read(name, node)
  }

  /// The value of a field that may be absent.
  public mutating func optional<T>(_ name: String, _ kind: FieldKind<T>) throws(UsageError) -> T? {
    guard let node = node(name) else { return nil }
    return try kind.read(name, node)
  }

  /// The values of a field that may be swept: one value or a list of different values.
  public mutating func sweep<T: Hashable>(
    _ name: String, _ kind: FieldKind<T>, default fallback: [T]
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

  /// Complains about a field that nothing asked for.
  /// - Throws: `UsageError` with its place and the nearest known name.
  public func finish(also others: [String] = []) throws(UsageError) {
    let names = Set(known + others)
    guard let unknown = entries.first(where: { !names.contains($0.key) }) else { return }
    throw UsageError(
      "\(unknown.place): unknown field \(shown(unknown.key)); known are \(choices(names.sorted(), near: unknown.key))"
    )
  }
}

/// How a field is read: what it takes, in words and in code.
public struct FieldKind<Value>: Sendable {
  /// What is allowed, in words.
  public let allowed: String
  /// The words that are allowed, where it is one of some words.
  package let words: [String]
  package let parse: @Sendable (PresetNode) throws(UsageError) -> Value?

  /// Creates a kind; `parse` returns `nil` for what is not allowed.
  public init(
    _ allowed: String, words: [String] = [],
    parse: @escaping @Sendable (PresetNode) throws(UsageError) -> Value?
  ) {
    self.allowed = allowed
    self.words = words
    self.parse = parse
  }

  package func read(_ name: String, _ node: PresetNode) throws(UsageError) -> Value {
    if let value = try parse(node) { return value }
    let nearest = suggestion(near: node.text ?? "", among: words)
    throw node.error("\(name): \(node.summary) is not allowed; it takes \(allowed)\(nearest)")
  }
}

extension FieldKind where Value == Int {
  /// A whole number in a range.
  public static func integer(_ range: ClosedRange<Int>) -> FieldKind {
    let words =
      range.upperBound == .max
      ? "a whole number of at least \(range.lowerBound)"
      : "a whole number from \(range.lowerBound) to \(range.upperBound)"
    return FieldKind(words) { node in
      guard let value = node.scalar?.whole else { return nil }
      return range.contains(value) ? value : nil
    }
  }

  /// `all` (0) or a number of threads.
  package static let threads = FieldKind("all or a whole number from 1 to 1024") { node in
    if node.text == "all" { return 0 }
    return node.scalar?.whole.flatMap { (1...1024).contains($0) ? $0 : nil }
  }

  /// A size in bytes.
  public static let bytes = FieldKind(Quantity.bytesAllowed) { $0.text.flatMap(Quantity.bytes) }
}

extension FieldKind where Value == UInt64 {
  /// A seed.
  public static let seed = FieldKind("a whole number of at least 0") { node in
    // Seeds have one bit more than other whole numbers.
    switch node.scalar {
    case .double: node.text.flatMap { UInt64($0) } ?? node.scalar?.whole.flatMap { UInt64(exactly: $0) }
    case let scalar: scalar?.whole.flatMap { UInt64(exactly: $0) }
    }
  }
}

extension FieldKind where Value == Double {
  /// A time in seconds.
  public static let seconds = FieldKind(Quantity.secondsAllowed) { $0.text.flatMap(Quantity.seconds) }

  /// A number in a range.
  public static func real(_ range: ClosedRange<Double>) -> FieldKind {
    FieldKind("a number from \(range.lowerBound) to \(range.upperBound)") { node in
      guard let value = node.scalar?.number else { return nil }
      return range.contains(value) ? value : nil
    }
  }
}

extension FieldKind where Value == Bool {
  /// true or false.
  public static let flag = FieldKind("true or false") { node in
    if case .bool(let flag) = node.scalar { flag } else { nil }
  }
}

extension FieldKind where Value == String {
  /// One line of text.
  public static let text = FieldKind("text") { $0.text }

  /// One of some words.
  public static func word(_ words: [String]) -> FieldKind {
    FieldKind("one of " + words.joined(separator: ", "), words: words) { node in
      node.text.flatMap { words.contains($0) ? $0 : nil }
    }
  }
}
