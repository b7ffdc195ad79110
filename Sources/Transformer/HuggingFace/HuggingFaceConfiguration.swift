import ArrayFiles
import Foundation
import Tensors

/// The `config.json` beside a Hugging Face checkpoint, as a `ModelConfiguration`.
///
/// GPT-2: causal, pre-norm, GELU (tanh form), learned positions, tied output. BERT, RoBERTa and DistilBERT:
/// bidirectional, post-norm, GELU, learned positions, normalised embeddings, token types (not DistilBERT). What the
/// models here cannot express (relative positions, cross-attention, per-layer score scales) is refused by name.
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
  }

  /// The family.
  public let family: Family
  /// The model, with full attention in every layer.
  public let model: ModelConfiguration
  /// The row of the position table that the first token takes.
  public let firstPosition: Int

  /// Reads the text of a `config.json`.
  /// - Parameter path: the file, for error texts.
  /// - Throws: `SafetensorsError` that names the entry that is missing, wrong or not supported.
  public init(json: Data, path: String) throws(SafetensorsError) {
    func fail(_ problem: String) -> SafetensorsError { SafetensorsError(path: path, problem: problem) }
    guard let root = try? JSONSerialization.jsonObject(with: json), let entries = root as? [String: Any]
    else {
      throw fail("no JSON object; the config.json of a Hugging Face model expected")
    }
    let known = Family.allCases.map(\.rawValue).joined(separator: ", ")
    guard let type = entries["model_type"] as? String else {
      throw fail("no model_type; it takes one of \(known)")
    }
    let aliases = ["camembert": "roberta", "xlm-roberta": "roberta"]
    guard let family = Family(rawValue: aliases[type] ?? type) else {
      throw fail("model_type \(type) is not supported; it takes one of \(known)")
    }
    let reader = ConfigurationReader(entries: entries, path: path)
    self.family = family
    var model = ModelConfiguration()
    model.vocabulary = try reader.integer("vocab_size")
    model.position = .learned
    model.norm = .layer
    model.bias = true
    model.scaleEmbedding = false
    model.tied = try reader.flag("tie_word_embeddings", default: true)
    var first = 0
    switch family {
    case .gpt2:
      try reader.refuse("add_cross_attention", "scale_attn_by_inverse_layer_idx")
      guard try reader.flag("scale_attn_weights", default: true) else {
        throw fail("scale_attn_weights false is not supported; it takes true")
      }
      model.kind = .decoder
      model.placement = .pre
      model.width = try reader.integer("n_embd")
      model.layers = try reader.integer("n_layer")
      model.heads = try reader.integer("n_head")
      model.hidden = try reader.integer("n_inner", default: 4 * model.width)
      model.maximumLength = try reader.integer("n_positions")
      model.epsilon = try reader.real("layer_norm_epsilon", default: 1e-5)
      model.feedForward = try reader.activation("activation_function", default: "gelu_new")
    case .bert, .roberta:
      try reader.refuse("is_decoder", "add_cross_attention")
      if let positions = entries["position_embedding_type"] as? String, positions != "absolute" {
        throw fail("position_embedding_type \(positions) is not supported; it takes absolute")
      }
      model.width = try reader.integer("hidden_size")
      model.layers = try reader.integer("num_hidden_layers")
      model.heads = try reader.integer("num_attention_heads")
      model.hidden = try reader.integer("intermediate_size")
      model.epsilon = try reader.real("layer_norm_eps", default: 1e-12)
      model.feedForward = try reader.activation("hidden_act", default: "gelu")
      model.tokenTypes = try reader.integer("type_vocab_size", default: 2)
      if family == .roberta { first = try reader.integer("pad_token_id", default: 1, least: 0) + 1 }
    case .distilbert:
      model.width = try reader.integer("dim")
      model.layers = try reader.integer("n_layers")
      model.heads = try reader.integer("n_heads")
      model.hidden = try reader.integer("hidden_dim")
      model.epsilon = 1e-12
      model.feedForward = try reader.activation("activation", default: "gelu")
    }
    if family != .gpt2 {
      model.kind = .encoder
      model.placement = .post
      model.embeddingNorm = true
      let rows = try reader.integer("max_position_embeddings")
      guard rows > first else {
        throw fail("max_position_embeddings \(rows): at least \(first + 1) expected")
      }
      model.maximumLength = rows - first
    }
    self.model = model
    firstPosition = first
  }
}

/// Typed access to the entries of a `config.json`.
private struct ConfigurationReader {
  let entries: [String: Any]
  let path: String

  func integer(_ name: String, default fallback: Int? = nil, least: Int = 1) throws(SafetensorsError) -> Int {
    let entry = entries[name].flatMap { $0 is NSNull ? nil : $0 }
    if entry == nil, let fallback { return fallback }
    guard let value = entry as? Int, value >= least else {
      throw SafetensorsError(
        path: path,
        problem:
          "\(name) \(entry.map { "\($0)" } ?? "is missing"); a whole number of at least \(least) expected")
    }
    return value
  }

  func real(_ name: String, default fallback: Double) throws(SafetensorsError) -> Double {
    guard let entry = entries[name] else { return fallback }
    guard let value = entry as? Double, value > 0, value < 1 else {
      throw SafetensorsError(path: path, problem: "\(name) \(entry); a number between 0 and 1 expected")
    }
    return value
  }

  func flag(_ name: String, default fallback: Bool) throws(SafetensorsError) -> Bool {
    guard let entry = entries[name] else { return fallback }
    guard let value = entry as? Bool else {
      throw SafetensorsError(path: path, problem: "\(name) \(entry); true or false expected")
    }
    return value
  }

  func refuse(_ names: String...) throws(SafetensorsError) {
    for name in names where try flag(name, default: false) {
      throw SafetensorsError(path: path, problem: "\(name) true is not supported; it takes false")
    }
  }

  func activation(
    _ name: String, default fallback: String
  ) throws(SafetensorsError) -> ModelConfiguration.FeedForwardKind {
    let text = entries[name] as? String ?? fallback
    switch text {
    case "gelu": return .gelu
    case "gelu_new", "gelu_pytorch_tanh", "gelu_fast": return .geluTanh
    case "relu": return .relu
    default:
      throw SafetensorsError(
        path: path, problem: "\(name) \(text) is not supported; it takes gelu, gelu_new, gelu_fast or relu")
    }
  }
}
