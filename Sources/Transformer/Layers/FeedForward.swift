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

  func forward(_ x: Tensor, _ pass: Pass) throws -> (Tensor, Saved) {
    let before = try inner.forward(x, pass)
    let after =
      if let activation { try pass.compute.activate(before, activation) } else {
        try pass.compute.swiglu(before)
      }
    return (try outer.forward(after, pass), Saved(x: x, beforeActivation: before, afterActivation: after))
  }

  func backward(_ dy: Tensor, _ saved: Saved, _ pass: Pass) throws -> Tensor {
    let dAfter = try outer.backward(dy, x: saved.afterActivation, pass)
    let dBefore =
      if let activation {
        try pass.compute.activateBackward(dAfter, x: saved.beforeActivation, activation)
      } else {
        try pass.compute.swigluBackward(dAfter, x: saved.beforeActivation)
      }
    return try inner.backward(dBefore, x: saved.x, pass)
  }
}
