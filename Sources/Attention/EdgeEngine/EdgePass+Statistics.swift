import AttentionCore
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension EdgePass {
  /// Statistics of the softmax over the edges of every row.
  /// - Throws: `CancellationRequested`.
  func statistics(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics {
    try RowwiseStatistics(shape: shape, score: pairScore).rows(of: inputs, in: context) {
      batch, _, row, visit in
      let edges = rows.edges(to: row)
      for edge in edges.prefix(count(edges, to: row, batch)) { visit(Int(rows.sources[edge])) }
    }
  }

  private var pairScore: PairScore {
    let dim = shape.headDim, scale = scale
    func leaky(_ slope: Double) -> @Sendable (Double) -> Double {
      { scale * ($0 > 0 ? $0 : slope * $0) }
    }
    return switch score {
    case .dot: .products(scale, dim: dim)
    case .leakySum(let weights, let slope): .sums(weights, dim: dim, through: leaky(slope))
    case .tanhSum(let weights): .sums(weights, dim: dim) { scale * tanh($0) }
    case .nodes(let source, let target, let slope):
      .nodes(source: source, target: target, dim: dim, through: leaky(slope))
    }
  }
}
