import Settings
import Tensors

/// Blocks on top of each other, with a norm at the end unless every sublayer ends with one.
package struct Stack: Trunk {
  package let blocks: [Block]
  package let residual: LayerConfiguration.Residual
  /// What a reversible stack gives of its two streams.
  package let join: LayerConfiguration.StreamJoin
  package let final: Normalization?

  /// The sublayers of all blocks.
  package var sublayers: [Sublayer] { blocks.flatMap(\.sublayers) }

  package init(
    _ name: String, _ configuration: LayerConfiguration, layers: Int, isCausal: Bool, hasMemory: Bool,
    attention: [LayerAttention], operands: [LayerOperands], hasFinalNorm: Bool = true,
    in layout: inout ParameterLayout, buffers: inout [BufferSlot]
  ) {
    residual = configuration.residual
    join = configuration.reversibleOutput
    // Residual branches without a norm behind them add up: each starts smaller, so that their sum keeps its size. The two
    // streams of a reversible stack take half of them each.
    let branches = Double(layers * (hasMemory ? 3 : 2)) / (residual == .reversible ? 2 : 1)
    let gain = residual == .post ? 1 : 1 / branches.squareRoot()
    blocks = (0..<layers).map { layer in
      var sublayers: [Sublayer] = []
      func add(_ name: String, _ function: Sublayer.Function) {
        let norm = Normalization(name + ".norm", configuration, in: &layout, buffers: &buffers)
        let second =
          configuration.residual == .sandwich
          ? Normalization(name + ".outputNorm", configuration, in: &layout, buffers: &buffers) : nil
        sublayers.append(Sublayer(name, function, norm: norm, outputNorm: second, configuration))
      }
      let prefix = "\(name).layers.\(layer)"
      add(
        prefix + ".attention",
        .attention(
          AttentionLayer(
            prefix + ".attention", configuration, attention: attention[layer], isCausal: isCausal,
            isCross: false, operands: operands[layer], gain: gain,
            looksUp: configuration.stored > 0
              && layer + 1 == (configuration.storedLayer == 0 ? layers : configuration.storedLayer),
            place: layer, in: &layout)))
      if hasMemory {
        add(
          prefix + ".cross",
          .attention(
            AttentionLayer(
              prefix + ".cross", configuration, attention: LayerAttention("full"), isCausal: false,
              isCross: true, gain: gain, in: &layout)))
      }
      let name = prefix + ".feedForward"
      if let mixture = configuration.experts[layer % configuration.experts.count] {
        add(name, .experts(MixtureOfExperts(name, mixture, configuration, gain: gain, in: &layout)))
      } else if configuration.feedForward != .none {
        add(name, .feedForward(FeedForward(name, configuration, gain: gain, in: &layout)))
      }
      return Block(sublayers: sublayers)
    }
    final =
      residual == .post || !hasFinalNorm
      ? nil
      : Normalization(
        name + ".norm", configuration, width: configuration.outputWidth, in: &layout, buffers: &buffers)
  }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    run.observer?.stream(x)
    let (y, pullback) = try residual == .reversible ? reversible(x, run) : run.chain(blocks, x)
    guard let final else { return (y, pullback) }
    let (z, finalPullback) = try final.forward(y, run)
    return (z, Pullback { dy, residual in try pullback(finalPullback(dy), adding: residual) })
  }
}
