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
/// TimeSformer: pre-norm, GELU, a class token, learned positions of patches and frames, a classifier. What the models here cannot
/// express (relative positions, cross-attention, per-layer score scales, registers) is refused by name.
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

    /// Whether it reads pixels.
    var readsImages: Bool { self == .vit || self == .timm || self == .timesformer }
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
      root = try JSONValue(parsing: json)
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
    let reader = ConfigurationReader(entries: root, path: path)
    self.family = family
    guard !family.readsImages else {
      (self.model, firstPosition) = (try reader.vision(family), 0)
      return
    }
    var model = ModelConfiguration()
    model.vocabulary = try reader.integer("vocab_size", as: "vocabulary")
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
      model.residual = .pre
      model.width = try reader.integer("n_embd", as: "width")
      model.layers = try reader.integer("n_layer", as: "layers")
      model.heads = try reader.integer("n_head", as: "heads")
      model.hidden = try reader.integer("n_inner", as: "hidden", default: 4 * model.width)
      model.maximumLength = try reader.integer("n_positions", as: "maximumLength")
      model.epsilon = try reader.real("layer_norm_epsilon", default: 1e-5)
      model.feedForward = try reader.activation("activation_function", default: "gelu_new")
    case .bert, .roberta:
      try reader.refuse("is_decoder", "add_cross_attention")
      let positions = root["position_embedding_type"]
      guard positions == .null || positions == .string("absolute") else {
        throw fail(
          "position_embedding_type \(positions.stringValue ?? positions.compact) is not supported; it takes absolute"
        )
      }
      model.width = try reader.integer("hidden_size", as: "width")
      model.layers = try reader.integer("num_hidden_layers", as: "layers")
      model.heads = try reader.integer("num_attention_heads", as: "heads")
      model.hidden = try reader.integer("intermediate_size", as: "hidden")
      model.epsilon = try reader.real("layer_norm_eps", default: 1e-12)
      model.feedForward = try reader.activation("hidden_act", default: "gelu")
      model.tokenTypes = try reader.integer("type_vocab_size", as: "tokenTypes", default: 2)
      if family == .roberta {
        first = try reader.integer("pad_token_id", in: 0...model.vocabulary - 1, default: 1) + 1
      }
    case .vit, .timm, .timesformer: break
    case .distilbert:
      model.width = try reader.integer("dim", as: "width")
      model.layers = try reader.integer("n_layers", as: "layers")
      model.heads = try reader.integer("n_heads", as: "heads")
      model.hidden = try reader.integer("hidden_dim", as: "hidden")
      model.epsilon = 1e-12
      model.feedForward = try reader.activation("activation", default: "gelu")
    }
    if family != .gpt2 {
      model.kind = .encoder
      model.residual = .post
      model.embeddingNorm = true
      let rows = try reader.integer("max_position_embeddings", in: first + 1...first + (1 << 22))
      model.maximumLength = rows - first
    }
    self.model = model
    firstPosition = first
  }
}

/// Typed access to the entries of a `config.json`; what is null counts as absent.
struct ConfigurationReader {
  let entries: JSONValue
  let path: String

  func fail(_ name: String, _ value: JSONValue, _ allowed: String) -> SafetensorsError {
    SafetensorsError(
      path: path, problem: "\(name) \(value == .null ? "is missing" : value.compact); \(allowed) expected")
  }

  /// A whole number in the range of a parameter of our models.
  func integer(_ name: String, as parameter: String, default fallback: Int? = nil) throws(SafetensorsError)
    -> Int
  {
    let value = entries[name]
    if value == .null, let fallback { return fallback }
    guard let declared = ModelConfiguration.parameters.first(where: { $0.name == parameter }) else {
      preconditionFailure("no parameter \(parameter)")
    }
    var scratch = ModelConfiguration()
    guard let number = value.wholeValue, (try? declared.assign(.int(number), to: &scratch)) != nil,
      number > 0 || parameter == "tokenTypes"
    else { throw fail(name, value, declared.allowed) }
    return number
  }

  func integer(
    _ name: String, in range: ClosedRange<Int>, default fallback: Int? = nil
  ) throws(SafetensorsError) -> Int {
    let value = entries[name]
    if value == .null, let fallback, range.contains(fallback) { return fallback }
    guard let number = value.wholeValue, range.contains(number) else {
      throw fail(name, value, "a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  func real(_ name: String, default fallback: Double) throws(SafetensorsError) -> Double {
    let value = entries[name]
    if value == .null { return fallback }
    guard let number = value.numberValue, number > 0, number < 1 else {
      throw fail(name, value, "a number between 0 and 1")
    }
    return number
  }

  func flag(_ name: String, default fallback: Bool) throws(SafetensorsError) -> Bool {
    let value = entries[name]
    if value == .null { return fallback }
    guard case .bool(let flag) = value else { throw fail(name, value, "true or false") }
    return flag
  }

  func refuse(_ names: String...) throws(SafetensorsError) {
    for name in names where try flag(name, default: false) {
      throw SafetensorsError(path: path, problem: "\(name) true is not supported; it takes false")
    }
  }

  func activation(
    _ name: String, default fallback: String
  ) throws(SafetensorsError) -> LayerConfiguration.FeedForwardKind {
    let value = entries[name]
    let text = value == .null ? fallback : value.stringValue ?? value.compact
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
