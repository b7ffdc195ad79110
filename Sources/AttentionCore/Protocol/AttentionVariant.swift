import Basics
import Settings
import Tensors

/// One configured attention mechanism.
///
/// A variant is one file and one catalogue line; it needs no test of its own. Randomness is drawn in `init`; `forward` and its
/// way back are pure. What is right is said by `definition(of:)`: fast code never calls it, the conformance check
/// compares against it.
public protocol AttentionVariant: Sendable {
  /// The parameters, declared once.
  associatedtype Configuration: VariantConfiguration

  /// What the variant is.
  static var card: VariantCard { get }

  /// What it reads under a configuration: q, k and v when not said. A standard operand that is left out is not read, and its
  /// gradient is 0.
  static func operands(_ configuration: Configuration) -> [Operand]

  /// What it can show besides its results.
  static var exports: [Export] { get }

  /// Names that older files and scripts use for what it declares.
  static var formerNames: [FormerName] { get }

  /// What a catalogue lists in its place: itself, or itself with the settings that every variant of its kind takes.
  static var listed: any AttentionVariant.Type { get }

  /// Configures the variant for a shape; all planning and all random draws happen here.
  /// - Throws: `ConfigurationError` when the configuration does not fit the shape.
  init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey) throws(ConfigurationError)

  /// The variant with the graphs that the inputs bring: what follows from them alone (its cost, its plan) is that of these.
  /// - Throws: `ConfigurationError` when they do not fit the shape.
  func reading(_ graphs: [Operand.Name: EdgeList]) throws(ConfigurationError) -> Self

  /// The same for one of several variants whose owner keeps the patterns that they have in common.
  /// - Throws: `ConfigurationError` when the configuration does not fit the shape.
  init(
    _ configuration: Configuration, for shape: AttentionShape, key: RandomKey, sharing patterns: PatternCache?
  ) throws(ConfigurationError)

  /// Plans a pass: works out what it needs besides its inputs, for the context's threads, and counts in the context's ledger
  /// what is kept of it. Whoever times a pass plans it first; a pass that nobody planned does it when it begins.
  /// - Throws: `MemoryLimitExceeded`.
  func prepare(for pass: PassKind, in context: ExecutionContext) throws

  /// The configuration in force.
  var configuration: Configuration { get }
  /// The shape planned for.
  var shape: AttentionShape { get }
  /// Bytes that the plan (tile lists, rotations) keeps.
  var planBytes: Int { get }

  /// The precisions of q, k and v that `forward` and its way back take.
  static var precisions: [Precision] { get }

  /// Rows of an operand that are read at this shape, rising; `nil`: all. What no row reads need not be given.
  func rows(of operand: Operand.Name) -> [Int]?

  /// What a causal shape promises.
  var causality: Causality { get }

  /// What sequences that end before the batch does are promised.
  var padding: PaddingPromise { get }

  /// The closed-form cost of a pass.
  func cost(of pass: PassKind) -> Cost

  /// Bytes of the state of one sequence of this shape, over all key heads, without operands that are part of others.
  /// - Parameter parts: such as values that are elements of the keys.
  /// - Returns: bytes.
  func stateBytes(without parts: Set<Operand.Name>) -> Double

  /// Makes the choice of keys that a forward pass makes of its inputs, and drops it: what that takes is a part of the pass.
  /// - Returns: `false` where no keys are chosen by data.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`; `ConfigurationError` for given data that do not fit.
  func chooseKeys(of inputs: Operands, in context: ExecutionContext) throws -> Bool

  /// Computes output and LSE. A row with a score that single precision does not hold, whatever its sign, has the LSE NaN:
  /// it must not become a number.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`; `ConfigurationError` for given data that do not fit.
  func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward

  /// The definition: which pairs count, how often, under which score. Written naively and independently of `forward`.
  func definition(of inputs: Operands) throws -> any Definition

  /// What the weights of all rows are like, in O(rows) memory; `nil`: the variant does not tell.
  /// - Throws: what the forward pass throws.
  func statistics(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics?

  /// One of its exports for given inputs.
  /// - Precondition: `exports` names it.
  /// - Throws: what the forward pass throws.
  func export(_ name: Operand.Name, of inputs: Operands, in context: ExecutionContext) throws
    -> (values: [Int32], shape: [Int])
}

/// What a causal shape promises about the keys after a query.
public enum Causality: Hashable, Sendable {
  /// Nothing after a query changes its output, not in one bit.
  case strict
  /// No *value* after a query enters its output, but later tokens may change *which* earlier keys it sees; the text
  /// says how (Reformer's chunks, whose borders depend on the whole sequence).
  case valuesOnly(String)
}

