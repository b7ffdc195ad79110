import Basics
import Settings
import Tensors

/// One configured attention mechanism.
///
/// A variant is one file, one catalogue line and one test call. Randomness is drawn in `init`; `forward` and
/// `backward` are pure. Correctness is defined by `oracle(for:)`: fast code never calls it, the conformance check
/// compares against it.
public protocol AttentionVariant: Sendable {
  /// The parameters, declared once.
  associatedtype Configuration: VariantConfiguration
  /// What backward needs beyond q, k, v, output and LSE.
  associatedtype Saved: Sendable

  /// What the variant is.
  static var card: VariantCard { get }

  /// Configures the variant for a shape; all planning and all random draws happen here.
  /// - Throws: `ConfigurationError` when the configuration does not fit the shape.
  init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey) throws(ConfigurationError)

  /// The configuration in force.
  var configuration: Configuration { get }
  /// The shape planned for.
  var shape: AttentionShape { get }
  /// Bytes that the plan (tile lists, rotations) keeps.
  var planBytes: Int { get }

  /// The precisions of q, k and v that `forward` and `backward` take.
  static var precisions: [Precision] { get }

  /// Rows of q that read `QKV.global` when the inputs have it, rising.
  var globalRows: [Int] { get }

  /// What a causal shape promises.
  var causality: Causality { get }

  /// What sequences that end before the batch does are promised.
  var padding: PaddingPromise { get }

  /// The closed-form cost of a pass.
  func cost(of pass: PassKind) -> Cost

  /// Computes output and LSE. A row with a score that single precision does not hold, whatever its sign, has the LSE NaN:
  /// it must not become a number.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func forward(_ inputs: QKV, in context: ExecutionContext) throws -> Forward<Saved>

  /// Computes the gradients of q, k and v from the gradient of the output.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func backward(
    _ outputGradient: Tensor, _ inputs: QKV, _ forward: Forward<Saved>, in context: ExecutionContext
  ) throws -> QKVGradient

  /// The definition: which pairs count, how often, under which score. Written naively and independently of `forward`.
  func oracle(for inputs: QKV) throws -> Oracle
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
  /// Strict, as it should be.
  public var padding: PaddingPromise { .strict }

  /// Strict, as it should be.
  public var causality: Causality { .strict }

  /// None.
  public var globalRows: [Int] { [] }

  /// float32 alone, unless a variant says otherwise.
  public static var precisions: [Precision] { [.float32] }
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

/// A variant whose pattern is known before the scores are: it declares tiles, the engine computes.
///
/// `forward` and `backward` come from the `Attention` module's engine; `pattern` is built in `init`.
public protocol PatternVariant: AttentionVariant where Saved == NothingSaved {
  /// The tiles of every (batch, head).
  var pattern: TilePattern { get }
  /// The tiles of the backward pass: the same pairs, in tiles of another height where that is faster.
  var backwardPattern: TilePattern { get }
  /// How often a pair counts: 0 masked, 1, 2, … Written from the definition, not from the tiles.
  /// `query` is a row of q, `key` a row of k; causality is included, key padding is not (it applies to all alike).
  func multiplicity(batch: Int, head: Int, query: Int, key: Int) -> Int
  /// Key rows that a decoder must keep a head to go on from here; all of them when not said.
  var stateKeys: Int { get }
}

extension PatternVariant {
  /// All: the engine takes them.
  public static var precisions: [Precision] { Precision.allCases }

  /// The tiles of the forward pass.
  public var backwardPattern: TilePattern { pattern }

  /// All keys.
  public var stateKeys: Int { shape.keyLength }

  /// Bytes of the tile lists.
  public var planBytes: Int { pattern.byteCount }

  /// The plain oracle over `multiplicity`.
  public func oracle(for inputs: QKV) throws -> Oracle {
    Oracle(shape: shape, multiplicity: { multiplicity(batch: $0, head: $1, query: $2, key: $3) })
  }
}
