import Tensors

/// What a layer makes of its heads' outputs o, with z = G x of its input: `o∘σ(z)`; of a recurrent layer `RMSNorm(o_h)∘f(z_h)` a head,
/// f SiLU or the logistic function, or `RMSNorm(o∘SiLU(z))` over all of them or over groups of neighbours (Mamba 2).
package struct OutputGate: Sendable {
  package let map: Linear
  let kind: LayerConfiguration.OutputGate, epsilon: Double
  /// The gain of the norm, `[d]` or `[heads·d]`; `nil`: there is no norm.
  let gain: ParameterSlot?
  /// Parts of a row that are normalised apart.
  let parts: Int

  /// `nil`: the layers have none.
  package init?(
    _ name: String, columns: Int, isRecurrent: Bool, _ configuration: LayerConfiguration,
    in layout: inout ParameterLayout
  ) {
    kind = isRecurrent ? configuration.outputGate : configuration.attentionGate == .none ? .none : .sigmoid
    epsilon = configuration.epsilon
    guard kind != .none else { return nil }
    map = Linear(
      name + ".gate", from: configuration.width, to: columns,
      bias: isRecurrent ? configuration.bias : configuration.hasInputBias, in: &layout)
    let isWhole = kind == .siluFirst
    gain =
      isRecurrent
      ? layout.add(
        name + ".gateNorm.weight", [isWhole ? columns : configuration.valueDim], .constant(1), decays: false)
      : nil
    parts = isWhole ? max(1, configuration.recurrentGroups) : columns / configuration.valueDim
  }

  /// What becomes of the outputs o of heads, and the gradients of o and x from that of it.
  package func forward(
    _ outputs: Tensor, x: Tensor, _ run: LayerRun
  ) throws -> (output: Tensor, back: (Tensor) throws -> (outputs: Tensor, x: Tensor)) {
    let context = run.context, z = try map.product(x, run), isFirst = kind == .siluFirst
    let logistic = kind == .sigmoid
    let normed = isFirst ? try context.gate(outputs, by: z, logistic: false) : outputs
    let (whole, unnormed) = try norm(normed.contiguous(), run)
    let back: (Tensor) throws -> (Tensor, Tensor) = { dy in
      let gates = isFirst ? nil : try context.gateBackward(dy, x: whole, by: z, logistic: logistic)
      let dRows = try unnormed(gates?.x ?? dy)
      let (dOutputs, dz) =
        try gates.map { (dRows, $0.z) } ?? context.gateBackward(dRows, x: outputs, by: z, logistic: false)
      return (dOutputs, try map.backward(dz, x: x, run))
    }
    return (isFirst ? whole : try context.gate(whole, by: z, logistic: logistic), back)
  }

  /// RMSNorm of every part of the rows, and its way back.
  private func norm(_ x: Tensor, _ run: LayerRun) throws -> (Tensor, (Tensor) throws -> Tensor) {
    guard let gain else { return (x, { $0 }) }
    let context = run.context, rows = x.shape[0], size = x.shape[1] / parts
    // One gain for all parts, or one part: each row of numbers has the same.
    guard gain.count != size else {
      let flat = x.reshaped([x.count / size, size])
      let (y, statistics) = try context.normalize(
        flat, gain: run.weight(gain), shift: nil, centred: false, epsilon: epsilon)
      return (
        y.reshaped(x.shape),
        { dy in
          try context.normalizeBackward(
            dy.reshaped(flat.shape), x: flat, gain: run.weight(gain), statistics: statistics, centred: false,
            gradients: &run.state.gradients, gainAt: gain.offset, shiftAt: nil
          ).reshaped(x.shape)
        }
      )
    }
    var y = try context.empty(x.shape)
    var kept: [(x: Tensor, statistics: NormStatistics)] = []
    func part(_ place: Int, of x: Tensor) throws -> Tensor {
      try context.splitHeads(x, column: place * size, batch: 1, heads: 1, dim: size).reshaped([rows, size])
    }
    for place in 0..<parts {
      let own = try part(place, of: x)
      let (normed, statistics) = try context.normalize(
        own, gain: run.weight(gain.rows(place * size..<(place + 1) * size)), shift: nil, centred: false,
        epsilon: epsilon)
      context.mergeHeads(normed.reshaped([1, 1, rows, size]), into: &y, column: place * size)
      kept.append((own, statistics))
    }
    return (
      y,
      { dy in
        var dx = try context.empty(x.shape)
        for (place, own) in kept.enumerated() {
          let slot = gain.rows(place * size..<(place + 1) * size)
          let d = try context.normalizeBackward(
            part(place, of: dy), x: own.x, gain: run.weight(slot), statistics: own.statistics, centred: false,
            gradients: &run.state.gradients, gainAt: slot.offset, shiftAt: nil)
          context.mergeHeads(d.reshaped([1, 1, rows, size]), into: &dx, column: place * size)
        }
        return dx
      }
    )
  }
}
