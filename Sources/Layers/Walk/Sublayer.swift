import Tensors

/// One residual step: `x + drop(f(norm(x)))` (pre), `x + drop(norm₂(f(norm(x))))` (sandwich) or `norm(x + drop(f(x)))` (post),
/// f attention or feed-forward; in a
/// reversible stack `a + drop(f(norm(b)))` of two streams a and b.
package struct Sublayer: Layer {
  package enum Function: Sendable {
    case attention(AttentionLayer)
    case feedForward(FeedForward)
    case experts(MixtureOfExperts)
  }

  package let function: Function
  /// f as it is run.
  package let layer: any BranchLayer
  package let norm: Normalization
  /// norm₂; `nil`: there is none.
  package let outputNorm: Normalization?
  package let residual: LayerConfiguration.Residual
  package let dropout: Double
  /// Names this sublayer's dropout stream.
  package let name: String

  package init(
    _ name: String, _ function: Function, norm: Normalization, outputNorm: Normalization? = nil,
    _ configuration: LayerConfiguration
  ) {
    (self.name, self.function, self.norm) = (name, function, norm)
    self.outputNorm = outputNorm
    (residual, dropout) = (configuration.residual, configuration.dropout)
    layer =
      switch function {
      case .attention(let layer): layer
      case .feedForward(let layer): Chunked(layer: layer, rows: configuration.feedForwardChunk)
      case .experts(let layer): Chunked(layer: layer, rows: configuration.feedForwardChunk)
      }
  }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    guard residual == .post else {
      let (y, pullback) = try branch(x, adding: x, run)
      return (y, Pullback { dy, more in try run.context.sum(more, pullback(dy, adding: dy)) })
    }
    let (source, behind) = try withPast(x, run)
    let (sum, pullback) = try dropped(source, adding: x, run)
    let (y, normPullback) = try norm.forward(sum, run)
    let whole = Pullback { dy, more in
      let d = try normPullback(dy)
      guard let behind else { return try run.context.sum(more, pullback(d, adding: d)) }
      return try run.context.sum(more, behind(pullback(d), adding: d))
    }
    return (y, whole)
  }

  /// What attention reads where its sequences have a past: that before every one of them, and the way back to their own rows.
  private func withPast(_ x: Tensor, _ run: LayerRun) throws -> (source: Tensor, behind: Pullback?) {
    guard let past = run.past, case .attention(let attention) = function, !attention.isCross else {
      return (x, nil)
    }
    return try past.before(x, of: attention.name, run)
  }

  /// `residual + drop(f(norm(x)))`, and the way back of the branch.
  package func branch(_ x: Tensor, adding residual: Tensor?, _ run: LayerRun) throws -> (
    output: Tensor, pullback: Pullback
  ) {
    let (source, behind) = try withPast(x, run)
    let (entry, normPullback) = try norm.forward(source, run)
    let (y, pullback) = try dropped(entry, adding: residual, run)
    let whole = Pullback { dy, residual in
      guard let behind else { return try normPullback(pullback(dy), adding: residual) }
      return try behind(normPullback(pullback(dy)), adding: residual)
    }
    return (y, whole)
  }

  /// `residual + drop(f(x))`, and the way back of `drop(f(x))`.
  private func dropped(_ x: Tensor, adding residual: Tensor?, _ run: LayerRun) throws -> (
    output: Tensor, pullback: Pullback
  ) {
    // The last product of f makes the sum, unless somebody wants what comes before it.
    guard run.drops(dropout) || run.observer != nil || outputNorm != nil else {
      return try layer.forward(x, adding: residual, run)
    }
    let (y, pullback) = try layer.forward(x, run)
    run.observer?.branch(self, read: x, gave: y)
    let normed = try outputNorm?.forward(y, run)
    let sum = try run.context.sum(residual, run.dropped(normed?.output ?? y, dropout, name))
    let whole = Pullback { dy, residual in
      let d = try run.dropped(dy, dropout, name)
      return try pullback(normed?.pullback(d) ?? d, adding: residual)
    }
    return (sum, whole)
  }
}

/// One block: attention, cross-attention (in the decoder of an encoder–decoder) and feed-forward.
package struct Block: Layer {
  package let sublayers: [Sublayer]

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let (y, pullback) = try run.chain(sublayers, x)
    run.observer?.stream(y)
    return (y, pullback)
  }
}
