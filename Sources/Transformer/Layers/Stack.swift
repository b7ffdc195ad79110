import Settings
import Tensors

/// Blocks on top of each other, with a norm at the end when it is a pre-norm stack.
///
/// A block is self-attention, cross-attention (in the decoder of an encoder–decoder) and feed-forward.
struct Stack: Sendable {
  let sublayers: [Sublayer]
  let final: Normalization?

  struct Saved {
    let sublayers: [Sublayer.Saved]
    let final: Normalization.Saved?
    let memory: Tensor?
  }

  init(
    _ name: String, _ configuration: ModelConfiguration, layers: Int, isCausal: Bool, hasMemory: Bool,
    attention: [LayerAttention], operands: [LayerOperands], in layout: inout ParameterLayout,
    buffers: inout [BufferSlot]
  ) {
    var sublayers: [Sublayer] = []
    // Residual branches of a pre-norm stack add up: each starts smaller, so that their sum keeps its size.
    let branches = Double(layers * (hasMemory ? 3 : 2))
    let gain = configuration.placement == .pre ? 1 / branches.squareRoot() : 1
    func add(_ name: String, _ function: Sublayer.Function) {
      sublayers.append(
        Sublayer(
          function: function,
          norm: Normalization(name + ".norm", configuration, in: &layout, buffers: &buffers),
          placement: configuration.placement, dropout: configuration.dropout, name: name))
    }
    for layer in 0..<layers {
      let prefix = "\(name).layers.\(layer)"
      let attention = attention[layer]
      add(
        prefix + ".attention",
        .attention(
          AttentionLayer(
            prefix + ".attention", configuration, attention: attention, isCausal: isCausal, isCross: false,
            operands: operands[layer], gain: gain, in: &layout)))
      if hasMemory {
        add(
          prefix + ".cross",
          .attention(
            AttentionLayer(
              prefix + ".cross", configuration, attention: LayerAttention("full"), isCausal: false,
              isCross: true,
              gain: gain, in: &layout)))
      }
      add(
        prefix + ".feedForward",
        .feedForward(FeedForward(prefix + ".feedForward", configuration, gain: gain, in: &layout)))
    }
    self.sublayers = sublayers
    final =
      configuration.placement == .pre
      ? Normalization(name + ".norm", configuration, in: &layout, buffers: &buffers) : nil
  }

  func forward(
    _ x: Tensor, memory: Tensor? = nil, batch: Int, lengths: [Int]?, memoryLengths: [Int]? = nil,
    _ run: LayerRun
  ) throws -> (Tensor, Saved) {
    var x = x
    var saved: [Sublayer.Saved] = []
    for sublayer in sublayers {
      let (y, kept) = try sublayer.forward(
        x, memory: memory, batch: batch, lengths: lengths, memoryLengths: memoryLengths, run)
      x = y
      saved.append(kept)
    }
    guard let final else { return (x, Saved(sublayers: saved, final: nil, memory: memory)) }
    let valid = validRows(lengths, batch: batch, rows: x.shape[0])
    let (y, kept) = try final.forward(x, valid: valid, run)
    return (y, Saved(sublayers: saved, final: kept, memory: memory))
  }

  /// The gradients of the stack's input and of the memory.
  func backward(_ dy: Tensor, _ saved: Saved, _ run: LayerRun) throws -> (x: Tensor, memory: Tensor?) {
    var d = dy
    if let final, let kept = saved.final { d = try final.backward(dy, kept, run) }
    var memory: Tensor?
    for (sublayer, kept) in zip(sublayers, saved.sublayers).reversed() {
      let (dx, dMemory) = try sublayer.backward(d, kept, run)
      d = dx
      if let dMemory { memory = try memory.map { try run.context.add($0, dMemory) } ?? dMemory }
    }
    return (d, memory)
  }
}
