import Tensors

/// The feed-forward layer: `y = W₂·f(W₁·x + b₁) + b₂`, or of gated units `y = W₂·(f(W_g·x)∘(W_u·x))`, f SiLU or GELU.
///
/// x `[rows, width]`; W₁ `[hidden, width]`, W₂ `[width, hidden]`; gated units keep W_g and W_u as neighbours and makes one
/// product of them.
package struct FeedForward: BranchLayer {
  package let inner: Linear
  package let outer: Linear
  /// f; `nil`: it is gated.
  package let activation: Activation?
  /// f of gated units; `nil`: it is not gated.
  package let unit: GatedUnit?

  package init(
    _ name: String, _ configuration: LayerConfiguration, gain: Double, in layout: inout ParameterLayout
  ) {
    let width = configuration.width, hidden = configuration.effectiveHidden, bias = configuration.bias
    unit = configuration.feedForward.unit
    activation =
      switch configuration.feedForward {
      case .relu: .relu
      case .gelu: .gelu
      case .geluTanh: .geluTanh
      case .swiglu, .geglu, .gegluTanh, .none: nil
      }
    inner =
      unit != nil
      ? Linear([(name + ".gate", hidden), (name + ".up", hidden)], from: width, bias: bias, in: &layout)
      : Linear(name + ".inner", from: width, to: hidden, bias: bias, in: &layout)
    outer = Linear(name + ".outer", from: hidden, to: width, bias: bias, gain: gain, in: &layout)
  }

  /// y, with a residual added, and the way back.
  package func forward(_ x: Tensor, adding residual: Tensor?, _ run: LayerRun) throws -> (
    output: Tensor, pullback: Pullback
  ) {
    if let unit { return try gated(x, by: unit, adding: residual, run) }
    guard let activation else { preconditionFailure("a feed-forward layer has one or the other") }
    let (after, slope) = try inner.forward(x, activating: activation, run)
    let pullback = Pullback { dy, residual in
      let dBefore = try outer.backward(dy, x: after, times: slope, run)
      return try run.context.sum(residual, inner.backward(dBefore, x: x, run))
    }
    return (try outer.product(after, adding: residual, run), pullback)
  }

  private func gated(_ x: Tensor, by unit: GatedUnit, adding residual: Tensor?, _ run: LayerRun) throws -> (
    output: Tensor, pullback: Pullback
  ) {
    let before = try inner.product(x, run)
    let after = try run.context.gated(before, by: unit)
    let pullback = Pullback { dy, residual in
      let dBefore = try run.context.gatedBackward(outer.backward(dy, x: after, run), x: before, by: unit)
      return try run.context.sum(residual, inner.backward(dBefore, x: x, run))
    }
    return (try outer.product(after, adding: residual, run), pullback)
  }
}
