import Settings

/// The parameters of a variant.
///
/// A configuration is a plain struct of values with defaults; `parameters` declares each once.
public protocol VariantConfiguration: ParameterSet {
  /// Settings that the conformance check tries besides the defaults: small enough to matter at a few hundred tokens.
  static var samples: [Self] { get }
  /// Checks what depends on several parameters or on the shape.
  /// - Throws: `ConfigurationError`.
  func validate(for shape: AttentionShape) throws(ConfigurationError)
  /// The last position whose row reads an operand of the variant's own; `nil`: there is no last one. A decoder makes and
  /// keeps that operand no longer.
  func lastReader(of operand: Operand.Name) -> Int?
  /// Of `count` keys those that no causal query behind them sees: a decoder drops them, and `state_bytes` counts the others.
  /// What is left must give these queries the same output as a sequence of its own. `nil`: an earlier row's output depends on how
  /// many follow, so nothing computed for it can be kept.
  func evictableKeys(of count: Int) -> Range<Int>?
  /// Whether what a causal query sees, and how, follows from distances alone: then keys may stand before a sequence, such as
  /// those of a memory of earlier segments, and their number changes no other pair.
  var goesByDistance: Bool { get }
  /// The grid that it takes a sequence for; `nil`: none. Over the patches of an image it must be theirs.
  var gridRows: GridRows? { get }
  /// How a layer is wired around it.
  var wiring: LayerWiring { get }
  /// For a shorter sequence, or fewer heads, than it was made for: without what that does not have, such as positions behind its
  /// end.
  func fitted(to shape: AttentionShape) -> Self
}

extension VariantConfiguration {
  /// The defaults alone.
  public static var samples: [Self] { [Self()] }

  /// Nothing to check.
  public func validate(for shape: AttentionShape) throws(ConfigurationError) {}

  /// None.
  public var gridRows: GridRows? { nil }

  /// As in a Transformer.
  public var wiring: LayerWiring { LayerWiring() }

  /// There is no last one.
  public func lastReader(of operand: Operand.Name) -> Int? { nil }

  /// Nothing of a row can be kept: of a variant that does not say more nothing is assumed.
  public func evictableKeys(of count: Int) -> Range<Int>? { nil }

  /// Of a variant that does not say more nothing is assumed.
  public var goesByDistance: Bool { false }

  /// The same.
  public func fitted(to shape: AttentionShape) -> Self { self }
}

/// How a sequence is the rows of a grid, one behind the other.
public struct GridRows: Hashable, Sendable {
  /// Places of a row.
  public let width: Int
  /// Positions before the first row, such as a class token.
  public let leading: Int

  /// Takes both numbers.
  public init(width: Int, leading: Int) { (self.width, self.leading) = (width, leading) }
}