/// What a shape with key lengths promises about the rows behind them.
///
/// Valid rows never depend on what stands in padded rows, in any variant. A row of q is padded too where q and k are of one
/// sequence.
public enum PaddingPromise: Hashable, Sendable {
  /// Nor do they depend on how many padded rows follow: a sequence gives what it gives alone.
  case strict
  /// They depend on how many follow; the text says why (a published pattern that is defined on the padded length).
  case contentOnly(String)
}

extension AttentionVariant {
  /// q, k and v.
  public static func operands(_ configuration: Configuration) -> [Operand] { Operand.standard }

  /// None.
  public static var exports: [Export] { [] }

  /// None.
  public static var formerNames: [FormerName] { [] }

  /// Itself: it reads none.
  public func reading(_ graphs: [Operand.Name: EdgeList]) throws(ConfigurationError) -> Self { self }

  /// Shares none.
  public init(
    _ configuration: Configuration, for shape: AttentionShape, key: RandomKey, sharing patterns: PatternCache?
  ) throws(ConfigurationError) {
    self = try Self(configuration, for: shape, key: key)
  }

  /// Itself.
  public static var listed: any AttentionVariant.Type { Self.self }

  /// Nothing.
  public func prepare(for pass: PassKind, in context: ExecutionContext) throws {}

  /// It chooses none.
  public func chooseKeys(of inputs: Operands, in context: ExecutionContext) throws -> Bool { false }

  /// Strict, as it should be.
  public var padding: PaddingPromise { .strict }

  /// Strict, as it should be.
  public var causality: Causality { .strict }

  /// All.
  public func rows(of operand: Operand.Name) -> [Int]? { nil }

  /// float32 alone, unless a variant says otherwise.
  public static var precisions: [Precision] { [.float32] }

  /// It does not tell.
  public func statistics(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics? { nil }

  /// None is declared.
  public func export(_ name: Operand.Name, of inputs: Operands, in context: ExecutionContext) throws
    -> (values: [Int32], shape: [Int])
  { preconditionFailure("\(Self.card.id) has no export \(name)") }
}

extension AttentionVariant {
  /// What the variant is.
  public var card: VariantCard { Self.card }

  /// `name=value` of all parameters.
  public var configurationSummary: String { configuration.summary }

  /// What it reads.
  public var operands: [Operand] { Self.operands(configuration) }

  /// What it reads at this shape: the operands of which some row is read.
  public var operandsRead: [Operand] { operands.filter { rows(of: $0.name) != [] } }

  /// What it reads under settings.
  /// - Throws: `ConfigurationError`.
  public static func operands(settings: [String: ParameterValue]) throws(ConfigurationError) -> [Operand] {
    operands(try Configuration(settings: settings))
  }

  /// The grid that it takes a sequence for under settings; `nil`: none.
  /// - Throws: `ConfigurationError`.
  public static func gridRows(settings: [String: ParameterValue]) throws(ConfigurationError) -> GridRows? {
    try Configuration(settings: settings).gridRows
  }

  /// Settings for a shape that may be smaller than the one that they were made for.
  /// - Throws: `ConfigurationError`.
  public static func fitted(
    _ settings: [String: ParameterValue], to shape: AttentionShape
  ) throws(ConfigurationError) -> [String: ParameterValue] {
    try Configuration(settings: settings).fitted(to: shape).settings
  }

  /// Configures the variant by settings.
  /// - Parameters:
  ///   - settings: those that differ from their defaults.
  ///   - shape: the sizes, causality and padding.
  ///   - key: names the random draws.
  ///   - patterns: those that variants of one owner share; `nil`: the variant keeps its own.
  /// - Throws: `ConfigurationError`.
  public static func make(
    settings: [String: ParameterValue], shape: AttentionShape, key: RandomKey,
    sharing patterns: PatternCache? = nil
  ) throws(ConfigurationError) -> Self {
    try shape.validate()
    guard precisions.contains(shape.precision) else {
      throw ConfigurationError(
        field: "precision", value: "\(shape.precision)",
        allowed: precisions.map(\.rawValue).joined(separator: " or ") + " with \(card.id)")
    }
    let configuration = try Configuration(settings: settings)
    try configuration.validate(for: shape)
    return try Self(configuration, for: shape, key: key, sharing: patterns)
  }
}

/// What a variant is, in words.
public struct VariantCard: Hashable, Sendable {
  /// The name in presets, commands and the CSV, such as `sliding-window`.
  public let id: String
  /// The name in prose.
  public let title: String
  /// Authors, year and title of the source.
  public let paper: String
  /// One line.
  public let idea: String
  /// The equation, in plain Unicode.
  public let equation: String
  /// Whether which keys a query sees depends on q and k.
  public let dependsOnData: Bool

  /// Creates a card.
  public init(
    id: String, title: String, paper: String, idea: String, equation: String, dependsOnData: Bool = false
  ) {
    self.id = id
    self.title = title
    self.paper = paper
    self.idea = idea
    self.equation = equation
    self.dependsOnData = dependsOnData
  }
}
