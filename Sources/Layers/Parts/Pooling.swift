import Tensors

extension PoolingKind {
  /// A layer that makes one row of every sequence: x `[batch·length, width]` → `[batch, width]`.
  package func layer(_ name: String, width: Int, in layout: inout ParameterLayout) -> any Layer {
    switch self {
    case .mean: MeanPooling()
    case .attention: AttentionPooling(name, width: width, in: &layout)
    case .first: FirstPooling()
    case .segments: SegmentPooling()
    }
  }
}

/// The mean of the real rows; 0 without any.
struct MeanPooling: Layer {
  func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context, length = x.shape[0] / run.batch
    let lengths = run.lengths ?? [Int](repeating: length, count: run.batch)
    let y = try context.meanRows(x, batch: run.batch, lengths: lengths)
    let pullback = Pullback { dy, residual in
      try context.sum(residual, context.meanRowsBackward(dy, length: length, lengths: lengths))
    }
    return (y, pullback)
  }
}

/// The first row.
struct FirstPooling: Layer {
  func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context, count = x.shape[0]
    let rows = (0..<run.batch).map { Int32($0 * (count / run.batch)) }
    let pullback = Pullback { dy, residual in
      try context.sum(residual, context.spread(dy, at: rows, of: count))
    }
    return (try context.lookUp(rows, in: x), pullback)
  }
}

/// The mean of the first rows of a document's segments; 0 without any.
struct SegmentPooling: Layer {
  func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    guard let cut = run.cut else { preconditionFailure("documents are cut before they are read") }
    let context = run.context, rows = cut.firstRows, documents = cut.documents
    let firsts = try documents.padded(context.lookUp(rows, in: x), context)
    let (y, pooled) = try MeanPooling().forward(
      firsts, run.over(batch: documents.count, lengths: documents.lengths))
    let pullback = Pullback { dy, residual in
      let d = try documents.unpadded(pooled(dy), rows: rows.count, context)
      return try context.sum(residual, context.spread(d, at: rows, of: x.shape[0]))
    }
    return (y, pullback)
  }
}
