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
  /// The rows of all inputs, and GAT's products of every row.
  /// - Throws: `MemoryLimitExceeded`.
  func heads(of inputs: Operands, in context: ExecutionContext) throws -> EdgeHeads {
    var heads = EdgeHeads(
      query: inputs.query.rows(), key: inputs.key.rows(),
      message: (sendsKey ? inputs.key : inputs.value).rows())
    switch score {
    case .dot: break
    case .leakySum(let vector, _), .tanhSum(let vector): heads.vector = vectorRows(of: vector)
    case .nodes(let source, let target, _):
      let sourceVector = vectorRows(of: source), vector = vectorRows(of: target)
      (heads.vector, heads.sourceVector) = (vector, sourceVector)
      heads.sourceScores = try products(heads.key, sourceVector, shape.keyLength, isKeyed: true, in: context)
      heads.targetScores = try products(heads.query, vector, shape.queryLength, isKeyed: false, in: context)
    }
    return heads
  }

  /// A vector for every head, `[queryHeads, headDim]`.
  private func vectorRows(of vector: Tensor) -> Rows {
    vector.contiguous().reshaped([1, shape.queryHeads, shape.headDim]).rows()
  }

  /// The product of every row with the vector of its head: GAT's score of an edge then costs one addition.
  private func products(
    _ rows: Rows, _ vector: Rows, _ length: Int, isKeyed: Bool, in context: ExecutionContext
  ) throws -> Rows {
    var result = try context.empty([shape.batch, shape.queryHeads, length])
    let products = result.rowsForWriting()
    let step = 1 << 12, parts = (length + step - 1) / step
    Parallel.forEach(count: shape.batch * shape.queryHeads * parts, threads: context.threads) { unit, _ in
      let (index, part) = unit.quotientAndRemainder(dividingBy: parts)
      let (batch, head) = index.quotientAndRemainder(dividingBy: shape.queryHeads)
      attn_edges_node_scores(
        context.instructionSet.code,
        rows.row(batch, isKeyed ? shape.keyHead(of: head) : head, part * step), Int64(rows.rowStride),
        vector.head(0, head), Int32(shape.headDim), Int64(min(step, length - part * step)),
        products.row(batch, head, part * step))
    }
    return products
  }
}
