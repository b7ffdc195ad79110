import Tensors

/// A layer that computes every row for itself, a few rows at a time: what it makes between input and output is of one part.
///
/// Nothing of a part is kept; the way back computes it again, so a step costs one more forward pass of the layer.
/// - Source: Kitaev et al., 2020, Reformer, section 3 (chunking of feed-forward layers).
package struct Chunked: BranchLayer {
  package let layer: any BranchLayer
  /// Rows of a part; 0: all.
  package let rows: Int

  package func forward(_ x: Tensor, adding residual: Tensor?, _ run: LayerRun) throws -> (
    output: Tensor, pullback: Pullback
  ) {
    guard rows > 0, x.shape[0] > rows else { return try layer.forward(x, adding: residual, run) }
    let y = try inParts(of: x, run.context) { part in
      try layer.forward(part.of(x), adding: residual.map(part.of), run.withoutWayBack).output
    }
    let pullback = Pullback { dy, residual in
      try inParts(of: x, run.context) { part in
        let (_, pullback) = try layer.forward(part.of(x), adding: nil, run)
        return try pullback(part.of(dy), adding: residual.map(part.of))
      }
    }
    return (y, pullback)
  }

  private struct Part {
    let rows: Range<Int>
    func of(_ x: Tensor) -> Tensor { x.narrowed(axis: 0, to: rows) }
  }

  /// The results of all parts below each other.
  private func inParts(
    of x: Tensor, _ context: ExecutionContext, _ body: (Part) throws -> Tensor
  ) throws -> Tensor {
    var whole = try context.zeros(x.shape)
    for first in stride(from: 0, to: x.shape[0], by: rows) {
      let result = try body(Part(rows: first..<min(first + rows, x.shape[0])))
      context.accumulate(result, into: &whole, at: first * x.shape[1])
    }
    return whole
  }
}
