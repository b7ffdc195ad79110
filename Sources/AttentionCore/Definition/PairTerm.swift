/// A number by row and key that a mechanism defines beside itself, naively and in Double: a summand of the score (a product through a
/// matrix, a learned bias by distance), or a factor on the weight.
public protocol PairTerm: Sendable {
  /// Whether it has kinks along the way of its inputs.
  var hasKinks: Bool { get }
  /// What it is for one query row: made once for all of its keys.
  func row(_ row: DefinitionRow, _ inputs: DefinitionInputs) -> any PairTermRow
}

extension PairTerm {
  /// None.
  public var hasKinks: Bool { false }
}

/// Such a number in one query row.
public protocol PairTermRow {
  /// Its value with a key, and the sum of the absolute values of what is added for it.
  func value(key: Int) -> (sum: Double, magnitude: Double)
  /// Adds the gradients of what it is made of.
  /// - Parameters:
  ///   - slopes: of the keys that the row counts.
  ///   - gradient: where they are added.
  func addGradient(_ slopes: [PairSlope], into gradient: inout some DefinitionGradientCollector)
}

/// The loss's gradient with respect to a number of a row and a key.
public struct PairSlope: Sendable {
  /// The row of k.
  public let key: Int
  /// The gradient.
  public let slope: Double
  /// The sum of absolute values of what is added for it.
  public let size: Double
}
