import ArrayFiles
import AttentionCore
import Basics
import Layers
import Models
import Settings

/// Decoders as Llama has them: RMSNorm before every sublayer, gated units, rotary positions in halves of a head, grouped heads, no
/// biases. What families change is read here; mixtures of experts and latent rows stand in files of their own.
extension ConfigurationReader {
  /// A decoder.
  /// - Throws: `SafetensorsError` that names the entry that is missing, wrong or not supported.
  func decoder(_ family: HuggingFaceConfiguration.Family) throws(SafetensorsError) -> ModelConfiguration {
    var model = ModelConfiguration()
    (model.kind, model.norm, model.residual, model.position) = (.decoder, .rms, .pre, .rope)
    (model.bias, model.scaleEmbedding) = (false, false)
    model.vocabulary = try integer("vocab_size", as: "vocabulary")
    model.width = try integer("hidden_size", as: "width")
    model.layers = try integer("num_hidden_layers", as: "layers")
    model.hidden = try integer("intermediate_size", as: "hidden")
    model.maximumLength = try integer(
      family == .kimiLinear ? "model_max_length" : "max_position_embeddings", as: "maximum_length",
      default: 2048)
    model.epsilon = try real(
      "rms_norm_eps", default: family == .gptOss || family == .kimiLinear ? 1e-5 : 1e-6)
    if family.hasLatents {
      try readLatents(into: &model)
    } else {
      try readHeads(of: family, into: &model)
    }
    let isGemma = family == .gemma || family == .gemma2 || family == .gemma3
    model.tied = try flag("tie_word_embeddings", default: isGemma)
    model.scaleEmbedding = isGemma
    model.feedForward =
      try family == .gemma2 || family == .gemma3
      ? gatedActivation("hidden_activation", default: "gelu_pytorch_tanh")
      : gatedActivation("hidden_act", default: isGemma ? "gelu_pytorch_tanh" : "silu")
    switch family {
    case .llama: model.bias = try flag("mlp_bias", default: false)
    case .gemma:
      // What is called GELU there is its tanh form.
      if model.feedForward == .geglu { model.feedForward = .gegluTanh }
      let other = self["hidden_activation"]
      guard other == .null || other == .string("gelu_pytorch_tanh") else {
        throw refused("hidden_activation", other, "gelu_pytorch_tanh")
      }
    case .gemma2, .gemma3:
      model.residual = .sandwich
      // Older files have it beside `hidden_activation`, which alone is read.
      _ = self["hidden_act"]
      let scalar = try number("query_pre_attn_scalar", in: 1e-6...1e9) ?? 256
      model.attentionScale = 1 / scalar.squareRoot()
      model.logitSoftcap =
        try number("final_logit_softcapping", in: 0.001...1e6)
        ?? (family == .gemma2 && isAbsent("final_logit_softcapping") ? 30 : 0)
      if family == .gemma3, self["attn_logit_softcapping"] != .null {
        throw refused(
          "attn_logit_softcapping", self["attn_logit_softcapping"], "null, for transformers does not apply it"
        )
      }
    case .gptOss:
      try readExperts(into: &model)
      guard model.feedForward == .swiglu else { throw refused("hidden_act", self["hidden_act"], "silu") }
    case .deepseekV3, .kimiLinear: try readGroupedExperts(of: family, into: &model)
    case .qwen3Next:
      try readSharedExperts(into: &model)
      model.attentionGate = .sigmoid
    default: break
    }
    let types = try layerTypes(of: family, layers: model.layers)
    model.attention = LayerAttention.line(try attention(of: family, types))
    model.rotary = try rotary(of: family, types, model)
    if family == .deepseekV3 { try scaleLatents(&model) }
    if types.contains(.linear) { try readRecurrence(of: family, into: &model) }
    return model
  }

  /// Whether an entry does not stand there at all, not even as null.
  func isAbsent(_ name: String) -> Bool { !root.members.contains { $0.key == name } }

