import AttentionCore
import Basics
import CKernels
import Tensors

/// Where the inputs of a pass over edges lie.
struct EdgeHeads: Sendable {
  let query: Rows, key: Rows, message: Rows
  /// What q, and in GAT's score k, are multiplied by: `[1, queryHeads, headDim]`.
  var vector: Rows?, sourceVector: Rows?
  /// The products of these, `[batch, queryHeads, rows]`.
  var sourceScores: Rows?, targetScores: Rows?

  /// One head, as the kernels take it.
  func edges(_ pass: EdgePass, _ batch: Int, _ head: Int) -> attn_edges {
    let keyHead = pass.shape.keyHead(of: head)
    func own(_ rows: Rows?, _ batch: Int) -> UnsafePointer<Float>? {
      rows.map { UnsafePointer($0.head(batch, head)) }
    }
    return attn_edges(
      kind: pass.score.kind, head_dim: Int32(pass.shape.headDim), value_dim: Int32(pass.messageDim),
      scale: Float(pass.scale), slope: pass.score.slope, query: query.head(batch, head),
      key: key.head(batch, keyHead), value: message.head(batch, keyHead),
      query_stride: Int64(query.rowStride), key_stride: Int64(key.rowStride),
      value_stride: Int64(message.rowStride), vector: own(vector, 0), source_vector: own(sourceVector, 0),
      source_score: own(sourceScores, batch), target_score: own(targetScores, batch))
  }
}

extension EdgePass {
  /// Reads through the rows of all inputs; makes GAT's products of every row.
  /// - Throws: `MemoryLimitExceeded`, and what `body` throws.
  func withHeads<R>(
    _ inputs: Operands, in context: ExecutionContext, _ body: (EdgeHeads) throws -> R
  ) throws -> R {
    try inputs.query.withReadRows { query throws in
      try inputs.key.withReadRows { key throws in
        try (sendsKey ? inputs.key : inputs.value).withReadRows { message throws in
          let heads = EdgeHeads(query: query, key: key, message: message)
          switch score {
          case .dot: return try body(heads)
          case .leakySum(let vector, _), .tanhSum(let vector):
            return try withRow(of: vector) { vector throws in
              var heads = heads
              heads.vector = vector
              return try body(heads)
            }
          case .nodes(let source, let target, _):
            return try withNodes(source, target, heads, in: context, body)
          }
        }
      }
    }
  }

  private func withNodes<R>(
    _ source: Tensor, _ target: Tensor, _ heads: EdgeHeads, in context: ExecutionContext,
    _ body: (EdgeHeads) throws -> R
  ) throws -> R {
    try withRow(of: source) { sourceVector throws in
      try withRow(of: target) { vector throws in
        var heads = heads
        (heads.vector, heads.sourceVector) = (vector, sourceVector)
        let sources = try products(heads.key, sourceVector, shape.keyLength, isKeyed: true, in: context)
        let targets = try products(heads.query, vector, shape.queryLength, isKeyed: false, in: context)
        return try sources.withReadRows { sources throws in
          try targets.withReadRows { targets throws in
            (heads.sourceScores, heads.targetScores) = (sources, targets)
            return try body(heads)
          }
        }
      }
    }
  }

  /// A vector for every head, `[queryHeads, headDim]`.
  private func withRow<R>(of vector: Tensor, _ body: (Rows) throws -> R) throws -> R {
    try vector.contiguous().reshaped([1, shape.queryHeads, shape.headDim]).withReadRows(body)
  }

  /// The product of every row with the vector of its head: GAT's score of an edge then costs one addition.
  private func products(
    _ rows: Rows, _ vector: Rows, _ length: Int, isKeyed: Bool, in context: ExecutionContext
  ) throws -> Tensor {
    var products = try context.empty([shape.batch, shape.queryHeads, length])
    let step = 1 << 12, parts = (length + step - 1) / step
    products.withRows { products in
      Parallel.forEach(count: shape.batch * shape.queryHeads * parts, threads: context.threads) { unit, _ in
        let (index, part) = unit.quotientAndRemainder(dividingBy: parts)
        let (batch, head) = index.quotientAndRemainder(dividingBy: shape.queryHeads)
        attn_edges_node_scores(
          context.instructionSet.code,
          rows.row(batch, isKeyed ? shape.keyHead(of: head) : head, part * step), Int64(rows.rowStride),
          vector.head(0, head), Int32(shape.headDim), Int64(min(step, length - part * step)),
          products.row(batch, head, part * step))
      }
    }
    return products
  }
}
