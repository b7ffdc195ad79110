import AttentionCore
import Settings

/// The kinds of experiment that exist; the first is meant where a preset names none.
public struct ExperimentCatalog: NamedCatalog {
  /// What a member is called in messages.
  public static let field = "kind of experiment"

  /// How presets name a kind.
  public static func id(of member: any ExperimentKind.Type) -> String { member.id }

  /// The kinds in order.
  public let types: [any ExperimentKind.Type]

  /// Creates a catalogue.
  /// - Precondition: no two kinds share an id.
  public init(_ types: [any ExperimentKind.Type]) { self.types = Self.distinct(types) }
}

/// Everything outside a plan that reading it needs.
public struct PlanContext: Sendable {
  /// The variants that exist.
  public let catalog: Catalog
  /// The folder of the preset.
  public let folder: String
  /// The name of the experiment; empty when it has none.
  public var name = ""

  /// Creates a context.
  public init(catalog: Catalog, folder: String) { (self.catalog, self.folder) = (catalog, folder) }
}
