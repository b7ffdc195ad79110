import Tensors

/// Neighbouring rows in groups: the words of a segment, the segments of a document.
package struct RowGroups: Hashable, Sendable {
  /// The rows of every group.
  package let ranges: [Range<Int>]

  package init(_ ranges: [Range<Int>]) { self.ranges = ranges }

  /// Groups.
  package var count: Int { ranges.count }
  /// Rows of every group.
  package var lengths: [Int] { ranges.map(\.count) }
  /// Rows of the longest group.
  package var longest: Int { lengths.max() ?? 0 }

  /// The rows in the order of the groups, and their places where every group has as many rows as the longest.
  private var moves: (rows: [Int32], places: [Int32]) {
    var rows: [Int32] = [], places: [Int32] = []
    for (group, range) in ranges.enumerated() {
      rows += range.map { Int32($0) }
      places += range.indices.map { Int32(group * longest + $0 - range.lowerBound) }
    }
    return (rows, places)
  }

  /// The groups as sequences: x `[rows, width]` → `[groups·longest, width]`, zeros behind the end of a shorter group.
  package func padded(_ x: Tensor, _ context: ExecutionContext) throws -> Tensor {
    let (rows, places) = moves
    return try context.spread(context.lookUp(rows, in: x), at: places, of: count * longest)
  }

  /// The rows in their places among `rows`, zeros where none was: the inverse of `padded`, and its way back.
  package func unpadded(_ y: Tensor, rows count: Int, _ context: ExecutionContext) throws
    -> Tensor
  {
    let (rows, places) = moves
    return try context.spread(context.lookUp(places, in: y), at: rows, of: count)
  }

  /// A layer on the groups as sequences of their own.
  package func forward(_ layer: any Layer, _ x: Tensor, _ run: LayerRun) throws -> (
    output: Tensor, pullback: Pullback
  ) {
    let context = run.context
    let (y, pullback) = try layer.forward(padded(x, context), run.over(batch: count, lengths: lengths))
    let whole = Pullback { dy, residual in
      try context.sum(residual, unpadded(pullback(padded(dy, context)), rows: x.shape[0], context))
    }
    return (try unpadded(y, rows: x.shape[0], context), whole)
  }
}
