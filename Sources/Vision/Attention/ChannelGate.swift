import Images
import Layers
import Tensors

/// Two linear layers that make a logit of every channel of a description of an image: `W₂·max(W₁z + b₁, 0) + b₂`, z
/// `[rows, channels]`.
package struct GateNetwork: Sendable {
  package let inner: Linear
  package let outer: Linear

  init(_ name: String, channels: Int, hidden: Int, bias: Bool, in parts: inout ImageParts) {
    inner = parts.linear(name + ".inner", from: channels, to: hidden, bias: bias)
    outer = parts.linear(name + ".outer", from: hidden, to: channels, bias: bias)
  }

  func forward(_ z: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: (Tensor) throws -> Tensor) {
    let (hidden, slope) = try inner.forward(z, activating: .relu, run)
    let pullback = { (d: Tensor) in
      try inner.backward(
        outer.backward(d, x: hidden, times: slope, run), x: z, run)
    }
    return (try outer.product(hidden, run), pullback)
  }

  /// Weights, each read once for every description.
  var weights: Int { inner.weight.count + outer.weight.count }
}

/// Squeeze and excitation: every channel times a number that the means of all channels give.
///
/// `y[p, c] = σ(W₂·max(W₁z + b₁, 0) + b₂)_c·x[p, c]`, `z_c = mean_p x[p, c]`; x `[batch·places, channels]`.
/// O(places·channels) and 4·channels·hidden operations an image.
/// - Source: Hu et al., 2018, Squeeze-and-excitation networks; `hidden` as in timm's `SEModule`.
package struct SqueezeExcitation: ImageLayer {
  package let gate: GateNetwork

  package init(
    _ name: String, channels: Int, ratio: Int, bias: Bool = true, in parts: inout ImageParts
  ) {
    gate = GateNetwork(
      name, channels: channels, hidden: Self.hidden(channels: channels, ratio: ratio), bias: bias, in: &parts)
  }

  /// channels/ratio, rounded to a multiple of 8, at least 8.
  package static func hidden(channels: Int, ratio: Int) -> Int {
    max(8, (channels + 4 * ratio) / ratio / 8 * 8)
  }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context, batch = run.batch
    let (z, pooled) = try GlobalPooling(.mean).forward(x, run)
    let (logits, gated) = try gate.forward(z, run)
    let factors = try context.activate(logits, .sigmoid)
    let pullback = Pullback { dy, residual in
      let d = try context.activateBackward(
        context.channelProducts(dy, x, batch: batch), x: logits, .sigmoid)
      let dx = try pooled(gated(d), adding: context.scaleChannels(dy, by: factors))
      return try context.sum(residual, dx)
    }
    return (try context.scaleChannels(x, by: factors), pullback)
  }

  package func work(on size: WalkSize) -> [Work] {
    [Work(weights: gate.weights, batch: size.batch, length: 1)]
  }
}
