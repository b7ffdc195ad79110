import Models
import Tensors

/// Which stored tensor, and which part of it, a parameter here is.
struct HuggingFaceSource {
  /// What is done to the stored tensor.
  enum Part {
    /// As it is.
    case whole
    /// GPT-2's `Conv1D` keeps weights `[input, output]`: transposed.
    case transposed
    /// One of the three of a `Conv1D` that makes q, k and v at once: `[input, 3·width]`, or its bias `[3·width]`.
    case third(Int)
    /// Without the first rows.
    case rows(from: Int)
    /// One of the three of a linear layer that makes q, k and v at once: `[3·width, input]`, or its bias.
    case linearThird(Int)
    /// With an axis of one before.
    case first
    /// One more than what is stored: gains of norms that are kept around 0.
    case onePlus
    /// What is made of a stored tensor of some extents.
    case made(from: [Int], (Tensor) throws -> Tensor)
    /// What is made of it and of others, of their own names and extents.
    case combined(from: [Int], [(name: String, shape: [Int])], ([Tensor]) throws -> Tensor)
    /// A convolution whose kernel is a patch: `[width, channels, patch, patch]`.
    case patches(Int)
  }
  let name: String
  let part: Part

  /// Further stored tensors that it is made of.
  var others: [(name: String, shape: [Int])] {
    if case .combined(_, let others, _) = part { others } else { [] }
  }

  /// The shape that the stored tensor of a parameter of a shape has.
  func storedShape(of shape: [Int]) -> [Int] {
    switch part {
    case .whole, .onePlus: shape
    case .transposed: shape.reversed()
    case .made(let stored, _), .combined(let stored, _, _): stored
    case .third: shape.count == 2 ? [shape[1], 3 * shape[0]] : [3 * shape[0]]
    case .rows(let first): [shape[0] + first] + shape.dropFirst()
    case .linearThird: [3 * shape[0]] + shape.dropFirst()
    case .first: [1] + shape
    case .patches(let side): [shape[0], shape[1] / (side * side), side, side]
    }
  }
}

extension HuggingFaceConfiguration {
  /// The prefix that models with a head put before their trunk's names.
  var prefix: String {
    switch family {
    case .gpt2: "transformer."
    case .bert: "bert."
    case .roberta: "roberta."
    case .distilbert: "distilbert."
    case .vit: "vit."
    case .timm: ""
    case .timesformer: "timesformer."
    case .mamba2: "backbone."
    default: "model."
    }
  }

  /// Where each parameter of the trunk comes from, by our name.
  var sources: [String: HuggingFaceSource] {
    if family.readsImages { return visionSources }
    if family.isDecoder, family != .gpt2 { return DecoderSources(self).all }
    var result: [String: HuggingFaceSource] = [:]
    func add(_ ours: String, _ theirs: String, _ part: HuggingFaceSource.Part = .whole) {
      for kind in ["weight", "bias"] {
        result["\(ours).\(kind)"] = HuggingFaceSource(name: "\(theirs).\(kind)", part: part)
      }
    }
    func table(_ ours: String, _ theirs: String, _ part: HuggingFaceSource.Part = .whole) {
      result[ours] = HuggingFaceSource(name: theirs, part: part)
    }
    if family == .gpt2 {
      table("embedding.weight", "wte.weight")
      table("decoder.positions.weight", "wpe.weight")
      add("decoder.norm", "ln_f")
      for layer in 0..<model.layers {
        let ours = "decoder.layers.\(layer)", theirs = "h.\(layer)"
        for (third, name) in ["query", "key", "value"].enumerated() {
          add("\(ours).attention.\(name)", "\(theirs).attn.c_attn", .third(third))
        }
        add("\(ours).attention.output", "\(theirs).attn.c_proj", .transposed)
        add("\(ours).attention.norm", "\(theirs).ln_1")
        add("\(ours).feedForward.inner", "\(theirs).mlp.c_fc", .transposed)
        add("\(ours).feedForward.outer", "\(theirs).mlp.c_proj", .transposed)
        add("\(ours).feedForward.norm", "\(theirs).ln_2")
      }
      if !model.tied { table("output.weight", "lm_head.weight") }
      return result
    }
    table("embedding.weight", "embeddings.word_embeddings.weight")
    table("encoder.positions.weight", "embeddings.position_embeddings.weight", .rows(from: firstPosition))
    if model.tokenTypes > 0 {
      table("encoder.positions.types.weight", "embeddings.token_type_embeddings.weight")
    }
    add("encoder.positions.norm", "embeddings.LayerNorm")
    for layer in 0..<model.layers {
      let ours = "encoder.layers.\(layer)"
      if family == .distilbert {
        let theirs = "transformer.layer.\(layer)"
        for (name, code) in [("query", "q"), ("key", "k"), ("value", "v"), ("output", "out")] {
          add("\(ours).attention.\(name)", "\(theirs).attention.\(code)_lin")
        }
        add("\(ours).attention.norm", "\(theirs).sa_layer_norm")
        add("\(ours).feedForward.inner", "\(theirs).ffn.lin1")
        add("\(ours).feedForward.outer", "\(theirs).ffn.lin2")
        add("\(ours).feedForward.norm", "\(theirs).output_layer_norm")
      } else {
        let theirs = "encoder.layer.\(layer)"
        for name in ["query", "key", "value"] {
          add("\(ours).attention.\(name)", "\(theirs).attention.self.\(name)")
        }
        add("\(ours).attention.output", "\(theirs).attention.output.dense")
        add("\(ours).attention.norm", "\(theirs).attention.output.LayerNorm")
        add("\(ours).feedForward.inner", "\(theirs).intermediate.dense")
        add("\(ours).feedForward.outer", "\(theirs).output.dense")
        add("\(ours).feedForward.norm", "\(theirs).output.LayerNorm")
      }
    }
    if !model.tied { table("output.weight", headNames.decoder) }
    return result
  }

  /// The names of the masked-language head's parts: dense layer, norm, output matrix, output bias.
  var headNames: (dense: String, norm: String, decoder: String, bias: String) {
    switch family {
    case .bert:
      (
        "cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm",
        "cls.predictions.decoder.weight", "cls.predictions.bias"
      )
    case .roberta: ("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder.weight", "lm_head.bias")
    case .distilbert:
      ("vocab_transform", "vocab_layer_norm", "vocab_projector.weight", "vocab_projector.bias")
    default: ("", "", "lm_head.weight", "")
    }
  }

  /// Whether a stored tensor takes no part in what the models here compute: masks kept as buffers, tied copies, and
  /// heads for other tasks.
  func isIdle(_ name: String) -> Bool {
    let starts = [
      "pooler.", "classifier.", "score.", "qa_outputs.", "pre_classifier.", "cls.seq_relationship.",
      "multiple_choice_head.", "cls.predictions.decoder.", "lm_head.decoder.",
    ]
    let ends = [".attn.bias", ".attn.masked_bias", "embeddings.position_ids", "rotary_emb.inv_freq"]
    return starts.contains { name.hasPrefix($0) } || ends.contains { name.hasSuffix($0) }
      || (model.tied && name == headNames.decoder)
      // Predictions of further tokens, which stand behind the layers.
      || (family == .deepseekV3 && name.hasPrefix("layers.\(model.layers)."))
  }
}
