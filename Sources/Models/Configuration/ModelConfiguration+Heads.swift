import AttentionCore
import Layers
import Settings

extension ModelConfiguration {
  /// Whether heads are as the layers can have them: turned in pairs, of a width and with norms that what attends to them allows.
  /// - Throws: `ConfigurationError`.
  func checkHeads(in catalog: Catalog) throws(ConfigurationError) {
    let standard = LayerConfiguration()
    try require(
      layer.isRotary || layer.rotary == standard.rotary, "rotary", layer.rotaryLine,
      "plain unless position is rope or rope-interleaved")
    let dim = layer.latent > 0 ? layer.effectiveRopeWidth : layer.headDim
    for rotary in layer.rotary where layer.isRotary && rotary.kind != .none {
      let turned = rotary.turned(of: dim)
      try require(
        turned % 2 == 0, "position", layer.position.rawValue,
        "an even head width for RoPE (\(turned) of \(dim) elements of a head are turned)")
      try require(
        !rotary.goesByLength || turned > 2, "rotary", "dynamic",
        "another where 2 elements of a head are turned")
    }
    try require(
      !layer.rotary.contains(where: \.goesByLength) || !keepsSegments, "rotary", "dynamic",
      "another with memory or stored, which have no length")
    try require(!layer.headNorm || layer.latent == 0, "head_norm", "true", "false with latent")
    try require(
      !layer.headNorm || !keepsSegments, "head_norm", "true", "false with memory and stored")
    try require(
      layer.attentionScale == 0 || layer.position != .alibi, "attention_scale", "\(layer.attentionScale)",
      "0 with position alibi")
    try require(
      logitSoftcap == 0 || classes == 0, "logit_softcap", "\(logitSoftcap)",
      "0 for a task that is a classification")
    try require(
      layer.experts == standard.experts || kind != .vit || images.video == .joint, "experts",
      layer.expertsLine,
      "dense with video divided")
    try require(
      layer.feedForward.unit != nil || layer.experts.allSatisfy { $0 == nil || $0?.clamp ?? 0 > 0 },
      "feed_forward",
      layer.feedForward.rawValue, "swiglu, geglu or geglu-tanh with experts")
    let recurrent = layer.ofRecurrences
    try require(
      layer.recurrentGroups == 0 || recurrent.heads % layer.recurrentGroups == 0, "recurrent_groups",
      "\(layer.recurrentGroups)", "a divisor of the \(recurrent.heads) heads of recurrent layers, or 0")
    try require(
      layer.attentionGate == .none || !keepsSegments, "attention_gate", layer.attentionGate.rawValue,
      "none with memory and stored")
    try require(
      layer.convolutionBias == .asBias || layer.shortConvolution > 0, "convolution_bias",
      layer.convolutionBias.rawValue, "as-bias without a short convolution")
    try require(
      layer.feedForward != .none || kind == .decoder && layer.experts == standard.experts, "feed_forward",
      "none",
      "another unless kind is decoder without experts")
    for attention in try layerAttention() {
      let operands = try catalog.operands(of: attention)
      try require(
        layer.headWidth == 0 || operands.wiring.output != .concat, "head_width", "\(layer.headWidth)",
        "0 with \(attention.id), whose heads beside each other are the layer's output")
      let copies = operands.declared.contains { operand in
        if case .projected(let like) = operand.source { like == .query || like == .key } else { false }
      }
      try require(
        !layer.headNorm || !copies, "head_norm", "true",
        "false with \(attention), which makes further rows like those of q and k")
    }
  }
}
