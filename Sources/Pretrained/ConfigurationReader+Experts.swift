import ArrayFiles
import AttentionCore
import Basics
import Experts
import Layers
import Models
import Settings

/// Mixtures of experts, and latent rows, as transformers names them.
extension ConfigurationReader {
  private func mixture(
    experts: String, chosen: String
  ) throws(SafetensorsError) -> ExpertMixture {
    var mixture = ExpertMixture()
    mixture.experts = try integer(experts, in: 1...4096)
    mixture.chosen = try integer(chosen, in: 1...mixture.experts)
    return mixture
  }

  /// Those of gpt-oss: softmax over the chosen, biases, units that are cut off.
  func readExperts(into model: inout ModelConfiguration) throws(SafetensorsError) {
    var mixture = try mixture(experts: "num_local_experts", chosen: "num_experts_per_tok")
    (mixture.scores, mixture.routerBias, mixture.bias) = (.softmaxChosen, true, true)
    mixture.clamp = try number("swiglu_limit", in: 1e-6...1e6) ?? 7
    mixture.alpha = try number("swiglu_alpha", in: 0...1e6) ?? 1.702
    model.experts = [mixture]
  }

  /// Those of Qwen3-Next: softmax over all, a shared expert with a gate, dense layers by number.
  func readSharedExperts(into model: inout ModelConfiguration) throws(SafetensorsError) {
    var mixture = try mixture(experts: "num_experts", chosen: "num_experts_per_tok")
    mixture.hidden = try integer("moe_intermediate_size", as: "hidden", default: 512)
    mixture.shared = try integer("shared_expert_intermediate_size", as: "hidden", default: 512)
    mixture.sharedGate = true
    mixture.renormalize = try flag("norm_topk_prob", default: true)
    let step = try integer("decoder_sparse_step", in: 1...1_000_000, default: 1)
    let given = self["mlp_only_layers"], dense = given.arrayValue.compactMap(\.wholeValue)
    guard given == .null || given == .array(dense.map(JSONValue.int)) else {
      throw fail("mlp_only_layers", given, "a list of layers, counted from 0,")
    }
    model.experts = (0..<model.layers).map { ($0 + 1) % step == 0 && !dense.contains($0) ? mixture : nil }
  }

  /// Those of DeepSeek-V3 and Kimi Linear: the logistic function, a correction where experts are chosen, groups, a shared expert,
  /// dense layers first.
  func readGroupedExperts(
    of family: HuggingFaceConfiguration.Family, into model: inout ModelConfiguration
  ) throws(SafetensorsError) {
    let isKimi = family == .kimiLinear
    var mixture = try mixture(
      experts: isKimi ? "num_experts" : "n_routed_experts",
      chosen: isKimi ? "num_experts_per_token" : "num_experts_per_tok")
    (mixture.scores, mixture.correction) = (.sigmoid, true)
    mixture.hidden = try integer("moe_intermediate_size", as: "hidden", default: isKimi ? 1024 : 2048)
    let shared = try integer(isKimi ? "num_shared_experts" : "n_shared_experts", in: 0...64, default: 1)
    mixture.shared = mixture.hidden * shared
    mixture.groups = try integer(
      isKimi ? "num_expert_group" : "n_group", in: 1...mixture.experts,
      default: isKimi ? 1 : min(8, mixture.experts))
    mixture.groupsChosen = try integer(
      "topk_group", in: 1...mixture.groups, default: isKimi ? 1 : min(4, mixture.groups))
    mixture.renormalize = try flag(isKimi ? "moe_renormalize" : "norm_topk_prob", default: true)
    mixture.factor = try number("routed_scaling_factor", in: 0...1e6) ?? (isKimi ? 2.446 : 2.5)
    for (name, value) in [
      ("scoring_func", "sigmoid"), ("topk_method", "noaux_tc"), ("moe_router_activation_func", "sigmoid"),
    ] {
      let given = self[name]
      guard given == .null || given == .string(value) else { throw refused(name, given, value) }
    }
    let step = self["moe_layer_freq"]
    guard step == .null || step == .int(1) else { throw refused("moe_layer_freq", step, "1") }
    let dense = try integer("first_k_dense_replace", in: 0...1_000_000, default: isKimi ? 1 : 3)
    model.experts = (0..<model.layers).map { $0 < dense ? nil : mixture }
    let types = self["mlp_layer_types"]
    guard isKimi, types != .null else { return }
    guard types.arrayValue.count == model.layers,
      types.arrayValue.allSatisfy({ $0 == .string("dense") || $0 == .string("sparse") })
    else { throw fail("mlp_layer_types", types, "a list of \(model.layers) of dense and sparse") }
    model.experts = types.arrayValue.map { $0 == .string("dense") ? nil : mixture }
  }

  /// Latent rows in the place of keys and values.
  func readLatents(into model: inout ModelConfiguration) throws(SafetensorsError) {
    model.heads = try integer("num_attention_heads", as: "heads")
    let groups = try integer("num_key_value_heads", in: 1...1024, default: model.heads)
    guard groups == model.heads else {
      throw refused(
        "num_key_value_heads", self["num_key_value_heads"], "\(model.heads), as num_attention_heads")
    }
    model.latent = try integer("kv_lora_rank", as: "latent", default: 512)
    if isAbsent("q_lora_rank") ? family != "kimi_linear" : self["q_lora_rank"] != .null {
      model.queryLatent = try integer("q_lora_rank", as: "query_latent", default: 1536)
    }
    model.ropeWidth = try integer("qk_rope_head_dim", as: "rope_width", default: 64)
    model.headWidth = try integer("qk_nope_head_dim", as: "head_width", default: 128)
    let value = try integer("v_head_dim", as: "value_width", default: 128)
    model.valueWidth = value == model.headWidth ? 0 : value
    // Theirs have an ε of their own.
    model.latentEpsilon = model.epsilon == 1e-6 ? 0 : 1e-6
    model.attentionBias = try flag("attention_bias", default: false) ? .all : .none
    guard model.attentionBias == .none || model.queryLatent > 0 else {
      throw refused("attention_bias", self["attention_bias"], "false without q_lora_rank")
    }
    model.position = .rope
    if family != "kimi_linear", try flag("rope_interleave", default: true) {
      model.position = .ropeInterleaved
    }
    for (name, sum) in [("head_dim", model.ropeWidth), ("qk_head_dim", model.headWidth + model.ropeWidth)] {
      let given = try integer(name, in: 1...1_000_000, default: sum)
      guard given == sum else { throw refused(name, self[name], "\(sum), as the widths of its parts say") }
    }
  }

  /// What yarn makes of the scale of their scores.
  func scaleLatents(_ model: inout ModelConfiguration) throws(SafetensorsError) {
    guard model.rotary[0].kind != .plain else { return }
    let entry = self["rope_scaling"] == .null ? self["rope_parameters"] : self["rope_scaling"]
    let all = entry["mscale_all_dim"].numberValue ?? 0
    guard all > 0 else { return }
    let magnitude = ConfigurationReader.magnitude(factor: model.rotary[0].factor, mscale: all)
    model.attentionScale = magnitude * magnitude / Double(model.headDim + model.ropeWidth).squareRoot()
  }
}
