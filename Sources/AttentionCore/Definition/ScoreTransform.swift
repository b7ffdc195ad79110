import Tensors

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

/// A transform in one query row: the rows that it reads, found once for all keys.
struct TransformedRow {
  private let transform: ScoreTransform
  private let weight: (name: Operand.Name, rows: DefinitionReader.Rows)?
  private let parts: [(name: Operand.Name, rows: DefinitionReader.Rows)]
  private let products: [[(name: Operand.Name, rows: DefinitionReader.Rows)]]

  init(_ transform: ScoreTransform, _ row: DefinitionRow, _ reader: inout DefinitionReader) {
    func find(_ name: Operand.Name, _ reader: inout DefinitionReader) -> (
      name: Operand.Name, rows: DefinitionReader.Rows
    ) { (name, reader.rows(of: name, row)) }
    self.transform = transform
    switch transform.argument {
    case .elements(let names, let weight):
      self.weight = find(weight, &reader)
      parts = names.map { find($0, &reader) }
      products = []
    case .products(let pairs):
      weight = nil
      parts = []
      products = pairs.map { [find($0.0, &reader), find($0.1, &reader)] }
    }
  }

  /// The score of a pair, and its magnitude: the sum of absolute values of everything that is added before the function or
  /// after it, whichever is more.
  func value(_ key: Int) -> (score: Double, magnitude: Double) {
    let function = transform.function, steepness = transform.factor.magnitude * function.steepness
    guard let weight else {
      let sum = product(key)
      return (transform.factor * function.value(sum.sum), steepness * sum.magnitude)
    }
    let w = weight.rows.vector(key), (x, sizes) = sums(key, count: w.count)
    let score = w.dot(DefinitionVector(x.map(function.value), from: 0, count: w.count)).sum
    let magnitude = w.dot(DefinitionVector(sizes, from: 0, count: w.count)).magnitude
    return (transform.factor * score, steepness * magnitude)
  }

  /// Adds the gradients of a pair's score to those of what it is made of.
  /// - Parameters:
  ///   - slope: ∂L/∂score.
  ///   - size: its magnitude.
  func addGradient(
    _ key: Int, _ slope: Double, _ size: Double, into gradient: inout some DefinitionGradientCollector
  ) {
    let function = transform.function
    let slope = slope * transform.factor, size = size * transform.factor.magnitude
    guard let weight else {
      let d = function.derivative(product(key).sum)
      for pair in products {
        for (own, other) in [(pair[0], pair[1]), (pair[1], pair[0])] {
          let vector = other.rows.vector(key), place = own.rows.place(key)
          gradient.add(to: own.name, at: place, slope * d, vector)
          gradient.addMagnitude(to: own.name, at: place, size * function.steepness, vector)
        }
      }
      return
    }
    let w = weight.rows.vector(key), (x, plainSizes) = sums(key, count: w.count)
    let sizes = plainSizes.map { function.steepness * $0 }
    func add(
      _ values: [Double], _ sizes: [Double], to own: (name: Operand.Name, rows: DefinitionReader.Rows)
    ) {
      let place = own.rows.place(key)
      gradient.add(to: own.name, at: place, slope, DefinitionVector(values, from: 0, count: values.count))
      gradient.addMagnitude(
        to: own.name, at: place, size, DefinitionVector(sizes, from: 0, count: sizes.count))
    }
    add(x.map(function.value), sizes, to: weight)
    var inner = x, innerSizes = sizes
    for t in x.indices {
      inner[t] = w[t] * function.derivative(x[t])
      // A derivative near 0 is as uncertain as the values that it is computed from.
      innerSizes[t] = w[t].magnitude * function.steepness * (1 + sizes[t])
    }
    for part in parts { add(inner, innerSizes, to: part) }
  }

  /// The sum of the parts, element by element, and that of absolute values.
  private func sums(_ key: Int, count: Int) -> (sums: [Double], sizes: [Double]) {
    var sums = [Double](repeating: 0, count: count), sizes = sums
    for part in parts {
      let vector = part.rows.vector(key)
      DoubleVectors.add(1, vector.array, vector.start, to: &sums, 0, count: count)
      DoubleVectors.add(1, vector.array, vector.start, to: &sizes, 0, count: count, absolute: true)
    }
    return (sums, sizes)
  }

  private func product(_ key: Int) -> (sum: Double, magnitude: Double) {
    var total = (sum: 0.0, magnitude: 0.0)
    for pair in products {
      let product = pair[0].rows.vector(key).dot(pair[1].rows.vector(key))
      total.sum += product.sum
      total.magnitude += product.magnitude
    }
    return total
  }
}
