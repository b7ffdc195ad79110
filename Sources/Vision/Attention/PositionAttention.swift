import AttentionCore
import Images
import Layers
import Settings
import Tensors

/// Attention of every place of an image to all others: `y_p = x_p + γ·Σ_r softmax_r(q_p·k_r) v_r`.
///
/// `q = W_q x + b_q` and `k = W_k x + b_k` have channels/8 elements, `v = W_v x + b_v` as many as x; scores are not scaled. γ is
/// learned and starts at 0. The streaming softmax holds no matrix of places by places.
/// O(places²·channels) operations, O(places·channels) memory an image.
/// - Source: Fu et al., 2019, Dual attention network for scene segmentation (position attention module).
package struct PositionAttention: ImageLayer {
  package let name: String
  package let query: Linear
  package let key: Linear
  package let value: Linear
  package let gamma: ParameterSlot

  package init(_ name: String, channels: Int, in parts: inout ImageParts) {
    self.name = name
    let narrow = max(1, channels / 8)
    query = parts.linear(name + ".query", from: channels, to: narrow)
    key = parts.linear(name + ".key", from: channels, to: narrow)
    value = parts.linear(name + ".value", from: channels, to: channels)
    gamma = parts.layout.add(name + ".gamma", [1], .constant(0), decays: false)
  }

  /// The softmax at a number of places.
  private func planned(batch: Int, places: Int) throws(ConfigurationError) -> PlannedAttention {
    let shape = try AttentionShape(
      batch: batch, queryLength: places, headDim: query.weight.shape[0], valueDim: value.weight.shape[0],
      scale: 1)
    return PlannedAttention(layer: name, attention: LayerAttention("full"), shape: shape)
  }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context, batch = run.batch, places = x.shape[0] / batch
    let planned = try planned(batch: batch, places: places)
    let plan = try run.planner.plan(planned.attention, layer: name, shape: planned.shape)
    func heads(_ linear: Linear) throws -> Tensor {
      try linear.product(x, run).reshaped([batch, 1, places, linear.weight.shape[0]])
    }
    let forward = try run.attend(
      plan, Operands(query: heads(query), key: heads(key), value: heads(value)), of: name)
    let o = forward.output.reshaped(x.shape), factor = run.weight(gamma)[0]
    let pullback = Pullback { dy, residual in
      run.state.gradients[gamma.offset] += Float(context.dot(dy, o))
      let d = try context.blend(factor, dy, 0, dy).reshaped(planned.shape.outputShape)
      let gradient = try forward.backward(d, knowing: run.losses?.signal, in: context)
      var dx = try context.sum(residual, dy)
      for (linear, part) in [(query, gradient.query), (key, gradient.key), (value, gradient.value)] {
        let d = part.reshaped([batch * places, linear.weight.shape[0]])
        dx = try context.add(dx, linear.backward(d, x: x, run))
      }
      return dx
    }
    return (try context.blend(1, x, factor, o), pullback)
  }

  package func work(on size: WalkSize) -> [Work] {
    let maps = [query, key, value].reduce(0) { $0 + $1.weight.count }
    var work = Work(weights: maps, batch: size.batch, length: size.length)
    if let planned = try? planned(batch: size.batch, places: size.length) { work.attention = [planned] }
    return [work]
  }
}
