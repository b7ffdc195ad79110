import Basics

/// Types known by the id that users write: what the catalogue of variants and that of tasks have in common.
public protocol NamedCatalog: Sendable {
  /// A type in the catalogue.
  associatedtype Member
  /// What a member is called in messages, such as `variant`.
  static var field: String { get }
  /// The id of a member.
  static func id(of member: Member) -> String
  /// The members in the order in which they are shown.
  var types: [Member] { get }
  /// Creates a catalogue.
  /// - Precondition: no two members share an id.
  init(_ types: [Member])
}

extension NamedCatalog {
  /// A catalogue with more members at the end: `.standard + [Mine.self]`.
  public static func + (catalog: Self, more: [Member]) -> Self { Self(catalog.types + more) }

  /// The ids in order.
  public var ids: [String] { types.map(Self.id(of:)) }

  /// The member of an id.
  /// - Throws: `ConfigurationError` with the nearest valid id.
  public func type(of id: String) throws(ConfigurationError) -> Member {
    if let type = types.first(where: { Self.id(of: $0) == id }) { return type }
    throw ConfigurationError(
      field: Self.field, value: shown(id), allowed: "one of " + choices(ids, near: id))
  }

  /// The members, after making sure that their ids differ.
  public static func distinct(_ types: [Member]) -> [Member] {
    let ids = types.map(id(of:))
    precondition(Set(ids).count == ids.count, "two \(field)s share an id: \(ids)")
    return types
  }
}
