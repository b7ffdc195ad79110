import AttentionCore
import Models
import Tensors

extension AttentionSwap {
  /// What the weights of one layer are like before and after the swap, both of the queries and keys that the original model makes:
  /// over all heads and all rows that are no padding.
  public struct Weights: Hashable, Sendable {
    /// The largest score of any row before.
    public let largestScore: Double?
    /// The mean entropy of the rows before, in nats.
    public let entropy: Double?
    /// The same after.
    public let entropySwapped: Double?
    /// The mean share of the weights before that lies on pairs that are seen after; `nil` where scores are others.
    public let keptMass: Double?

    /// Looks at both.
    /// - Parameters:
    ///   - before: the original attention with what it read.
    ///   - after: the other one with the same.
    ///   - input: says which rows are padding.
    ///   - context: threads, instruction set, ledger and cancellation.
    /// - Throws: what statistics and definitions throw.
    /// - Returns: `nil` where one of them gives no log-sum-exp.
    init?(
      _ before: KeptMass.Pass?, _ after: KeptMass.Pass?, of input: ModelInput, in context: ExecutionContext
    ) throws {
      guard let before, let after else { return nil }
      let shape = before.variant.shape
      let real = shape.definitionRows.indices.filter {
        let row = shape.definitionRow($0)
        return input.isReal(row.batch * input.length + row.query)
      }
      func mean(_ values: [Double]) -> Double { real.reduce(0) { $0 + values[$1] } / Double(real.count) }
      let statistics = try before.statistics(in: context)
      largestScore = statistics.flatMap { all in
        real.lazy.map { all.largestScore[$0] }.filter(\.isFinite).max()
      }
      entropy = statistics.map { mean($0.entropy) }
      entropySwapped = try after.statistics(in: context).map { mean($0.entropy) }
      do {
        keptMass = mean(try KeptMass(of: before, by: after).rows)
      } catch is KeptMass.Incomparable { keptMass = nil }
    }
  }
}
