import Tensors

/// Reversible residuals: two streams, of which every sublayer reads one and adds to the other.
///
/// `y₁ = x₁ + f(x₂)`, `y₂ = x₂ + g(y₁)` with `x₁ = x₂ = x` at the bottom, f and g attention and feed-forward, each behind its
/// norm. Backward has no activations of the forward pass but the two streams at the top: it computes every branch again and
/// takes it off, `x₂ = y₂ − g(y₁)`, `x₁ = y₁ − f(x₂)`. The streams come back up to rounding; dropout, drawn by name, comes
/// back bit for bit. Attention that selects keys by data (lsh) may choose others at the borders of its buckets.
///
/// - Complexity: one more forward pass of the stack a step; the memory of one sublayer's activations and of four tensors
///   `[rows, width]`, whatever the depth.
/// - Source: Gomez et al., 2017; Kitaev et al., 2020 (Reformer), section 3.
extension Stack {
  private struct Streams {
    /// The stream that the next sublayer adds to, and the one that it reads.
    var target: Tensor
    var source: Tensor
  }

  package func reversible(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    var streams = Streams(target: x, source: x)
    for block in blocks {
      for sublayer in block.sublayers {
        let (sum, _) = try sublayer.branch(streams.source, adding: streams.target, run.withoutWayBack)
        streams = Streams(target: streams.source, source: sum)
      }
      if let observer = run.observer { observer.stream(try mean(streams, run.context)) }
    }
    let output = try joined(streams, run.context)
    guard run.isDifferentiated else { return (output, .none) }
    var top: Streams? = streams
    let pullback = Pullback { dy, residual in
      guard let values = top.take() else { preconditionFailure("the way back was walked before") }
      return try run.context.sum(residual, backward(dy, from: values, run))
    }
    return (output, pullback)
  }

  private func backward(_ dy: Tensor, from top: Streams, _ run: LayerRun) throws -> Tensor {
    var again = run
    again.isRepeated = true
    var values = top, gradients = try parted(dy, run.context)
    for sublayer in sublayers.reversed() {
      // What was read has become the next target, the sum the next source.
      let read = values.target, dSum = gradients.source
      let (branch, pullback) = try sublayer.branch(read, adding: nil, again)
      values = Streams(target: try run.context.blend(1, values.source, -1, branch), source: read)
      gradients = Streams(target: dSum, source: try pullback(dSum, adding: gradients.target))
    }
    return try run.context.add(gradients.target, gradients.source)
  }

  /// `(y₁ + y₂)/2`.
  private func mean(_ streams: Streams, _ context: ExecutionContext) throws -> Tensor {
    try context.blend(0.5, streams.target, 0.5, streams.source)
  }

  /// Both streams as one tensor.
  private func joined(_ streams: Streams, _ context: ExecutionContext) throws -> Tensor {
    guard join == .concat else { return try mean(streams, context) }
    let rows = streams.source.shape[0], width = streams.source.shape[1]
    var both = try context.empty([rows, 2 * width])
    for (place, stream) in [streams.target, streams.source].enumerated() {
      context.mergeHeads(stream.reshaped([1, 1, rows, width]), into: &both, column: place * width)
    }
    return both
  }

  /// The gradients of both streams.
  private func parted(_ dy: Tensor, _ context: ExecutionContext) throws -> Streams {
    guard join == .concat else {
      // A quarter and a quarter: exactly half.
      let half = try context.blend(0.25, dy, 0.25, dy)
      return Streams(target: half, source: half)
    }
    let rows = dy.shape[0], width = dy.shape[1] / 2
    func part(_ place: Int) throws -> Tensor {
      try context.splitHeads(dy, column: place * width, batch: 1, heads: 1, dim: width)
        .reshaped([rows, width])
    }
    return Streams(target: try part(0), source: try part(1))
  }
}
