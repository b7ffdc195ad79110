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
  ///   - slope: the loss's gradient with respect to it.
  ///   - size: the sum of absolute values of what is added for that.
  func addGradient(
    key: Int, slope: Double, size: Double, into gradient: inout some DefinitionGradientCollector)
}
