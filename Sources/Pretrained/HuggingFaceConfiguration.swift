import ArrayFiles
import Basics
import Layers
import Models
import Settings
import Tensors

/// The `config.json` beside a Hugging Face checkpoint, as a `ModelConfiguration`.
///
/// GPT-2: causal, pre-norm, GELU (tanh form), learned positions, tied output. BERT, RoBERTa and DistilBERT:
/// bidirectional, post-norm, GELU, learned positions, normalised embeddings, token types (not DistilBERT). ViT, also timm's, and
/// TimeSformer: pre-norm, GELU, a class token, learned positions of patches and frames, a classifier. Llama and its like:
/// `ConfigurationReader+Decoders.swift`. What the models here cannot
/// express (relative positions, cross-attention, per-layer score scales, registers) is refused by name, and so is every key that
/// nobody knows (`ConfigurationKeys`).
public struct HuggingFaceConfiguration: Sendable {
  /// Models whose weights are named alike.
  public enum Family: String, CaseIterable, Hashable, Sendable {
    /// Radford et al. 2019; DistilGPT-2 has the same form.
    case gpt2
    /// Devlin et al. 2019.
    case bert
    /// Liu et al. 2019: BERT whose positions start at `pad_token_id + 1`.
    case roberta
    /// Sanh et al. 2019: BERT without token types.
    case distilbert
    /// Dosovitskiy et al. 2021, as transformers names it.
    case vit
    /// The same, as timm names it.
    case timm
    /// Bertasius et al. 2021.
    case timesformer
    /// Touvron et al. 2023, and Llama 2 to 3.
    case llama
    /// Jiang et al. 2023.
    case mistral
    /// Qwen team 2024.
    case qwen2
    /// Qwen team 2025.
    case qwen3
    /// Gemma team 2024.
    case gemma
    /// Gemma team 2024, the second.
    case gemma2
    /// Gemma team 2025, the text model.
    case gemma3 = "gemma3_text"
    /// OpenAI 2025.
    case gptOss = "gpt_oss"
    /// DeepSeek-AI 2024.
    case deepseekV3 = "deepseek_v3"
    /// Dao and Gu 2024.
    case mamba2
    /// Qwen team 2025, gated delta rules between layers of attention.
    case qwen3Next = "qwen3_next"
    /// Kimi team 2025, delta rules by channel between layers with latent rows.
    case kimiLinear = "kimi_linear"

    /// Whether it reads pixels.
    var readsImages: Bool { self == .vit || self == .timm || self == .timesformer }
    /// Whether it masks tokens and predicts them.
    var fillsMasks: Bool { self == .bert || self == .roberta || self == .distilbert }
    /// Whether it continues texts.
    var isDecoder: Bool { !readsImages && !fillsMasks }
    /// Whether its rows of RMSNorm are multiplied by 1 + w.
    var hasZeroCentredNorms: Bool {
      self == .gemma || self == .gemma2 || self == .gemma3 || self == .qwen3Next
    }
    /// Whether latent rows stand in the place of keys and values.
    var hasLatents: Bool { self == .deepseekV3 || self == .kimiLinear }

  }

  /// The family.
  public let family: Family
  /// The model, with full attention in every layer.
  public let model: ModelConfiguration
  /// The row of the position table that the first token takes.
  public let firstPosition: Int

  /// Reads the text of a `config.json`.
  /// - Parameters:
  ///   - json: the text, in UTF-8.
  ///   - path: the file, for error texts.
  /// - Throws: `SafetensorsError` that names the entry that is missing, wrong or not supported.
  public init(json: [UInt8], path: String) throws(SafetensorsError) {
    func fail(_ problem: String) -> SafetensorsError { SafetensorsError(path: path, problem: problem) }
    let root: JSONValue
    do throws(JSONError) {
      root = try JSONValue(parsing: Self.quoted(json))
    } catch {
      throw fail("\(error); the config.json of a Hugging Face model expected")
    }
    guard case .object = root else {
      throw fail("no JSON object; the config.json of a Hugging Face model expected")
    }
    let known = Family.allCases.map(\.rawValue).joined(separator: ", ")
    // The config.json of a timm model says its architecture instead.
    let isTimm = root["architecture"].stringValue?.hasPrefix("vit_") == true
    guard let type = root["model_type"].stringValue ?? (isTimm ? "timm" : nil) else {
      throw fail("no model_type; it takes one of \(known)")
    }
    let aliases = ["camembert": "roberta", "xlm-roberta": "roberta"]
    guard let family = Family(rawValue: aliases[type] ?? type) else {
      throw fail("model_type \(type) is not supported; it takes one of \(known)")
    }
    let reader = ConfigurationReader(entries: root, path: path, family: family.rawValue)
    self.family = family
    var first = 0
    switch family {
    case .vit, .timm, .timesformer: model = try reader.vision(family)
    case .gpt2: model = try reader.gpt2()
    case .bert, .roberta, .distilbert: (model, first) = try reader.maskedModel(family)
    case .mamba2: model = try reader.mamba2()
    default: model = try reader.decoder(family)
    }
    firstPosition = first
    try ConfigurationKeys.check(reader)
  }
}

