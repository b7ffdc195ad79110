import ArrayFiles
import Attention
import AttentionCore
import Basics
import Foundation
import LabTestSupport
import Tensors
import Testing

@testable import Layers
@testable import Models
@testable import Pretrained

/// Tiny decoders as transformers 5.24 saves them, with its answers beside them
/// (`Experiments/peers/compare_checkpoints.py --fixtures`, which compares many more, and gradients).
@Suite struct DecoderCheckpointTests {
  static let families = HuggingFaceConfiguration.Family.allCases.filter { $0.isDecoder && $0 != .gpt2 }
    .map(\.rawValue)

  static func answers(_ family: String) throws -> (file: Safetensors, input: ModelInput) {
    let file = try Safetensors(contentsOf: "\(fixtures)/\(family)/answers.safetensors")
    let tokens = try #require(file.arrays["tokens"]?.integers)
    return (file, ModelInput(batch: 2, tokens: tokens.map { Int32($0) }))
  }

  @Test("logits are those of transformers", arguments: families)
  func logits(family: String) throws {
    let (file, input) = try Self.answers(family), model = try load("\(fixtures)/\(family)")
    let expected = try #require(file.tensors["logits"]).array()
    #expect(relativeError(expected, try model.logits(input).array()) < 5e-6)
    #expect(relativeError(expected, try #require(model.trace(input).logits).array()) < 5e-6)
    #expect(model.unused.isEmpty && model.hasGradients && model.generates)
  }

  @Test("so is what is written, with a cache and without", arguments: families, [true, false])
  func generated(family: String, useCache: Bool) throws {
    let (file, input) = try Self.answers(family), model = try load("\(fixtures)/\(family)").model
    let expected = try #require(file.arrays["made"]?.integers).map { Int32($0) }
    let made = try model.generate(
      prompt: Array(input.tokens.prefix(4)), count: expected.count, useCache: useCache)
    #expect(made.tokens == expected)
  }

  @Test("attention is replaced, and the loss has gradients", arguments: families)
  func swapped(family: String) throws {
    var (_, input) = try Self.answers(family)
    let model = try load("\(fixtures)/\(family)")
    let line = try model.model.configuration.layerAttention().map(\.description).joined(separator: ", ")
    #expect(try AttentionSwap(model, attention: line, on: input).finalError == 0)
    // A recurrence has other maps than attention: it stays, or loses what passes by it.
    let other = try model.model.configuration.layerAttention().map { layer in
      layer.id == "mamba2" ? "mamba2(skip=false)" : layer.isRecurrence ? "\(layer)" : "sliding-window(left=1)"
    }
    let swap = try AttentionSwap(model, attention: other.joined(separator: ", "), on: input)
    #expect(swap.finalError > 0)
    input.targets = input.tokens
    _ = try model.model.accumulateGradients(input, key: RandomKey(seed: 1), training: false)
    for slot in model.model.layout.slots {
      let gradient = model.model.namedGradients()[slot.name]?.array() ?? []
      // Biases of keys shift all scores of a row alike; a correction of choices has no gradient, an expert that nobody asks neither.
      let isIdle = ["key.bias", "router.correction", ".experts."].contains { slot.name.contains($0) }
      #expect(gradient.contains { $0 != 0 } || isIdle, "\(slot.name)")
    }
  }

  @Test("a saved checkpoint of ours says the same again", arguments: families)
  func saved(family: String) throws {
    let (_, input) = try Self.answers(family), model = try load("\(fixtures)/\(family)").model
    let scratch = try Scratch(), path = scratch("model.safetensors")
    try model.save(to: path)
    #expect(try load(path).logits(input).array() == model.logits(input).array())
  }

  /// A file of a fixture with entries of its configuration changed, as text.
  static func changed(_ family: String, _ entry: String, _ value: String) throws -> HuggingFaceConfiguration {
    let text = try String(contentsOfFile: "\(fixtures)/\(family)/config.json", encoding: .utf8)
    var members = try JSONValue(parsing: text).members
    members.removeAll { $0.key == entry }
    members.append(.init(key: entry, value: try JSONValue(parsing: value)))
    return try HuggingFaceConfiguration(
      json: Array(JSONValue.object(members).compact.utf8), path: "config.json")
  }

  static let every = HuggingFaceConfiguration.Family.allCases.map(\.rawValue)

