#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A summand of a score that is no plain product: additive attention, the scores of graph attention.
public struct ScoreTransform: Sendable {
  /// The function.
  public enum Function: Hashable, Sendable {
    /// The hyperbolic tangent.
    case tanh
    /// x for x > 0, else `slope · x`.
    case leaky(slope: Double)

    func value(_ x: Double) -> Double {
      switch self {
      case .tanh: hyperbolicTangent(x)
      case .leaky(let slope): x > 0 ? x : slope * x
      }
    }

    func derivative(_ x: Double) -> Double {
      switch self {
      case .tanh: 1 - hyperbolicTangent(x) * hyperbolicTangent(x)
      case .leaky(let slope): x > 0 ? 1 : slope
      }
    }

    /// The largest derivative: what a rounding of x becomes.
    var steepness: Double {
      switch self {
      case .tanh: 1
      case .leaky(let slope): max(1, slope.magnitude)
      }
    }
  }

  /// What goes through the function.
  public enum Argument: Sendable {
    /// `Σ_t w_t · f(Σ_r r_t)` over the elements of rows: additive attention.
    case elements(of: [Operand.Name], weight: Operand.Name)
    /// `f(Σ a·b)`: one number.
    case products([(Operand.Name, Operand.Name)])
  }

  let function: Function
  let argument: Argument
  let factor: Double

  var hasKinks: Bool { if case .leaky = function { true } else { false } }

  /// Declares it.
  /// - Parameters:
  ///   - function: what is taken of the argument.
  ///   - argument: what it is taken of.
  ///   - factor: on the whole.
  public init(_ function: Function, of argument: Argument, factor: Double) {
    (self.function, self.argument, self.factor) = (function, argument, factor)
  }
}

private func hyperbolicTangent(_ x: Double) -> Double { tanh(x) }

extension DefinitionReader {
  /// The score of a pair, and its magnitude: the sum of absolute values of everything that is added before the function or
  /// after it, whichever is more.
  mutating func value(
    of transform: ScoreTransform, _ row: DefinitionRow, _ key: Int
  ) -> (score: Double, magnitude: Double) {
    let function = transform.function
    switch transform.argument {
    case .elements(let names, let weight):
      let w = rows(of: weight, row).vector(key)
      let parts = vectors(names, row, key)
      var score = 0.0, magnitude = 0.0
      for t in 0..<w.count {
        score += w[t] * function.value(parts.reduce(0) { $0 + $1[t] })
        magnitude += w[t].magnitude * parts.reduce(0) { $0 + $1[t].magnitude }
      }
      return (transform.factor * score, transform.factor.magnitude * function.steepness * magnitude)
    case .products(let products):
      let sum = self.sum(of: products, row, key)
      return (
        transform.factor * function.value(sum.sum),
        transform.factor.magnitude * function.steepness * sum.magnitude
      )
    }
  }

  /// Adds the gradients of a pair's score to those of what it is made of.
  /// - Parameters:
  ///   - slope: ∂L/∂score.
  ///   - size: its magnitude.
  mutating func addGradient(
    of transform: ScoreTransform, _ row: DefinitionRow, _ key: Int, _ slope: Double, _ size: Double,
    into gradient: inout some DefinitionGradientCollector
  ) {
    let function = transform.function
    switch transform.argument {
    case .elements(let names, let weight):
      let w = rows(of: weight, row).vector(key)
      let parts = vectors(names, row, key)
      let x = (0..<w.count).map { t in parts.reduce(0) { $0 + $1[t] } }
      let sizes = (0..<w.count).map { t in function.steepness * parts.reduce(0) { $0 + $1[t].magnitude } }
      let slope = slope * transform.factor, size = size * transform.factor.magnitude
      add(x.map(function.value), sizes, to: weight, row, key, slope, size, into: &gradient)
      let inner = x.indices.map { w[$0] * function.derivative(x[$0]) }
      // A derivative near 0 is as uncertain as the values that it is computed from.
      let innerSizes = x.indices.map { w[$0].magnitude * function.steepness * (1 + sizes[$0]) }
      for name in names {
        add(inner, innerSizes, to: name, row, key, slope, size, into: &gradient)
      }
    case .products(let products):
      let d = function.derivative(sum(of: products, row, key).sum)
      for (a, b) in products {
        for (name, other) in [(a, b), (b, a)] {
          let vector = rows(of: other, row).vector(key), place = rows(of: name, row).place(key)
          gradient.add(to: name, at: place, slope * transform.factor * d, vector)
          gradient.addMagnitude(
            to: name, at: place, size * transform.factor.magnitude * function.steepness, vector)
        }
      }
    }
  }

  private mutating func add(
    _ values: [Double], _ sizes: [Double], to name: Operand.Name, _ row: DefinitionRow, _ key: Int,
    _ slope: Double, _ size: Double, into gradient: inout some DefinitionGradientCollector
  ) {
    let place = rows(of: name, row).place(key)
    gradient.add(to: name, at: place, slope, DefinitionVector(values, from: 0, count: values.count))
    gradient.addMagnitude(
      to: name, at: place, size, DefinitionVector(sizes, from: 0, count: sizes.count))
  }

  private mutating func vectors(_ names: [Operand.Name], _ row: DefinitionRow, _ key: Int)
    -> [DefinitionVector]
  {
    var vectors: [DefinitionVector] = []
    for name in names { vectors.append(rows(of: name, row).vector(key)) }
    return vectors
  }

  private mutating func sum(
    of products: [(Operand.Name, Operand.Name)], _ row: DefinitionRow, _ key: Int
  ) -> (sum: Double, magnitude: Double) {
    var total = (sum: 0.0, magnitude: 0.0)
    for (a, b) in products {
      let product = rows(of: a, row).vector(key).dot(rows(of: b, row).vector(key))
      total.sum += product.sum
      total.magnitude += product.magnitude
    }
    return total
  }
}