extension HuggingFaceConfiguration {
  /// Python writes `Infinity` where JSON has no number: as text it can be read. - Complexity: O(bytes).
  private static func quoted(_ json: [UInt8]) -> [UInt8] {
    let word = Array("Infinity".utf8)
    guard json.indices.contains(where: { json[$0...].starts(with: word) }) else { return json }
    var result: [UInt8] = [], rest = json[...], isText = false
    while let byte = rest.first {
      if !isText, rest.starts(with: word) {
        result += [UInt8(ascii: "\"")] + word + [UInt8(ascii: "\"")]
        rest = rest.dropFirst(word.count)
        continue
      }
      if byte == UInt8(ascii: "\"") { isText.toggle() }
      let isEscape = isText && byte == UInt8(ascii: "\\")
      result += rest.prefix(isEscape ? 2 : 1)
      rest = rest.dropFirst(isEscape ? 2 : 1)
    }
    return result
  }
}

extension ConfigurationReader {
  /// What every model of texts says.
  private func texts() throws(SafetensorsError) -> ModelConfiguration {
    var model = ModelConfiguration()
    model.vocabulary = try integer("vocab_size", as: "vocabulary")
    model.position = .learned
    model.norm = .layer
    model.bias = true
    model.scaleEmbedding = false
    model.tied = try flag("tie_word_embeddings", default: true)
    return model
  }

  /// GPT-2.
  /// - Throws: `SafetensorsError` that names the entry that is missing, wrong or not supported.
  fileprivate func gpt2() throws(SafetensorsError) -> ModelConfiguration {
    var model = try texts()
    try refuse("add_cross_attention", "scale_attn_by_inverse_layer_idx")
    guard try flag("scale_attn_weights", default: true) else {
      throw failure("scale_attn_weights false is not supported; it takes true")
    }
    model.kind = .decoder
    model.residual = .pre
    model.width = try integer("n_embd", as: "width")
    model.layers = try integer("n_layer", as: "layers")
    model.heads = try integer("n_head", as: "heads")
    model.hidden = try integer("n_inner", as: "hidden", default: 4 * model.width)
    model.maximumLength = try integer("n_positions", as: "maximum_length")
    model.epsilon = try real("layer_norm_epsilon", default: 1e-5)
    model.feedForward = try activation("activation_function", default: "gelu_new")
    return model
  }

  /// BERT, RoBERTa and DistilBERT, with the row of the position table that the first token takes.
  /// - Throws: `SafetensorsError` that names the entry that is missing, wrong or not supported.
  fileprivate func maskedModel(
    _ family: HuggingFaceConfiguration.Family
  ) throws(SafetensorsError) -> (ModelConfiguration, first: Int) {
    var model = try texts(), first = 0
    model.kind = .encoder
    model.residual = .post
    model.embeddingNorm = true
    if family == .distilbert {
      model.width = try integer("dim", as: "width")
      model.layers = try integer("n_layers", as: "layers")
      model.heads = try integer("n_heads", as: "heads")
      model.hidden = try integer("hidden_dim", as: "hidden")
      model.epsilon = 1e-12
      model.feedForward = try activation("activation", default: "gelu")
    } else {
      try refuse("is_decoder", "add_cross_attention")
      let positions = self["position_embedding_type"]
      guard positions == .null || positions == .string("absolute") else {
        throw refused("position_embedding_type", positions, "absolute")
      }
      model.width = try integer("hidden_size", as: "width")
      model.layers = try integer("num_hidden_layers", as: "layers")
      model.heads = try integer("num_attention_heads", as: "heads")
      model.hidden = try integer("intermediate_size", as: "hidden")
      model.epsilon = try real("layer_norm_eps", default: 1e-12)
      model.feedForward = try activation("hidden_act", default: "gelu")
      model.tokenTypes = try integer("type_vocab_size", as: "token_types", default: 2)
      if family == .roberta {
        first = try integer("pad_token_id", in: 0...model.vocabulary - 1, default: 1) + 1
      }
    }
    let rows = try integer("max_position_embeddings", in: first + 1...first + (1 << 22))
    model.maximumLength = rows - first
    return (model, first)
  }
}
