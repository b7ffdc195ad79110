import Basics
import RealModule
import Settings
import Tensors

/// A random sparse Markov chain of order k over V symbols, with its stationary law and entropy rate computed exactly.
///
/// P(x | c) = (1 − ε) s_c(x) + ε z(x): each of the V^k contexts c has `branching` successors, drawn without
/// replacement by popularity z(x) ∝ (x + 1)^(−ζ), with weights s_c uniform on the simplex; ε > 0 makes every context
/// reachable, so the stationary law π is unique and power iteration finds it. Popular symbols make some contexts
/// frequent and most of them rare, which is what gives a learning curve its long tail.
///
/// Entropy rate: H = −Σ_c π(c) Σ_x P(x | c) log P(x | c), in nats a symbol (Cover and Thomas, 2006, theorem 4.2.4).
/// - Complexity: O(V^k (V log V)) to build, O(V^k · branching) an iteration.
public struct MarkovChain: Sendable {
  /// V.
  public let symbolCount: Int
  /// k.
  public let order: Int
  /// Successors that a context prefers.
  public let branching: Int
  /// ε.
  public let smoothing: Double
  /// H, in nats a symbol.
  public let entropyRate: Double
  /// π: the probability of every context.
  public let stationary: [Double]

  private let successors: [Int32]
  private let weights: [Double]
  private let successorCumulative: [Double]
  private let popularity: [Double]
  private let popularityCumulative: [Double]
  private let stationaryCumulative: [Double]

  /// V^k.
  public var contextCount: Int { stationary.count }

  /// Draws a chain and solves it.
  /// - Throws: `ConfigurationError` when the table would be too large or the iteration does not converge.
  public init(
    symbolCount: Int, order: Int, branching: Int, smoothing: Double, zipf: Double, key: RandomKey
  ) throws(ConfigurationError) {
    guard branching <= symbolCount else {
      throw ConfigurationError(
        field: "branching", value: "\(branching)", allowed: "at most vocabulary = \(symbolCount) successors")
    }
    let count = MarkovChain.power(symbolCount, order)
    guard count.multipliedReportingOverflow(by: symbolCount).partialValue <= 1 << 22, count <= 1 << 22 else {
      throw ConfigurationError(
        field: "order", value: "\(order)", allowed: "vocabulary^(order + 1) of at most 4194304 table entries")
    }
    (self.symbolCount, self.order, self.branching, self.smoothing) = (
      symbolCount, order, branching, smoothing
    )
    let raw = (0..<symbolCount).map { Double.pow(Double($0 + 1), -zipf) }
    let total = raw.reduce(0, +)
    popularity = raw.map { $0 / total }
    popularityCumulative = MarkovChain.cumulative(popularity)

    var successors: [Int32] = [], weights: [Double] = [], sums: [Double] = []
    var generator = key("chain").generator()
    for _ in 0..<count {
      let chosen = successiveSample(branching, weights: popularity, &generator)
      let exponentials = chosen.map { _ in -Double.log(1 - generator.uniform()) }
      let sum = exponentials.reduce(0, +)
      let row = exponentials.map { $0 / sum }
      successors += chosen.map { Int32($0) }
      weights += row
      sums += MarkovChain.cumulative(row)
    }
    (self.successors, self.weights, successorCumulative) = (successors, weights, sums)

    stationary = try MarkovChain.stationaryLaw(
      contexts: count, symbols: symbolCount, branching: branching, smoothing: smoothing,
      popularity: popularity,
      successors: successors, weights: weights)
    stationaryCumulative = MarkovChain.cumulative(stationary)

    func surprise(_ p: Double) -> Double { p > 0 ? -p * Double.log(p) : 0 }
    let floor = popularity.map { smoothing * $0 }
    let floorEntropy = floor.reduce(0) { $0 + surprise($1) }
    var rate = 0.0
    for context in 0..<count {
      var entropy = floorEntropy
      for slot in context * branching..<(context + 1) * branching {
        let base = floor[Int(successors[slot])]
        entropy += surprise(base + (1 - smoothing) * weights[slot]) - surprise(base)
      }
      rate += stationary[context] * entropy
    }
    entropyRate = rate
  }

  /// P(symbol | context).
  public func probability(of symbol: Int, after context: Int) -> Double {
    var p = smoothing * popularity[symbol]
    for slot in context * branching..<(context + 1) * branching where Int(successors[slot]) == symbol {
      p += (1 - smoothing) * weights[slot]
    }
    return p
  }

  /// The context after one more symbol: the most recent symbol is the lowest digit in base V.
  public func context(_ context: Int, appending symbol: Int) -> Int {
    (context * symbolCount + symbol) % contextCount
  }

  /// Draws a context from the stationary law.
  public func startingContext(_ generator: inout RandomGenerator) -> Int {
    draw(cumulative: stationaryCumulative, &generator)
  }

  /// Draws the next symbol.
  public func nextSymbol(after context: Int, _ generator: inout RandomGenerator) -> Int {
    if generator.uniform() < smoothing { return draw(cumulative: popularityCumulative, &generator) }
    let row = context * branching..<(context + 1) * branching
    return Int(successors[row.lowerBound + draw(cumulative: successorCumulative[row], &generator)])
  }

  private static func power(_ base: Int, _ exponent: Int) -> Int {
    var result = 1
    for _ in 0..<exponent {
      let (product, overflow) = result.multipliedReportingOverflow(by: base)
      guard !overflow, product <= 1 << 40 else { return 1 << 40 }
      result = product
    }
    return result
  }

  private static func cumulative(_ values: [Double]) -> [Double] {
    var sum = 0.0
    return values.map {
      sum += $0
      return sum
    }
  }

  /// π = πP by power iteration from the uniform law, until ‖πP − π‖₁ < 1e−13.
  private static func stationaryLaw(
    contexts: Int, symbols: Int, branching: Int, smoothing: Double, popularity: [Double], successors: [Int32],
    weights: [Double]
  ) throws(ConfigurationError) -> [Double] {
    var law = [Double](repeating: 1 / Double(contexts), count: contexts)
    var tails = [Double](repeating: 0, count: contexts / symbols)
    for _ in 0..<20_000 {
      var next = [Double](repeating: 0, count: contexts)
      for index in tails.indices { tails[index] = 0 }
      for context in 0..<contexts {
        let tail = context % tails.count
        tails[tail] += law[context]
        let mass = law[context] * (1 - smoothing)
        for slot in context * branching..<(context + 1) * branching {
          next[tail * symbols + Int(successors[slot])] += mass * weights[slot]
        }
      }
      for tail in tails.indices {
        for symbol in 0..<symbols {
          next[tail * symbols + symbol] += smoothing * tails[tail] * popularity[symbol]
        }
      }
      let total = next.reduce(0, +)
      var change = 0.0
      for index in next.indices {
        next[index] /= total
        change += abs(next[index] - law[index])
      }
      law = next
      if change < 1e-13 { return law }
    }
    throw ConfigurationError(
      field: "smoothing", value: "\(smoothing)",
      allowed: "a larger value: the chain mixes too slowly to be solved")
  }
}
