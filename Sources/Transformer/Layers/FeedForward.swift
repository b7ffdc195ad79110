import Tensors

/// The feed-forward layer: `y = W₂·f(W₁·x + b₁) + b₂`, or SwiGLU's `y = W₂·(SiLU(W_g·x)∘(W_u·x))`.
///
/// x `[rows, width]`; W₁ `[hidden, width]`, W₂ `[width, hidden]`; SwiGLU keeps W_g and W_u as neighbours and makes one
/// product of them.
struct FeedForward: Sendable {
  let inner: Linear
  let outer: Linear
  let activation: Activation?

  struct Saved {
    let x: Tensor
    let beforeActivation: Tensor
    let afterActivation: Tensor
  }

  init(_ name: String, _ configuration: ModelConfiguration, gain: Double, in layout: inout ParameterLayout) {
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

  /// y, with a residual added.
  func forward(_ x: Tensor, adding residual: Tensor? = nil, _ run: LayerRun) throws -> (Tensor, Saved) {
    let before: Tensor, after: Tensor
    if let activation {
      (before, after) = try inner.forward(x, activating: activation, run)
    } else {
      before = try inner.forward(x, run)
      after = try run.context.swiglu(before)
    }
    let y = try outer.forward(after, adding: residual, run)
    return (y, Saved(x: x, beforeActivation: before, afterActivation: after))
  }

  func backward(_ dy: Tensor, _ saved: Saved, _ run: LayerRun) throws -> Tensor {
    let dBefore =
      if let activation {
        try outer.backward(
          dy, x: saved.afterActivation, timesSlopeOf: activation, at: saved.beforeActivation, run)
      } else {
        try run.context.swigluBackward(
          outer.backward(dy, x: saved.afterActivation, run), x: saved.beforeActivation)
      }
    return try inner.backward(dBefore, x: saved.x, run)
  }
}
