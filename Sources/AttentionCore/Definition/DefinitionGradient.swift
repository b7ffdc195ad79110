import Tensors

/// Where a definition puts the terms of gradients.
public protocol DefinitionGradientCollector {
  /// Adds `factor · source` to the gradient of an operand from an element on.
  mutating func add(to operand: Operand.Name, at start: Int, _ factor: Double, _ source: DefinitionVector)
  /// Adds `factor · |source|` to the magnitude of that gradient.
  mutating func addMagnitude(
    to operand: Operand.Name, at start: Int, _ factor: Double, _ source: DefinitionVector)
  /// Adds a term a row to a gradient and to its magnitude: what the two above do, for all keys of a query row at once.
  mutating func add(to operand: Operand.Name, _ terms: DefinitionTerms)
  /// Whether it keeps what is added to an operand: what it does not keep need not be worked out.
  func keeps(_ operand: Operand.Name) -> Bool
}

/// A term a row: `factor · factors_n · source_n` is added to a gradient, `|factor| · sizes_n · |source_n|` to its magnitude.
public struct DefinitionTerms: Sendable {
  /// What is multiplied.
  public let source: DoubleVectors.Rows
  /// Which rows of the source and of the operand.
  public let rows: [Int]
  /// On all terms.
  public let factor: Double
  /// A number a row.
  public let factors: [Double]
  /// The sum of absolute values of what that number was added from.
  public let sizes: [Double]
  /// Where row 0 begins in the operand.
  public let start: Int
  /// Elements from a row of the operand to the next; 0: all terms are added to one row.
  public let step: Int
}

extension DefinitionGradientCollector {
  /// All.
  public func keeps(_ operand: Operand.Name) -> Bool { true }

  /// One term after the other.
  public mutating func add(to operand: Operand.Name, _ terms: DefinitionTerms) {
    let source = terms.source
    for (index, row) in terms.rows.enumerated() {
      let place = terms.start + row * terms.step
      let vector = DefinitionVector(
        source.array, from: source.start + row * source.step, count: source.count)
      add(to: operand, at: place, terms.factor * terms.factors[index], vector)
      addMagnitude(to: operand, at: place, terms.factor.magnitude * terms.sizes[index], vector)
    }
  }
}

/// Gradients of all operands with the magnitudes of their sums.
public struct DefinitionGradient: DefinitionGradientCollector, Sendable {
  /// ∂L/∂operand.
  public private(set) var values: [Operand.Name: [Double]]
  /// The same sums of absolute values.
  public private(set) var magnitudes: [Operand.Name: [Double]]

  /// Zeros of some sizes.
  init(sizes: [Operand.Name: Int]) {
    values = sizes.mapValues { [Double](repeating: 0, count: $0) }
    magnitudes = values
  }

  /// ∂L/∂q.
  public var query: [Double] { values[.query] ?? [] }
  /// ∂L/∂k.
  public var key: [Double] { values[.key] ?? [] }
  /// ∂L/∂v.
  public var value: [Double] { values[.value] ?? [] }

  /// Adds a term.
  public mutating func add(
    to operand: Operand.Name, at start: Int, _ factor: Double, _ source: DefinitionVector
  ) {
    // In place: an array taken out of a dictionary and put back would be copied.
    DoubleVectors.add(
      factor, source.array, source.start, to: &values[operand, default: []], start, count: source.count)
  }

  /// Adds the magnitude of a term.
  public mutating func addMagnitude(
    to operand: Operand.Name, at start: Int, _ factor: Double, _ source: DefinitionVector
  ) {
    DoubleVectors.add(
      factor, source.array, source.start, to: &magnitudes[operand, default: []], start,
      count: source.count, absolute: true)
  }

  /// Adds terms in place: one look into the dictionary for all of them.
  public mutating func add(to operand: Operand.Name, _ terms: DefinitionTerms) {
    DoubleVectors.addRows(
      terms.factors, terms.source, terms.rows, times: terms.factor, to: &values[operand, default: []],
      from: terms.start, step: terms.step)
    DoubleVectors.addRows(
      terms.sizes, terms.source, terms.rows, times: terms.factor.magnitude,
      to: &magnitudes[operand, default: []], from: terms.start, step: terms.step, absolute: true)
  }
}
