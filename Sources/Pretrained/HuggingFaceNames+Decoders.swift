import Experts
import Models
import Settings
import Tensors

/// Where each parameter of a decoder like Llama comes from, by our name.
struct DecoderSources {
  let configuration: HuggingFaceConfiguration
  var all: [String: HuggingFaceSource] = [:]

  var model: ModelConfiguration { configuration.model }
  var family: HuggingFaceConfiguration.Family { configuration.family }

  init(_ configuration: HuggingFaceConfiguration) {
    self.configuration = configuration
    if !model.tied { add("output", "lm_head") }
    let attention = (try? LayerAttention.parse(model.attention)) ?? []
    if family == .mamba2 {
      add("embedding", "embeddings")
      norm("decoder.norm", "norm_f")
      for layer in 0..<model.layers {
        norm("decoder.layers.\(layer).attention.norm", "layers.\(layer).norm")
        addMamba("decoder.layers.\(layer).attention", "layers.\(layer).mixer")
      }
      return
    }
    add("embedding", "embed_tokens")
    norm("decoder.norm", "norm")
    for layer in 0..<model.layers {
      let ours = "decoder.layers.\(layer)", theirs = "layers.\(layer)"
      norm("\(ours).attention.norm", "\(theirs).input_layernorm")
      if model.residual == .sandwich {
        norm("\(ours).attention.outputNorm", "\(theirs).post_attention_layernorm")
        norm("\(ours).feedForward.norm", "\(theirs).pre_feedforward_layernorm")
        norm("\(ours).feedForward.outputNorm", "\(theirs).post_feedforward_layernorm")
      } else {
        norm("\(ours).feedForward.norm", "\(theirs).post_attention_layernorm")
      }
      if attention[layer % attention.count].isRecurrence {
        addRecurrence(ours + ".attention", theirs)
      } else if model.latent > 0 {
        addLatents(ours + ".attention", theirs + ".self_attn")
      } else {
        addHeads(ours + ".attention", theirs + ".self_attn")
      }
      addFeedForward(
        ours + ".feedForward", theirs + (family == .kimiLinear ? ".block_sparse_moe" : ".mlp"),
        model.experts[layer % model.experts.count])
    }
  }

  mutating func add(
    _ ours: String, _ theirs: String, kinds: [String] = ["weight", "bias"],
    _ part: HuggingFaceSource.Part = .whole
  ) {
    for kind in kinds {
      all["\(ours).\(kind)"] = HuggingFaceSource(name: "\(theirs).\(kind)", part: part)
    }
  }

  private mutating func norm(_ ours: String, _ theirs: String) {
    add(ours, theirs, kinds: ["weight"], family.hasZeroCentredNorms ? .onePlus : .whole)
  }

  private mutating func addHeads(_ ours: String, _ theirs: String) {
    for (name, code) in [("query", "q"), ("key", "k"), ("value", "v"), ("output", "o")] {
      add("\(ours).\(name)", "\(theirs).\(code)_proj")
    }
    if model.attentionGate != .none { addGate(ours, theirs) }
    norm("\(ours).queryHeadNorm", "\(theirs).q_norm")
    norm("\(ours).keyHeadNorm", "\(theirs).k_norm")
    if family == .gptOss {
      all["\(ours).sink_logit"] = HuggingFaceSource(name: "\(theirs).sinks", part: .whole)
    }
  }

  /// Of every head the rows of q, then those of its gate.
  private mutating func addGate(_ ours: String, _ theirs: String) {
    let heads = model.heads, d = model.headDim
    for (place, name) in ["query", "gate"].enumerated() {
      for (kind, extents) in [("weight", [model.width]), ("bias", [])] {
        add(
          "\(ours).\(name)", "\(theirs).q_proj", kinds: [kind],
          .made(from: [heads * 2 * d] + extents) { stored in
            stored.reshaped([heads, 2, d] + extents).narrowed(axis: 1, to: place..<place + 1).contiguous()
              .reshaped([heads * d] + extents)
          })
      }
    }
  }

