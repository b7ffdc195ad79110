import AttentionCore
import Basics
import CKernels
import Tensors

/// The gradients of a pass over edges while they are made.
struct EdgeGradients {
  var query: Tensor, key: Tensor, value: Tensor
  /// Of a, or of what q is multiplied by; of what k is multiplied by.
  var vector: Tensor?, sourceVector: Tensor?
}

extension EdgePass {
  /// The gradients of q, k, v and a.
  ///
  /// `∂m_j = Σ_i p_ij ∂o_i`, `∂s_ij = p_ij (∂o_i·m_j − Σ_j p_ij ∂o_i·m_j)`, and from there through the score. Weights are
  /// computed again rather than kept.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func backward(
    _ outputGradient: Tensor, _ inputs: Operands, in context: ExecutionContext
  ) throws -> EdgeGradients {
    var result = EdgeGradients(
      query: try context.empty(shape.queryShape), key: try context.zeros(shape.keyShape),
      value: try context.zeros(shape.valueShape))
    var weights = try context.empty([1, 1, max(1, rows.count)])
    var slopes = try context.empty([1, 1, max(1, rows.count)])
    let vectors = [shape.batch, shape.queryHeads, max(1, rows.targetParts.count), shape.headDim]
    let sourceVectors = [shape.batch, shape.queryHeads, max(1, rows.sourceParts.count), shape.headDim]
    var vectorParts = try context.zeros(hasVector ? vectors : [1, 1, 1])
    var sourceParts = try context.zeros(hasSourceVector ? sourceVectors : [1, 1, 1])
    let key = result.key.rowsForWriting(), value = result.value.rowsForWriting()
    let vectorRows = vectorParts.rowsForWriting(), sourceRows = sourceParts.rowsForWriting()
    try EdgeBackward(
      pass: self, heads: heads(of: inputs, in: context), context: context,
      outputGradient: outputGradient.rows(), query: result.query.rowsForWriting(), key: key,
      message: sendsKey ? key : value, weights: weights.rowsForWriting(), slopes: slopes.rowsForWriting(),
      vectors: hasVector ? vectorRows : nil, sourceVectors: hasSourceVector ? sourceRows : nil
    ).run()
    if hasVector { result.vector = try summed(vectorParts, in: context) }
    if hasSourceVector { result.sourceVector = try summed(sourceParts, in: context) }
    return result
  }

  private var hasVector: Bool { if case .dot = score { false } else { true } }
  private var hasSourceVector: Bool { if case .nodes = score { true } else { false } }

  /// `[batch, heads, parts, dim]` summed to `[heads, dim]`, in order.
  private func summed(_ parts: Tensor, in context: ExecutionContext) throws -> Tensor {
    var sum = try context.zeros([1, shape.queryHeads, shape.headDim])
    let target = sum.rowsForWriting(), source = parts.rows(), isa = context.instructionSet.code
    for batch in 0..<shape.batch {
      for head in 0..<shape.queryHeads {
        for part in 0..<parts.shape[2] {
          attn_add(isa, target.head(0, head), source.row(batch, head, part), Int64(shape.headDim))
        }
      }
    }
    return sum.reshaped([shape.queryHeads, shape.headDim])
  }
}

/// The walks of one backward pass.
private struct EdgeBackward: Sendable {
  let pass: EdgePass
  let heads: EdgeHeads
  let context: ExecutionContext
  let outputGradient: Rows, query: Rows, key: Rows, message: Rows
  /// Of the edges of one head.
  let weights: Rows, slopes: Rows
  /// A sum for every part of the graph.
  let vectors: Rows?, sourceVectors: Rows?

  /// One head after another: those that share keys add to the same rows.
  func run() throws {
    let rows = pass.rows
    for batch in 0..<pass.shape.batch {
      for head in 0..<pass.shape.queryHeads {
        try Parallel.forEach(count: rows.targetParts.count, threads: context.threads) { part, _ in
          try context.checkCancellation()
          targets(part, batch, head)
        }
        try Parallel.forEach(count: rows.sourceParts.count, threads: context.threads) { part, _ in
          try context.checkCancellation()
          sources(part, batch, head)
        }
      }
    }
  }

  private func targets(_ part: Int, _ batch: Int, _ head: Int) {
    let rows = pass.rows
    var edges = heads.edges(pass, batch, head)
    rows.sources.withUnsafeBufferPointer { sources in
      for target in rows.targetParts[part] {
        let own = rows.edges(to: target), count = pass.count(own, to: target, batch)
        _ = attn_edges_target(
          context.instructionSet.code, &edges, Int64(target), sources.at(own.lowerBound), Int32(count),
          outputGradient.row(batch, head, target), weights.base + own.lowerBound,
          slopes.base + own.lowerBound, query.row(batch, head, target), vectors?.row(batch, head, part))
        // Edges from padding.
        for edge in own.dropFirst(count) { (weights.base[edge], slopes.base[edge]) = (0, 0) }
      }
    }
  }

  private func sources(_ part: Int, _ batch: Int, _ head: Int) {
    let rows = pass.rows, valid = pass.shape.validKeys(batch: batch)
    let keyHead = pass.shape.keyHead(of: head)
    var edges = heads.edges(pass, batch, head)
    rows.targets.withUnsafeBufferPointer { targets in
      rows.places.withUnsafeBufferPointer { places in
        for source in rows.sourceParts[part] where source < valid {
          let own = rows.edges(from: source)
          attn_edges_source(
            context.instructionSet.code, &edges, Int64(source), targets.at(own.lowerBound),
            places.at(own.lowerBound), Int32(own.count), weights.base, slopes.base,
            outputGradient.head(batch, head), Int64(outputGradient.rowStride),
            key.row(batch, keyHead, source), message.row(batch, keyHead, source),
            sourceVectors?.row(batch, head, part))
        }
      }
    }
  }
}
