import Images
import Layers
import Tensors

/// Attention of every channel of an image to all others: `y[p, c] = x[p, c] + γ·Σ_d A[c, d]·x[p, d]`,
/// `A[c, ·] = softmax_d(max_e E[c, e] − E[c, d])`, `E[c, d] = Σ_p x[p, c]·x[p, d]`.
///
/// The softmax is that of −E: channels that differ most weigh most. γ is learned and starts at 0.
/// O(places·channels²) operations, O(channels²) memory an image.
/// - Source: Fu et al., 2019, Dual attention network for scene segmentation (channel attention module), as in their code.
package struct ChannelAttention: ImageLayer {
  package let gamma: ParameterSlot
  private let channels: Int

  package init(_ name: String, channels: Int, in parts: inout ImageParts) {
    self.channels = channels
    gamma = parts.layout.add(name + ".gamma", [1], .constant(0), decays: false)
  }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context, batch = run.batch, places = x.shape[0] / batch
    func image(_ number: Int, of x: Tensor) -> Tensor {
      x.narrowed(axis: 0, to: number * places..<(number + 1) * places)
    }
    var o = try context.empty(x.shape)
    let weights = try (0..<batch).map { number in
      let own = image(number, of: x), energy = try context.matmul(own, .transposed, own, .plain)
      let weights = try context.softmaxRows(context.blend(-1, energy, 0, energy))
      try context.gemm(
        own, .plain, weights, .transposed, into: &o, at: number * places * channels)
      return weights
    }
    let factor = run.weight(gamma)[0], result = o
    let pullback = Pullback { dy, residual in
      run.state.gradients[gamma.offset] += Float(context.dot(dy, result))
      let d = try context.blend(factor, dy, 0, dy)
      var dx = try context.blend(1, dy, 0, dy)
      for (number, weights) in weights.enumerated() {
        let (own, dOwn, at) = (image(number, of: x), image(number, of: d), number * places * channels)
        try context.gemm(dOwn, .plain, weights, .plain, into: &dx, at: at, accumulate: true)
        // −E is what the softmax is of.
        let dScores = try context.softmaxRowsBackward(
          context.matmul(dOwn, .transposed, own, .plain), y: weights)
        let dEnergy = try context.blend(-1, dScores, 0, dScores)
        try context.gemm(own, .plain, dEnergy, .plain, into: &dx, at: at, accumulate: true)
        try context.gemm(own, .plain, dEnergy, .transposed, into: &dx, at: at, accumulate: true)
      }
      return try context.sum(residual, dx)
    }
    return (try context.blend(1, x, factor, o), pullback)
  }

  package func work(on size: WalkSize) -> [Work] {
    var work = Work(batch: size.batch, length: size.length)
    work.operations = 4 * Double(size.batch * size.length) * Double(channels * channels)
    return [work]
  }
}
