import RealModule
import Tensors

/// Which experts the rows of a layer ask, and with which weights.
public struct Routing: Sendable {
  /// What the settings say.
  let mixture: ExpertMixture
  /// The scores z, `[rows, experts]`.
  let scores: Tensor
  /// The experts of all rows, the best first: `[rows·chosen]`.
  public let experts: [Int]
  /// Their weights, `[rows·chosen]`.
  public let weights: [Float]

  /// Chooses. Of equal scores the first expert's counts more.
  /// - Parameters:
  ///   - mixture: how.
  ///   - scores: z, `[rows, experts]`.
  ///   - correction: what is added to scores where experts are chosen, `[experts]`; `nil`: nothing.
  /// - Complexity: O(rows·experts·log(experts)).
  public init(_ mixture: ExpertMixture, scores: Tensor, correction: [Float]?) {
    (self.mixture, self.scores) = (mixture, scores)
    var experts: [Int] = [], weights: [Float] = []
    for row in 0..<scores.shape[0] {
      let z = scores.row(row).map(Double.init)
      let values = Routing.values(z, mixture.scores)
      let ranked = correction.map { zip(values, $0).map { $0 + Double($1) } } ?? values
      let own = Routing.best(ranked, mixture)
      experts += own
      weights += Routing.weights(own.map { values[$0] }, mixture).map { Float($0) }
    }
    (self.experts, self.weights) = (experts, weights)
  }

  /// By expert the places in `experts` and `weights` at which it is asked; place p is of row p/chosen.
  public var places: [[Int]] {
    var result = [[Int]](repeating: [], count: scores.shape[1])
    for (place, expert) in experts.enumerated() { result[expert].append(place) }
    return result
  }

  /// What experts are chosen by, before a correction.
  private static func values(_ z: [Double], _ kind: ExpertMixture.Scores) -> [Double] {
    switch kind {
    case .softmaxChosen: return z
    case .sigmoid: return z.map { 1 / (1 + Double.exp(-$0)) }
    case .softmax: return softmax(z)
    }
  }

  private static func softmax(_ z: [Double]) -> [Double] {
    let top = z.max() ?? 0, powers = z.map { Double.exp($0 - top) }, sum = powers.reduce(0, +)
    return powers.map { $0 / sum }
  }

  /// The chosen experts, the best first.
  private static func best(_ values: [Double], _ mixture: ExpertMixture) -> [Int] {
    func order(_ numbers: [Double]) -> [Int] {
      numbers.indices.sorted { (numbers[$1], $0) < (numbers[$0], $1) }
    }
    guard mixture.groups > mixture.groupsChosen else { return Array(order(values).prefix(mixture.chosen)) }
    let size = values.count / mixture.groups
    let sums = (0..<mixture.groups).map { group in
      values[group * size..<(group + 1) * size].sorted(by: >).prefix(2).reduce(0, +)
    }
    let open = Set(order(sums).prefix(mixture.groupsChosen))
    return Array(order(values).filter { open.contains($0 / size) }.prefix(mixture.chosen))
  }

  /// The weights of chosen experts from their values.
  private static func weights(_ values: [Double], _ mixture: ExpertMixture) -> [Double] {
    if mixture.scores == .softmaxChosen { return softmax(values).map { mixture.factor * $0 } }
    guard mixture.renormalize else { return values.map { mixture.factor * $0 } }
    let sum = values.reduce(0, +) + 1e-20
    return values.map { mixture.factor * $0 / sum }
  }

  /// ∂L/∂z `[rows, experts]` from ∂L/∂w `[rows·chosen]`; the choice itself has no gradient.
  /// - Complexity: O(rows·experts).
  /// - Throws: `MemoryLimitExceeded`.
  public func backward(_ dWeights: [Float]) throws(MemoryLimitExceeded) -> Tensor {
    let count = scores.shape[1], chosen = mixture.chosen
    var result: [Float] = []
    result.reserveCapacity(scores.count)
    for row in 0..<scores.shape[0] {
      let z = scores.row(row).map(Double.init), values = Routing.values(z, mixture.scores)
      let own = experts[row * chosen..<(row + 1) * chosen]
      let d = dWeights[row * chosen..<(row + 1) * chosen].map { mixture.factor * Double($0) }
      var dz = [Double](repeating: 0, count: count)
      if mixture.scores == .softmaxChosen {
        let shares = Routing.softmax(own.map { values[$0] })
        let mean = zip(d, shares).reduce(0) { $0 + $1.0 * $1.1 }
        for (place, expert) in own.enumerated() { dz[expert] = shares[place] * (d[place] - mean) }
      } else {
        let sum = mixture.renormalize ? own.reduce(0) { $0 + values[$1] } + 1e-20 : 1
        let mean = mixture.renormalize ? zip(d, own).reduce(0) { $0 + $1.0 * values[$1.1] } / sum : 0
        let dValues = d.map { ($0 - mean) / sum }
        let all = zip(dValues, own).reduce(0) { $0 + $1.0 * values[$1.1] }
        if mixture.scores == .softmax { dz = values.map { -$0 * all } }
        for (place, expert) in own.enumerated() {
          let value = values[expert]
          dz[expert] += dValues[place] * (mixture.scores == .softmax ? value : value * (1 - value))
        }
      }
      result += dz.map { Float($0) }
    }
    return try Tensor(result, shape: scores.shape)
  }
}