  @Test(
    "every entry of a configuration is harmless, or another value changes the model or is refused",
    arguments: every)
  func everyEntryCounts(family: String) throws {
    let text = try String(contentsOfFile: "\(fixtures)/\(family)/config.json", encoding: .utf8)
    let plain = try HuggingFaceConfiguration(json: Array(text.utf8), path: "config.json")
    // A choice without effect where nothing asks for it.
    let idle: Set<String> = ["max_window_layers", "use_sliding_window", "sliding_window"]
    for member in try JSONValue(parsing: text).members where !ConfigurationKeys.harmless.contains(member.key)
    {
      let values: [String] =
        switch member.value {
        case .bool(let flag): [flag ? "false" : "true"]
        case .int(let number): ["\(number + 1)", "\"much\""]
        case .double(let number): ["\(number * 1.5)", "\"much\""]
        case .null: ["17", "true"]
        default: ["\"something else\"", "17"]
        }
      let isHeard = values.contains { value in
        guard let other = try? Self.changed(family, member.key, value) else { return true }
        return other.model != plain.model || other.firstPosition != plain.firstPosition
      }
      #expect(isHeard || idle.contains(member.key), "\(member.key) \(member.value.compact)")
    }
  }

  @Test("an entry that nobody knows is refused", arguments: every)
  func unknownEntry(family: String) {
    #expect {
      try Self.changed(family, "logit_twist", "0.5")
    } throws: {
      "\($0)".hasPrefix("config.json: logit_twist 0.5 is not known for \(family)") && !"\($0)".contains("\n")
    }
  }

  @Test("an entry that fixes the model takes one value", arguments: ConfigurationKeys.fixed.map(\.key))
  func fixedEntry(key: String) throws {
    let family = key == "position_embedding_type" ? "bert" : "llama"
    #expect {
      try Self.changed(family, key, "{\"a\": 3}")
    } throws: {
      "\($0)".contains("\(key) {\"a\":3} is not supported; it takes ")
        || "\($0)".contains("\(key) {\"a\": 3} is not supported; it takes ")
    }
    _ = try Self.changed(family, key, "null")
  }

  /// Entries that published files have beside those of the fixtures.
  static let published: [(String, String)] = [
    (
      "llama",
      "is_llama_config true rope_interleaved false rope_scaling null rope_theta 100000 pretraining_tp 1"
    ),
    ("mistral", "rope_theta 1000000.0 torch_dtype \"bfloat16\""),
    ("qwen2", "use_mrope false rope_theta 1000000.0"), ("qwen3", "rope_scaling null rope_theta 1000000"),
    ("gemma", "hidden_activation \"gelu_pytorch_tanh\" rope_theta 10000.0 rope_scaling null"),
    ("gemma2", "cache_implementation \"hybrid\" hidden_act \"gelu_pytorch_tanh\" rope_theta 10000.0"),
    (
      "gemma3_text",
      "rope_local_base_freq 10000 rope_theta 1000000 rope_scaling null sliding_window_pattern 6"
    ),
    (
      "deepseek_v3",
      "moe_layer_freq 1 scoring_func \"sigmoid\" topk_method \"noaux_tc\" aux_loss_alpha 0.001 ep_size 1 seq_aux true"
    ),
    ("qwen3_next", "full_attention_interval 4 use_sliding_window false rope_scaling null"),
    ("mamba2", "norm_before_gate false rms_norm true"),
    ("gpt2", "n_ctx 1024 task_specific_params null _num_labels 1"),
    ("distilbert", "tie_weights_ true output_past true"),
  ]

  @Test("entries that published files have are read", arguments: published)
  func publishedEntries(family: String, words: String) throws {
    let text = try String(contentsOfFile: "\(fixtures)/\(family)/config.json", encoding: .utf8)
    var members = try JSONValue(parsing: text).members
    let pairs = words.split(separator: " ").map(String.init)
    for index in stride(from: 0, to: pairs.count, by: 2) {
      members.removeAll { $0.key == pairs[index] }
      members.append(.init(key: pairs[index], value: try JSONValue(parsing: pairs[index + 1])))
    }
    let configuration = try HuggingFaceConfiguration(
      json: Array(JSONValue.object(members).compact.utf8), path: "config.json")
    #expect(configuration.family.rawValue == family)
  }

  static let mistakes: [(String, String, String, String)] = [
    (
      "llama", "rope_parameters", "{\"rope_type\": \"longrope\"}",
      "rope_type longrope is not supported; it takes default, linear"
    ),
    ("llama", "rope_parameters", "{\"rope_type\": \"linear\"}", "factor is missing; a number of at least 1"),
    (
      "llama", "rope_parameters", "{\"rope_type\": \"default\", \"mrope_section\": [1]}",
      "mrope_section [1] is not known"
    ),
    (
      "llama", "rope_parameters", "{\"partial_rotary_factor\": 0.5}",
      "partial_rotary_factor 0.5 is not supported; it takes 1"
    ),
    ("llama", "hidden_act", "\"relu2\"", "hidden_act relu2 is not supported; it takes silu, gelu"),
    ("llama", "num_key_value_heads", "3", "key"),
    ("llama", "rms_norm_eps", "2", "rms_norm_eps 2; a number between 0 and 1"),
    ("qwen3", "layer_types", "[\"full_attention\"]", "layer_types [\"full_attention\"]; a list of 2 types"),
    (
      "qwen3", "layer_types", "[\"full_attention\", \"chunked\"]",
      "layer_types chunked is not supported; it takes full_attention"
    ),
    (
      "gemma3_text", "attn_logit_softcapping", "50.0",
      "attn_logit_softcapping 50 is not supported; it takes null"
    ),
    (
      "gemma2", "use_bidirectional_attention", "true",
      "use_bidirectional_attention true is not supported; it takes false"
    ),
    ("llama", "quantization_config", "{\"bits\": 4}", "quantization_config"),
  ]

  @Test("what cannot be done is one line with the entry, its value and what is allowed", arguments: mistakes)
  func mistake(family: String, entry: String, value: String, part: String) throws {
    #expect {
      let configuration = try Self.changed(family, entry, value)
      try configuration.model.validate(in: .standard)
    } throws: {
      "\($0)".contains(part) && !"\($0)".contains("\n")
    }
  }

  @Test("an infinity as Python writes it is read")
  func infinity() throws {
    let text = try String(contentsOfFile: "\(fixtures)/mamba2/config.json", encoding: .utf8)
    let plain = try HuggingFaceConfiguration(json: Array(text.utf8), path: "config.json")
    let start = try #require(text.range(of: "\"time_step_limit\": [")),
      end = try #require(text.range(of: "]", range: start.upperBound..<text.endIndex))
    let other = text.replacingCharacters(in: start.upperBound..<end.lowerBound, with: "0.0, Infinity")
    #expect(try HuggingFaceConfiguration(json: Array(other.utf8), path: "config.json").model == plain.model)
  }

  @Test("shards that do not fit their index are one line each")
  func shards() throws {
    func refusal(_ change: (String) throws -> Void) throws -> String {
      var text = ""
      try withCopy(of: "qwen2") { folder in
        try change(folder)
        #expect {
          try load(folder)
        } throws: {
          text = "\($0)"
          return !text.contains("\n")
        }
      }
      return text
    }
    let shard = "/model-00002-of-00002.safetensors"
    #expect(
      try refusal { try FileManager.default.removeItem(atPath: $0 + shard) }.contains("no such file; "))
    let lost = try refusal { folder in
      try change(folder + shard) { $0.tensors[try #require($0.names.first)] = nil }
    }
    #expect(lost.contains("no tensor model.") && lost.contains("says is in it"))
    let more = try refusal { folder in
      try change(folder + shard) { $0.tensors["extra"] = try Tensor(zeros: [2]) }
    }
    #expect(more.contains("extra is in it, but ") && more.contains("does not name it"))
  }

  @Test("missing, unknown and misshapen tensors are one line each")
  func tensors() throws {
    for (name, edit, part) in [
      ("model.layers.1.mlp.up_proj.weight", nil, "no tensor model.layers.1.mlp.up_proj.weight"),
      (
        "model.layers.1.mlp.up_proj.weight", [6, 7],
        "layers.1.mlp.up_proj.weight has shape [6, 7]; [6, 8] expected"
      ),
      (
        "model.layers.2.mlp.up_proj.weight", [6, 8],
        "layers.2.mlp.up_proj.weight is no tensor of a llama model of 2 layers"
      ),
    ] as [(String, [Int]?, String)] {
      try withCopy(of: "llama") { folder in
        try change(folder + "/model.safetensors") {
          $0.tensors[name] = try edit.map { try Tensor(zeros: $0) }
        }
        #expect {
          try load(folder)
        } throws: {
          "\($0)".contains(part) && !"\($0)".contains("\n")
        }
      }
    }
  }
}
