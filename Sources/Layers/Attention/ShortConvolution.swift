import Tensors

/// What a recurrent layer makes of its q | k | v, `[rows, columns]`, before their heads: `y_t = SiLU(b + Σ_u w_u∘x_{t − taps + 1 + u})`.
package struct ShortConvolution: Sendable {
  package let weight: ParameterSlot, bias: ParameterSlot?

  /// `nil`: the layers have none.
  package init?(
    _ name: String, columns: Int, _ configuration: LayerConfiguration, in layout: inout ParameterLayout
  ) {
    let taps = configuration.shortConvolution
    guard taps > 0 else { return nil }
    weight = layout.add(
      name + ".convolution.weight", [taps, columns], .normal(1 / Double(taps).squareRoot()), decays: false)
    bias =
      configuration.hasConvolutionBias
      ? layout.add(name + ".convolution.bias", [columns], .constant(0), decays: false) : nil
  }

  /// y, and the gradient of x from that of y.
  package func forward(
    _ x: Tensor, of layer: String, _ run: LayerRun
  ) throws -> (output: Tensor, back: (Tensor) throws -> Tensor) {
    let weight = run.weight(weight), context = run.context
    let past = try run.decoding?.rows(behind: x, keeping: weight.shape[0] - 1, of: layer, in: context)
    let (after, slope) = try context.convolve(
      x, past: past, weight: weight, bias: bias.map { run.weight($0) }, batch: run.batch,
      withSlope: run.isDifferentiated)
    let back: (Tensor) throws -> Tensor = { dy in
      guard let slope else { preconditionFailure("this pass has no way back") }
      return try context.convolveBackward(
        dy, slope: slope, x: x, weight: weight, batch: run.batch, gradients: &run.state.gradients,
        weightAt: self.weight.offset, biasAt: bias?.offset)
    }
    return (after, back)
  }
}