  /// Maps that make latents, and heads of them: the rows of a head stand together there.
  private mutating func addLatents(_ ours: String, _ theirs: String) {
    let heads = model.heads, d = model.headDim, turned = model.ropeWidth, value = model.valueDim
    /// Rows of every head from `first` on, the heads below each other.
    func rows(_ first: Int, _ count: Int, of whole: Int, from width: Int) -> HuggingFaceSource.Part {
      .made(from: [heads * whole, width]) { stored in
        stored.reshaped([heads, whole, width]).narrowed(axis: 1, to: first..<first + count).contiguous()
          .reshaped([heads * count, width])
      }
    }
    let asking = model.queryLatent > 0 ? "q_b_proj" : "q_proj"
    let width = model.queryLatent > 0 ? model.queryLatent : model.width
    add("\(ours).query", "\(theirs).\(asking)", kinds: ["weight"], rows(0, d, of: d + turned, from: width))
    add(
      "\(ours).queryRope", "\(theirs).\(asking)", kinds: ["weight"],
      rows(d, turned, of: d + turned, from: width))
    add("\(ours).queryLatent", "\(theirs).q_a_proj")
    add("\(ours).queryNorm", "\(theirs).q_a_layernorm", kinds: ["weight"])
    for (name, range) in [
      ("latent", 0..<model.latent), ("keyRope", model.latent..<model.latent + turned),
    ] {
      for (kind, extents) in [
        ("weight", [model.latent + turned, model.width]), ("bias", [model.latent + turned]),
      ] {
        add(
          "\(ours).\(name)", "\(theirs).kv_a_proj_with_mqa", kinds: [kind],
          .made(from: extents) { $0.narrowed(axis: 0, to: range) })
      }
    }
    add("\(ours).latentNorm", "\(theirs).kv_a_layernorm", kinds: ["weight"])
    add(
      "\(ours).key", "\(theirs).kv_b_proj", kinds: ["weight"], rows(0, d, of: d + value, from: model.latent))
    add(
      "\(ours).value", "\(theirs).kv_b_proj", kinds: ["weight"],
      rows(d, value, of: d + value, from: model.latent))
    add("\(ours).output", "\(theirs).o_proj")
  }

  private mutating func addFeedForward(_ ours: String, _ theirs: String, _ mixture: ExpertMixture?) {
    let parts = [("gate", "gate_proj"), ("up", "up_proj"), ("outer", "down_proj")]
    let names = family == .kimiLinear ? ["w1", "w3", "w2"] : parts.map(\.1)
    let shared = family == .qwen3Next ? "shared_expert" : "shared_experts"
    guard let mixture else {
      for (name, code) in parts { add("\(ours).\(name)", "\(theirs).\(code)") }
      return
    }
    guard family != .gptOss else { return addInterleaved(ours, theirs, mixture) }
    add("\(ours).router", "\(theirs).gate")
    all["\(ours).router.correction"] = HuggingFaceSource(
      name: "\(theirs).gate.e_score_correction_bias", part: .whole)
    for ((name, code), own) in zip(parts, names) {
      for expert in 0..<mixture.experts {
        add("\(ours).experts.\(expert).\(name)", "\(theirs).experts.\(expert).\(own)")
      }
      add("\(ours).shared.\(name)", "\(theirs).\(shared).\(code)")
    }
    add("\(ours).shared.scale", "\(theirs).shared_expert_gate")
  }

  /// gpt-oss keeps all experts in one tensor, `[experts, width, 2·hidden]` with gate and factor in turn.
  private mutating func addInterleaved(_ ours: String, _ theirs: String, _ mixture: ExpertMixture) {
    let width = model.width, hidden = mixture.hidden == 0 ? model.effectiveHidden : mixture.hidden
    let count = mixture.experts
    add("\(ours).router", "\(theirs).router")
    func one(_ expert: Int, _ stored: Tensor) -> Tensor {
      stored.narrowed(axis: 0, to: expert..<expert + 1).contiguous()
    }
    for expert in 0..<count {
      let own = "\(ours).experts.\(expert)"
      func take(_ name: String, _ code: String, _ extents: [Int], _ make: @escaping (Tensor) throws -> Tensor)
      {
        all["\(own).\(name)"] = HuggingFaceSource(
          name: "\(theirs).experts.\(code)",
          part: .made(from: [count] + extents) { try make(one(expert, $0)) })
      }
      for (place, name) in ["gate", "up"].enumerated() {
        take("\(name).weight", "gate_up_proj", [width, 2 * hidden]) {
          $0.reshaped([width, hidden, 2]).narrowed(axis: 2, to: place..<place + 1).contiguous()
            .reshaped([width, hidden]).transposed(0, 1)
        }
        take("\(name).bias", "gate_up_proj_bias", [2 * hidden]) {
          $0.reshaped([hidden, 2]).narrowed(axis: 1, to: place..<place + 1).contiguous().reshaped([hidden])
        }
      }
      take("outer.weight", "down_proj", [hidden, width]) { $0.reshaped([hidden, width]).transposed(0, 1) }
      take("outer.bias", "down_proj_bias", [width]) { $0.reshaped([width]) }
    }
  }
}
