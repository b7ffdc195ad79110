import Tensors

/// The feed-forward layer: `y = W₂·f(W₁·x + b₁) + b₂`, or SwiGLU's `y = W₂·(SiLU(W_g·x)∘(W_u·x))`.
///
/// x `[rows, width]`; W₁ `[hidden, width]`, W₂ `[width, hidden]`; SwiGLU keeps W_g and W_u as neighbours and makes one
/// product of them.
package struct FeedForward: BranchLayer {
  package let inner: Linear
  package let outer: Linear
  package let activation: Activation?

  package init(
    _ name: String, _ configuration: LayerConfiguration, gain: Double, in layout: inout ParameterLayout
  ) {
    let width = configuration.width, hidden = configuration.effectiveHidden, bias = configuration.bias
    switch configuration.feedForward {
    case .relu: activation = .relu
    case .gelu: activation = .gelu
    case .geluTanh: activation = .geluTanh
    case .swiglu: activation = nil
    }
    inner =
      activation == nil
      ? Linear([(name + ".gate", hidden), (name + ".up", hidden)], from: width, bias: bias, in: &layout)
      : Linear(name + ".inner", from: width, to: hidden, bias: bias, in: &layout)
    outer = Linear(name + ".outer", from: hidden, to: width, bias: bias, gain: gain, in: &layout)
  }

  /// y, with a residual added, and the way back.
  package func forward(_ x: Tensor, adding residual: Tensor?, _ run: LayerRun) throws -> (
    output: Tensor, pullback: Pullback
  ) {
    guard let activation else { return try gated(x, adding: residual, run) }
    let (before, after) = try inner.forward(x, activating: activation, run)
    let pullback = Pullback { dy, residual in
      let dBefore = try outer.backward(dy, x: after, timesSlopeOf: activation, at: before, run)
      return try run.context.sum(residual, inner.backward(dBefore, x: x, run))
    }
    return (try outer.product(after, adding: residual, run), pullback)
  }

  private func gated(_ x: Tensor, adding residual: Tensor?, _ run: LayerRun) throws -> (
    output: Tensor, pullback: Pullback
  ) {
    let before = try inner.product(x, run)
    let after = try run.context.swiglu(before)
    let pullback = Pullback { dy, residual in
      let dBefore = try run.context.swigluBackward(outer.backward(dy, x: after, run), x: before)
      return try run.context.sum(residual, inner.backward(dBefore, x: x, run))
    }
    return (try outer.product(after, adding: residual, run), pullback)
  }
}
