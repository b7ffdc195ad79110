import AttentionCore
import Basics
import Records
import Settings

/// A kind of experiment that presets can ask for: `experiment: NAME`.
public protocol ExperimentKind: Sendable {
  /// What an experiment of this kind asks for.
  associatedtype Plan: Sendable

  /// How presets name it.
  static var id: String { get }
  /// What its results are called, in the plural.
  static var results: String { get }
  /// The file of its rows in the folder of a run.
  static var table: String { get }

  /// Reads the fields of an experiment.
  /// - Throws: `UsageError` with place and what is allowed.
  static func plan(_ reader: inout FieldReader, _ context: PlanContext) throws(UsageError) -> Plan
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
