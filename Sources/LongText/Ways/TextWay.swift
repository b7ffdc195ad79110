import Basics
import Settings
import Tasks

/// A way around attention over a whole text: what a model reads in place of a row that is long.
///
/// A way is one file and one line of `WayCatalog`; its settings are declared once, for YAML, `--set`, `--way` and `attnlab list`.
public protocol TextWay: Sendable {
  /// The parameters, declared once.
  associatedtype Configuration: ParameterSet

  /// What the way is.
  static var card: WayCard { get }

  /// Configures the way; everything that may be wrong with the settings or with the user's files is found here.
  /// - Throws: `ConfigurationError`, `TextError`.
  init(_ configuration: Configuration) throws

  /// The configuration in force.
  var configuration: Configuration { get }
  /// How the answers to the parts of a row are joined, where a class is asked for and a row has several.
  var join: PartJoin? { get }

  /// Whether the way can go before a task.
  /// - Throws: `ConfigurationError`.
  func check(_ task: any SequenceTask) throws(ConfigurationError)
  /// The most tokens of what is read in place of a row of so many.
  func length(of length: Int) -> Int
  /// What is read in place of a row: one row, or several.
  func parts(of row: Example) -> [Example]
  /// What the way makes of a file or folder, within bounded memory.
  /// - Throws: `UsageError` for what it cannot do; `TextError`; what a model throws.
  func answer(_ question: TextQuestion, _ emit: ([UInt8]) throws -> Void) throws -> TextAnswer
}

extension TextWay {
  /// Every row is one.
  public var join: PartJoin? { nil }
}

/// What a way is, in words.
public struct WayCard: Hashable, Sendable {
  /// The name in presets and commands, such as `windows`.
  public let id: String
  /// The name in prose.
  public let title: String
  /// Authors, year and title of the source.
  public let paper: String
  /// One line.
  public let idea: String
}

/// The ways that a program knows.
public struct WayCatalog: NamedCatalog {
  /// The ways in the order in which they are shown.
  public let types: [any TextWay.Type]

  /// Creates a catalogue.
  /// - Precondition: no two ways share an id.
  public init(_ types: [any TextWay.Type]) { self.types = Self.distinct(types) }

  /// What a way is called in messages.
  public static let field = "way"
  /// The id on its card.
  public static func id(of member: any TextWay.Type) -> String { member.card.id }

  /// The ways of the lab.
  public static let standard = WayCatalog([Windows.self, Extract.self, Retrieve.self])

  /// The word for rows as they are.
  public static let none = "none"

  /// Reads a line such as `windows(length=256, stride=128)`, the grammar of a layer's attention.
  /// - Returns: `nil` for `none`.
  /// - Throws: `ConfigurationError` that quotes what is wrong; `TextError`.
  public func make(_ line: String) throws -> (any TextWay)? {
    let entries: [LayerAttention]
    do throws(ConfigurationError) { entries = try LayerAttention.parse(line) } catch {
      throw ConfigurationError(field: Self.field, value: error.value, allowed: Self.allowed)
    }
    guard entries.count == 1 else {
      throw ConfigurationError(field: Self.field, value: line, allowed: Self.allowed)
    }
    if entries[0].id == Self.none, entries[0].settings.isEmpty { return nil }
    func open<Way: TextWay>(_ type: Way.Type) throws -> any TextWay {
      try Way(Way.Configuration(settings: entries[0].settings))
    }
    let type = try self.type(of: entries[0].id)
    return try open(type)
  }

  private static let allowed = "none or one way such as windows(length=256, stride=128)"
}
