import AttentionCore
import Tensors

/// Products of the rows of every head with a matrix of that head.
/// - Complexity: 2·rows·d·columns operations.
enum HeadProducts {
  /// `y = x·M_h`, x `[batch, heads, n, d]`, M `[heads, d, columns]`, or transposed `[heads, columns, d]`.
  /// - Throws: `MemoryLimitExceeded`.
  static func rows(
    _ x: Tensor, _ matrices: Tensor, _ side: ExecutionContext.Orientation = .plain,
    in context: ExecutionContext
  ) throws -> Tensor {
    let columns = matrices.shape[side == .plain ? 2 : 1], length = x.shape[2]
    var result = try context.empty([x.shape[0], x.shape[1], length, columns])
    for batch in 0..<x.shape[0] {
      for head in 0..<x.shape[1] {
        try context.gemm(
          x.matrix(batch, head), .plain, matrix(of: matrices, head), side, into: &result,
          at: (batch * x.shape[1] + head) * length * columns)
      }
    }
    return result
  }

  /// `dM_h = Σ_batch xᵀ·dy`, `[heads, d, columns]`.
  /// - Throws: `MemoryLimitExceeded`.
  static func gradient(_ x: Tensor, _ dy: Tensor, in context: ExecutionContext) throws -> Tensor {
    let (heads, dim, columns) = (x.shape[1], x.shape[3], dy.shape[3])
    var result = try context.zeros([heads, dim, columns])
    for head in 0..<heads {
      for batch in 0..<x.shape[0] {
        try context.gemm(
          x.matrix(batch, head), .transposed, dy.matrix(batch, head), .plain, into: &result,
          at: head * dim * columns, accumulate: true)
      }
    }
    return result
  }

  /// The matrix of one head.
  private static func matrix(of matrices: Tensor, _ head: Int) -> Tensor {
    matrices.narrowed(axis: 0, to: head..<head + 1).reshaped([matrices.shape[1], matrices.shape[2]])
  }
}
