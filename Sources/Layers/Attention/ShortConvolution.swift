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
      configuration.bias
      ? layout.add(name + ".convolution.bias", [columns], .constant(0), decays: false) : nil
  }

  /// y, and the gradient of x from that of y.
  package func forward(
    _ x: Tensor, of layer: String, _ run: LayerRun
  ) throws -> (output: Tensor, back: (Tensor) throws -> Tensor) {
    let weight = run.weight(weight), context = run.context
    let past = try run.decoding?.rows(behind: x, keeping: weight.shape[0] - 1, of: layer, in: context)
    let before = try context.convolve(
      x, past: past, weight: weight, bias: bias.map { run.weight($0) }, batch: run.batch)
    let back: (Tensor) throws -> Tensor = { dy in
      try context.convolveBackward(
        context.activateBackward(dy, x: before, .silu), x: x, weight: weight, batch: run.batch,
        gradients: &run.state.gradients, weightAt: self.weight.offset, biasAt: bias?.offset)
    }
    return (try context.activate(before, .silu), back)
  }
}

/// What a recurrent layer makes of its heads' outputs, with z = G x: `RMSNorm(o_h)∘f(z_h)` a head, f SiLU or the logistic function; or
/// `RMSNorm(o∘SiLU(z))` over all of them (Mamba 2).
package struct OutputGate: Sendable {
  package let map: Linear
  let gain: ParameterSlot, kind: LayerConfiguration.OutputGate, epsilon: Double

  /// `nil`: the layers have none.
  package init?(
    _ name: String, columns: Int, _ configuration: LayerConfiguration, in layout: inout ParameterLayout
  ) {
    guard configuration.outputGate != .none else { return nil }
    (kind, epsilon) = (configuration.outputGate, configuration.epsilon)
    map = Linear(
      name + ".gate", from: configuration.width, to: columns, bias: configuration.bias, in: &layout)
    gain = layout.add(
      name + ".gateNorm.weight", [kind == .siluFirst ? columns : configuration.headDim], .constant(1),
      decays: false)
  }

  /// What becomes of the outputs o of heads, and the gradients of o and x from that of it.
  package func forward(
    _ outputs: Tensor, x: Tensor, _ run: LayerRun
  ) throws -> (output: Tensor, back: (Tensor) throws -> (outputs: Tensor, x: Tensor)) {
    let context = run.context, z = try map.product(x, run), isFirst = kind == .siluFirst
    let logistic = kind == .sigmoid
    let normed = isFirst ? try context.gate(outputs, by: z, logistic: false) : outputs
    let rows = normed.contiguous().reshaped([normed.count / gain.count, gain.count])
    let (norm, statistics) = try context.normalize(
      rows, gain: run.weight(gain), shift: nil, centred: false, epsilon: epsilon)
    let whole = norm.reshaped(outputs.shape)
    let back: (Tensor) throws -> (Tensor, Tensor) = { dy in
      let gates = isFirst ? nil : try context.gateBackward(dy, x: whole, by: z, logistic: logistic)
      let dRows = try context.normalizeBackward(
        (gates?.x ?? dy).reshaped(rows.shape), x: rows, gain: run.weight(gain), statistics: statistics,
        centred: false, gradients: &run.state.gradients, gainAt: gain.offset, shiftAt: nil
      ).reshaped(outputs.shape)
      let (dOutputs, dz) =
        try gates.map { (dRows, $0.z) } ?? context.gateBackward(dRows, x: outputs, by: z, logistic: false)
      return (dOutputs, try map.backward(dz, x: x, run))
    }
    return (isFirst ? whole : try context.gate(whole, by: z, logistic: logistic), back)
  }
}
