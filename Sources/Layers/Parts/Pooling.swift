import Tensors

/// What one sequence's rows become before a class is told.
public enum PoolingKind: String, CaseIterable, Hashable, Sendable {
  /// Their mean.
  case mean
  /// Their mean weighed by attention to a learned query.
  case attention
  /// The first.
  case first
  /// The mean of the first rows of all segments of a hierarchy.
  case segments
}

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
package struct MeanPooling: Layer {
  package init() {}

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    if let spread = run.spread { return try forward(x, of: spread, run) }
    let context = run.context, length = x.shape[0] / run.batch
    let lengths = run.lengths ?? [Int](repeating: length, count: run.batch)
    let y = try context.meanRows(x, batch: run.batch, lengths: lengths)
    let pullback = Pullback { dy, residual in
      try context.sum(residual, context.meanRowsBackward(dy, length: length, lengths: lengths))
    }
    return (y, pullback)
  }
}

extension MeanPooling {
  /// Of sequences that ranks share: the mean of the ranks' means, each weighed by its real rows.
  private func forward(_ x: Tensor, of spread: any SpreadSequence, _ run: LayerRun) throws -> (
    output: Tensor, pullback: Pullback
  ) {
    let context = run.context, length = x.shape[0] / run.batch
    let whole = spread.lengths ?? [Int](repeating: spread.length, count: run.batch)
    let own = whole.map { spread.rows.count(before: $0) }
    let shares = zip(own, whole).map { $1 == 0 ? 0 : Float($0) / Float($1) }
    let means = try context.meanRows(x, batch: run.batch, lengths: own).weighed(shares)
    let pullback = Pullback { dy, residual in
      let d = try spread.gathered(dy)[0].weighed(shares)
      return try context.sum(residual, context.meanRowsBackward(d, length: length, lengths: own))
    }
    return (try spread.summed(means, context), pullback)
  }
}

extension SpreadSequence {
  /// The sum of the ranks' tensors, in the order of ranks.
  fileprivate func summed(_ own: Tensor, _ context: ExecutionContext) throws -> Tensor {
    let all = try gathered(own)
    return try all.dropFirst().reduce(all[0]) { try context.add($0, $1) }
  }
}

extension Tensor {
  /// Rows `[rows, width]` times a number each.
  fileprivate func weighed(_ weights: [Float]) throws -> Tensor {
    let width = shape[1]
    return try Tensor(array().enumerated().map { $1 * weights[$0 / width] }, shape: shape)
  }
}

/// The first row.
struct FirstPooling: Layer {
  func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    if let spread = run.spread { return try forward(x, of: spread, run) }
    let context = run.context, count = x.shape[0]
    let rows = (0..<run.batch).map { Int32($0 * (count / run.batch)) }
    let pullback = Pullback { dy, residual in
      try context.sum(residual, context.spread(dy, at: rows, of: count))
    }
    return (try context.lookUp(rows, in: x), pullback)
  }

  /// Of sequences that ranks share: from the one that has it.
  private func forward(_ x: Tensor, of spread: any SpreadSequence, _ run: LayerRun) throws -> (
    output: Tensor, pullback: Pullback
  ) {
    let context = run.context, count = x.shape[0], width = x.shape[1]
    let places = spread.rows.place(of: 0).map { place in
      (0..<run.batch).map { Int32($0 * (count / run.batch) + place) }
    }
    let own = try places.map { try context.lookUp($0, in: x) } ?? context.zeros([run.batch, width])
    let pullback = Pullback { dy, residual in
      let d = try spread.gathered(dy)[0]
      let dx = try places.map { try context.spread(d, at: $0, of: count) } ?? context.zeros([count, width])
      return try context.sum(residual, dx)
    }
    return (try spread.summed(own, context), pullback)
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
