import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// How much of every row's weights lies on the pairs of another variant with the same scores: `e^{l' − l}`, of two log-sum-exps and no
/// weight.
///
/// A row without keys keeps 0. What stands in the denominator beside the keys takes its part of the weights, and is kept by nobody.
public struct KeptMass: Hashable, Sendable {
  /// A share of [0, 1] for every row, in the order of the log-sum-exp.
  public let rows: [Double]

  /// The other variant has a pair in this row that the first has not, or another score.
  public struct Incomparable: Error, Hashable {
    /// The first such row that was found.
    public let row: DefinitionRow
  }

  /// A variant with what it read and the log-sum-exp that it gave.
  public struct Pass {
    /// The variant.
    public let variant: any AttentionVariant
    let inputs: Operands
    let lse: [Float]

    /// Says what was computed.
    /// - Parameters:
    ///   - variant: the variant.
    ///   - inputs: what it read.
    ///   - lse: what its forward pass gave.
    public init(_ variant: any AttentionVariant, _ inputs: Operands, lse: Tensor) {
      (self.variant, self.inputs, self.lse) = (variant, inputs, lse.array())
    }

    /// What its weights are like; `nil`: it does not tell.
    /// - Parameter context: threads, instruction set, ledger and cancellation.
    /// - Throws: what the forward pass throws.
    /// - Returns: statistics of every row.
    public func statistics(in context: ExecutionContext) throws -> RowStatistics? {
      try variant.statistics(of: inputs, in: context)
    }
  }

  /// Compares two passes over rows of the same shape.
  /// - Parameters:
  ///   - whole: whose weights are shared out.
  ///   - part: on whose pairs they lie.
  /// - Throws: `Incomparable` where scores differ in one of a few rows that are looked at, or a row would keep more than all;
  ///   what definitions throw.
  /// - Complexity: O(rows), and the definitions of four rows.
  public init(of whole: Pass, by part: Pass) throws {
    if let row = try Self.firstDifference(whole, part) { throw Incomparable(row: row) }
    rows = try zip(whole.lse, part.lse).enumerated().map { index, pair in
      let mass = pair.0 == -.infinity ? 0 : exp(Double(pair.1) - Double(pair.0))
      guard mass <= 1.001 else { throw Incomparable(row: whole.variant.shape.definitionRow(index)) }
      return min(1, mass)
    }
  }

  private static let rowsLookedAt = 4

  private static func firstDifference(_ whole: Pass, _ part: Pass) throws -> DefinitionRow? {
    let shape = whole.variant.shape, count = whole.lse.count
    // From the last row on: in a causal shape it sees most.
    let places = stride(from: count - 1, through: 0, by: -max(1, count / rowsLookedAt))
    let rows = places.map { shape.definitionRow($0) }
    func pairs(_ pass: Pass) throws -> [[DefinitionPair]]? {
      let definition = try pass.variant.definition(of: pass.inputs) as? any PairDefinition
      return definition?.pairs(of: rows, DefinitionInputs(pass.inputs, lazily: true))
    }
    guard let all = try pairs(whole), let some = try pairs(part) else { return rows.first }
    for ((all, some), row) in zip(zip(all, some), rows) {
      let known = Dictionary(all.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
      let isPart = some.allSatisfy { pair in
        guard pair.key != nil, let own = known[pair.key], pair.count <= own.count else { return false }
        return (pair.score - own.score).magnitude <= 1e-9 * (1 + own.magnitude)
      }
      if !isPart { return row }
    }
    return nil
  }
}