  private func readHeads(
    of family: HuggingFaceConfiguration.Family, into model: inout ModelConfiguration
  ) throws(SafetensorsError) {
    model.heads = try integer("num_attention_heads", as: "heads")
    let keyHeads: [HuggingFaceConfiguration.Family: Int] = [
      .mistral: 8, .qwen2: 32, .qwen3: 32, .gemma: 16, .gemma2: 4, .gemma3: 4,
      .gptOss: 8, .qwen3Next: 2,
    ]
    let usual = isAbsent("num_key_value_heads") ? keyHeads[family] ?? model.heads : model.heads
    let groups = try integer("num_key_value_heads", as: "key_heads", default: usual)
    model.keyHeads = groups == model.heads ? 0 : groups
    let dims: [HuggingFaceConfiguration.Family: Int] = [
      .qwen3: 128, .gemma: 256, .gemma2: 256, .gemma3: 256, .gptOss: 64, .qwen3Next: 256,
    ]
    let dim = isAbsent("head_dim") ? dims[family] ?? 0 : 0
    model.headWidth = try integer("head_dim", as: "head_width", default: dim)
    if model.headWidth * model.heads == model.width { model.headWidth = 0 }
    switch family {
    case .qwen2: model.attentionBias = .inputs
    case .mistral: model.attentionBias = .none
    default: model.attentionBias = try flag("attention_bias", default: family == .gptOss) ? .all : .none
    }
    model.headNorm = family == .qwen3 || family == .gemma3 || family == .qwen3Next
  }

  /// What the layers' attention sees.
  enum LayerType: String {
    case full = "full_attention"
    case sliding = "sliding_attention"
    case linear = "linear_attention"
  }

  /// The types of all layers.
  private func layerTypes(
    of family: HuggingFaceConfiguration.Family, layers: Int
  ) throws(SafetensorsError) -> [LayerType] {
    switch family {
    case .llama, .gemma, .deepseekV3: return [LayerType](repeating: .full, count: layers)
    case .mistral:
      // Its window is that of all layers.
      return [LayerType](
        repeating: self["sliding_window"] == .null && !isAbsent("sliding_window") ? .full : .sliding,
        count: layers)
    default: break
    }
    let given = self["layer_types"], isLinear = family == .qwen3Next || family == .kimiLinear
    var usual = [LayerType](repeating: .full, count: layers)
    switch family {
    case .qwen2, .qwen3:
      let slides = try flag("use_sliding_window", default: false)
      let first = try integer("max_window_layers", in: 0...1_000_000, default: 28)
      if slides, self["sliding_window"] != .null || isAbsent("sliding_window") {
        for layer in 0..<layers where layer >= first { usual[layer] = .sliding }
      } else {
        _ = self["sliding_window"]
      }
    case .gemma2, .gemma3, .gptOss:
      let period =
        try family == .gemma2 || family == .gptOss
        ? 2
        : integer(
          "sliding_window_pattern", in: 1...1_000_000,
          default: integer("_sliding_window_pattern", in: 1...1_000_000, default: 6))
      for layer in 0..<layers where (layer + 1) % period != 0 { usual[layer] = .sliding }
    case .qwen3Next:
      let period = try integer("full_attention_interval", in: 1...1_000_000, default: 4)
      for layer in 0..<layers where (layer + 1) % period != 0 { usual[layer] = .linear }
    case .kimiLinear:
      for layer in 0..<layers where layer == 0 || layer % 4 != 0 { usual[layer] = .linear }
    default: break
    }
    guard given != .null else { return usual }
    guard given.arrayValue.count == layers else {
      throw fail("layer_types", given, "a list of \(layers) types, one a layer,")
    }
    return try given.arrayValue.map { value throws(SafetensorsError) in
      let type = value.stringValue.flatMap(LayerType.init(rawValue:))
      guard let type, type != (isLinear ? .sliding : .linear) else {
        throw refused("layer_types", value, "full_attention and \(isLinear ? "linear" : "sliding")_attention")
      }
      return type
    }
  }

  /// The attention of all layers.
  private func attention(
    of family: HuggingFaceConfiguration.Family, _ types: [LayerType]
  ) throws(SafetensorsError) -> [LayerAttention] {
    var settings: [String: ParameterValue] = [:]
    if family == .gemma2 {
      let cap = try number("attn_logit_softcapping", in: 0.001...10_000)
      if let cap = cap ?? (isAbsent("attn_logit_softcapping") ? 50 : nil) {
        settings["softcap"] = .double(cap)
      }
    }
    if family == .gptOss { settings["sink"] = .string("learned") }
    var windowed = settings
    if types.contains(.sliding) {
      // A window counts the row itself.
      windowed["left"] = .int(
        try integer("sliding_window", in: 1...(1 << 24), default: family == .gptOss ? 128 : 4096) - 1)
    } else {
      _ = self["sliding_window"]
    }
    return types.map { type in
      switch type {
      case .full: LayerAttention("full", settings: settings)
      case .sliding: LayerAttention("sliding-window", settings: windowed)
      case .linear: LayerAttention(family == .kimiLinear ? "kda" : "gated-delta")
      }
    }
  }
}
