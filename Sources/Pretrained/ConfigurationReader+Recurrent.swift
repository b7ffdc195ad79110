import ArrayFiles
import AttentionCore
import Basics
import Layers
import Models
import Settings

/// Recurrent layers as transformers names them.
extension ConfigurationReader {
  /// The heads of delta rules between layers of attention.
  func readRecurrence(
    of family: HuggingFaceConfiguration.Family, into model: inout ModelConfiguration
  ) throws(SafetensorsError) {
    guard model.attentionBias == .none else {
      throw refused("attention_bias", self["attention_bias"], "false with layers of linear_attention")
    }
    model.shortConvolution = try integer("linear_conv_kernel_dim", as: "short_convolution", default: 4)
    guard model.feedForward == .swiglu else { throw refused("hidden_act", self["hidden_act"], "silu") }
    if family == .kimiLinear {
      let older = self["linear_attn_config"]
      guard older == .null else {
        throw refused(
          "linear_attn_config", older, "null, and linear_head_dim, linear_num_heads and layer_types")
      }
      model.recurrentHeads = try integer("linear_num_heads", as: "recurrent_heads", default: 32)
      model.recurrentKeyWidth = try integer("linear_head_dim", as: "recurrent_key_width", default: 128)
      (model.recurrentValueWidth, model.outputGate) = (model.recurrentKeyWidth, .sigmoid)
      return
    }
    model.outputGate = .silu
    model.recurrentHeads = try integer("linear_num_value_heads", as: "recurrent_heads", default: 32)
    let groups = try integer("linear_num_key_heads", as: "recurrent_groups", default: 16)
    guard model.recurrentHeads % groups == 0 else {
      throw fail("linear_num_key_heads", self["linear_num_key_heads"], "a divisor of linear_num_value_heads")
    }
    model.recurrentGroups = groups == model.recurrentHeads ? 0 : groups
    model.recurrentKeyWidth = try integer("linear_key_head_dim", as: "recurrent_key_width", default: 128)
    model.recurrentValueWidth = try integer(
      "linear_value_head_dim", as: "recurrent_value_width", default: 128)
  }

  /// A model of Mamba 2 blocks alone.
  /// - Throws: `SafetensorsError` that names the entry that is missing, wrong or not supported.
  func mamba2() throws(SafetensorsError) -> ModelConfiguration {
    var model = ModelConfiguration()
    (model.kind, model.norm, model.residual, model.position) = (.decoder, .rms, .pre, .none)
    (model.attention, model.feedForward, model.outputGate) = ("mamba2", .none, .siluFirst)
    (model.scaleEmbedding, model.heads) = (false, 1)
    model.vocabulary = try integer("vocab_size", as: "vocabulary")
    model.width = try integer("hidden_size", as: "width")
    model.layers = try integer("num_hidden_layers", as: "layers")
    model.epsilon = try real("layer_norm_epsilon", default: 1e-5)
    model.tied = try flag("tie_word_embeddings", default: false)
    model.bias = try flag("use_bias", default: false)
    model.convolutionBias = try flag("use_conv_bias", default: true) ? .yes : .no
    model.shortConvolution = try integer("conv_kernel", as: "short_convolution", default: 4)
    model.recurrentHeads = try integer("num_heads", as: "recurrent_heads", default: 128)
    model.recurrentValueWidth = try integer("head_dim", as: "recurrent_value_width", default: 64)
    model.recurrentKeyWidth = try integer("state_size", as: "recurrent_key_width", default: 128)
    model.recurrentGroups = try integer("n_groups", as: "recurrent_groups", default: 8)
    let inner = model.recurrentHeads * model.recurrentValueWidth
    let expand = try number("expand", in: 0.001...1000) ?? 2
    guard Double(model.width) * expand == Double(inner) else {
      throw fail("expand", self["expand"], "num_heads·head_dim/hidden_size, here \(inner)/\(model.width),")
    }
    guard model.recurrentHeads % model.recurrentGroups == 0 else {
      throw fail("n_groups", self["n_groups"], "a divisor of num_heads")
    }
    let act = self["hidden_act"]
    guard act == .null || act == .string("silu") || act == .string("swish") else {
      throw refused("hidden_act", act, "silu")
    }
    try readStepLimit()
    for (name, value) in [("norm_before_gate", JSONValue.bool(false)), ("rms_norm", .bool(true))] {
      guard self[name] == .null || self[name] == value else { throw refused(name, self[name], value.compact) }
    }
    return model
  }

  /// Steps must have no bounds but 0 and infinity, which transformers writes as an object or as a word.
  private func readStepLimit() throws(SafetensorsError) {
    let limit = self["time_step_limit"]
    guard limit != .null else { return }
    let ends = limit.arrayValue, last = ends.last ?? .null
    let isOpen =
      last.stringValue?.lowercased().hasPrefix("inf") == true || last["__float__"].stringValue == "Infinity"
      || (last.numberValue ?? 0) > 1e30
    guard ends.count == 2, ends[0].numberValue == 0, isOpen else {
      throw refused("time_step_limit", limit, "0 and infinity")
    }
  }
}
