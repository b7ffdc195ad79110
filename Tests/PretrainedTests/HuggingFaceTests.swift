import ArrayFiles
import Attention
import AttentionCore
import Foundation
import LabTestSupport
import Settings
import Tensors
import Testing

@testable import Layers
@testable import Models
@testable import Pretrained

@Suite struct HuggingFaceTests {
  func answers(_ family: String) throws -> (file: Safetensors, input: ModelInput) {
    let file = try Safetensors(contentsOf: "\(fixtures)/\(family)/answers.safetensors")
    let tokens = try #require(file.arrays["tokens"]?.integers)
    return (file, ModelInput(batch: 2, tokens: tokens.map { Int32($0) }))
  }

  @Test(
    "an untied head uses the bias of its own output matrix, as transformers does",
    arguments: ["bert", "roberta"])
  func untiedHeads(family: String) throws {
    let (_, input) = try answers(family)
    let tied = try #require(try load("\(fixtures)/\(family)").trace(input).logits).array()
    let (table, bias, decoder) =
      family == "bert"
      ? ("bert.embeddings.word_embeddings.weight", "cls.predictions.bias", "cls.predictions.decoder")
      : ("roberta.embeddings.word_embeddings.weight", "lm_head.bias", "lm_head.decoder")
    try withCopy(of: family) { folder in
      let config = folder + "/config.json"
      let text = try String(contentsOfFile: config, encoding: .utf8)
      var entries = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
      entries["tie_word_embeddings"] = false
      try JSONSerialization.data(withJSONObject: entries).write(to: URL(fileURLWithPath: config))
      try change(folder + "/model.safetensors") { file in
        file.tensors[decoder + ".weight"] = file.tensors[table]
        var own = try #require(file.tensors[bias])
        for place in 0..<own.shape[0] { own[place] += 1 }
        file.tensors[decoder + ".bias"] = own
      }
      let untied = try #require(try load(folder).trace(input).logits).array()
      #expect(zip(tied, untied).allSatisfy { abs($1 - $0 - 1) < 1e-5 })
    }
  }

  @Test func rowsWithRobertasPaddingAreNamed() throws {
    for family in families {
      #expect(try load("\(fixtures)/\(family)").paddingToken == (family == "roberta" ? 1 : nil))
    }
  }

  @Test(arguments: families, ["full", "window"])
  func statesAndLogitsAreThoseOfTransformers(family: String, kind: String) throws {
    let (file, input) = try answers(family)
    let isCausal = family == "gpt2"
    let pretrained = try load("\(fixtures)/\(family)").replacingAttention(
      kind == "full" ? "full" : "sliding-window(left=2, right=\(isCausal ? 0 : 1))")
    let trace = try pretrained.trace(input)
    let logits = try #require(trace.logits).array()
    #expect(relativeError(try #require(file.tensors["\(kind).logits"]).array(), logits) < 2e-6)
    let states = try #require(file.tensors["\(kind).states"])
    let size = 2 * 7 * 8, all = states.array()
    for layer in 0..<3 {
      // The reference shows a decoder's last state after the last norm.
      let found = isCausal && layer == 2 ? trace.final : trace.states[layer]
      #expect(
        relativeError(Array(all[layer * size..<(layer + 1) * size]), found.array()) < 2e-6, "state \(layer)")
    }
  }

  @Test(arguments: families)
  func theSwapReportsWhatTheReferenceShows(family: String) throws {
    let (file, input) = try answers(family)
    let swap = try AttentionSwap(
      load("\(fixtures)/\(family)"), attention: "sliding-window(left=2, right=\(family == "gpt2" ? 0 : 1))",
      on: input)
    let p = try #require(file.tensors["full.logits"]).array(),
      q = try #require(file.tensors["window.logits"]).array()
    #expect(abs(try #require(swap.logitsError) - relativeError(p, q)) < 1e-5)
    var divergence = 0.0, largest = 0.0, agreed = 0.0
    for row in 0..<14 {
      let a = p[row * 13..<row * 13 + 13].map { Double($0) },
        b = q[row * 13..<row * 13 + 13].map { Double($0) }
      let za = a.reduce(0) { $0 + exp($1) }, zb = b.reduce(0) { $0 + exp($1) }
      let one = zip(a, b).reduce(0.0) { $0 + exp($1.0) / za * ($1.0 - log(za) - $1.1 + log(zb)) }
      divergence += one / 14
      largest = max(largest, one)
      agreed += (a.firstIndex(of: a.max() ?? 0) == b.firstIndex(of: b.max() ?? 0) ? 1 : 0) / 14
    }
    #expect(abs(try #require(swap.divergenceMean) - divergence) < 1e-5)
    #expect(abs(try #require(swap.divergenceLargest) - largest) < 1e-4)
    #expect(abs(try #require(swap.agreement) - agreed) < 1e-9)
    #expect((swap.losses != nil) == (family == "gpt2"))
    #expect(swap.layers.count == 2 && swap.layers.allSatisfy { $0.attentionError > 0 && $0.stateError > 0 })
    // What block 0 reads is the same in both models, so its own error does not depend on the blocks below.
    #expect(swap.layers[0].attention.hasPrefix("sliding-window"))
  }

  @Test(arguments: families)
  func sameAttentionMovesNothing(family: String) throws {
    let (_, input) = try answers(family)
    let swap = try AttentionSwap(load("\(fixtures)/\(family)"), attention: "full", on: input)
    #expect(swap.finalError == 0 && swap.logitsError == 0 && swap.divergenceMean == 0 && swap.agreement == 1)
    #expect(swap.layers.allSatisfy { $0.attentionError == 0 && $0.stateError == 0 })
  }

  @Test func oneSwappedBlockLeavesThoseBelowAlone() throws {
    let (_, input) = try answers("bert")
    let swap = try AttentionSwap(load("\(fixtures)/bert"), attention: "full, chunked(chunk=2)", on: input)
    #expect(swap.layers[0].attentionError == 0 && swap.layers[0].stateError == 0)
    #expect(swap.layers[1].attentionError > 0 && swap.layers[1].stateError > 0)
  }

  @Test func oldNamesShardsHalvesAndIdleTensorsAreRead() throws {
    let (file, input) = try answers("bert")
    let expected = try #require(file.tensors["full.logits"]).array()
    try withCopy(of: "bert") { folder in
      let path = folder + "/model.safetensors"
      try change(path) { file in
        for (name, tensor) in file.tensors where name.contains("LayerNorm") {
          file.tensors[name] = nil
          let old = name.replacingOccurrences(of: "LayerNorm.weight", with: "LayerNorm.gamma")
            .replacingOccurrences(of: "LayerNorm.bias", with: "LayerNorm.beta")
          file.tensors[old] = tensor
        }
        file.tensors["bert.pooler.dense.weight"] = try Tensor(zeros: [8, 8])
        file.tensors["cls.predictions.decoder.weight"] =
          file.tensors["bert.embeddings.word_embeddings.weight"]
        file.arrays["bert.embeddings.position_ids"] = NpyArray([Int64](0..<9), shape: [1, 9], as: .int64)
      }
      let pretrained = try load(folder)
      #expect(
        pretrained.ignored == [
          "cls.predictions.decoder.weight", "embeddings.position_ids (I64)", "pooler.dense.weight",
        ])
      #expect(relativeError(expected, try #require(pretrained.trace(input).logits).array()) < 2e-6)

      var map: [String: String] = [:]
      let whole = try Safetensors(contentsOf: path)
      for (index, half) in [whole.tensors.keys.sorted().prefix(9), whole.tensors.keys.sorted().dropFirst(9)]
        .enumerated()
      {
        let names = Set(half)
        let part = "model-0000\(index + 1)-of-00002.safetensors"
        try Safetensors(tensors: whole.tensors.filter { names.contains($0.key) }).write(
          to: folder + "/" + part)
        for name in names { map[name] = part }
      }
      try FileManager.default.removeItem(atPath: path)
      let index = try JSONSerialization.data(withJSONObject: ["weight_map": map])
      try index.write(to: URL(fileURLWithPath: path + ".index.json"))
      #expect(relativeError(expected, try #require(load(folder).trace(input).logits).array()) < 2e-6)
    }
    try withCopy(of: "bert") { folder in
      let path = folder + "/model.safetensors"
      try Safetensors(contentsOf: path).write(to: path, as: .float16)
      let error = relativeError(expected, try #require(load(path).trace(input).logits).array())
      #expect(error > 1e-6 && error < 5e-3)
    }
  }

  @Test func aTrunkAloneHasNoPredictions() throws {
    try withCopy(of: "bert") { folder in
      try change(folder + "/model.safetensors") { file in
        file.tensors = Dictionary(
          uniqueKeysWithValues: file.tensors.compactMap { name, tensor in
            name.hasPrefix("bert.") ? (String(name.dropFirst(5)), tensor) : nil
          })
      }
      let pretrained = try load(folder)
      #expect(!pretrained.predicts)
      let (_, input) = try answers("bert")
      let swap = try AttentionSwap(pretrained, attention: "chunked(chunk=2)", on: input)
      #expect(swap.logits == nil && swap.agreement == nil && swap.finalError > 0)
    }
  }

  @Test func aCheckpointOfTheLabIsReadToo() throws {
    var c = ModelConfiguration()
    (c.vocabulary, c.width, c.layers, c.heads, c.maximumLength) = (13, 8, 2, 2, 32)
    let model = try TransformerModel(c, catalog: .standard, context: serial)
    let scratch = try Scratch(), path = scratch("model.safetensors")
    try model.save(to: path)
    let input = ModelInput(batch: 1, tokens: (0..<20).map { Int32($0 % 13) })
    let pretrained = try load(path)
    #expect(pretrained.family == "attnlab")
    let logits = try #require(pretrained.trace(input).logits).array()
    #expect(logits == (try model.logits(input).array()), "the trace is the model's own pass")
    #expect(try AttentionSwap(pretrained, attention: "sliding-window(left=3)", on: input).finalError > 0)
  }

  static let mistakes: [(String, String, String)] = [
    (
      "\"model_type\": \"bert\"", "\"model_type\": \"t5\"",
      "model_type t5 is not supported; it takes one of gpt2"
    ),
    ("\"model_type\": \"bert\",", "", "no model_type"),
    ("\"hidden_size\": 8", "\"hidden_size\": 16", "has shape"),
    ("\"hidden_size\": 8,", "", "hidden_size is missing"),
    (
      "\"hidden_size\": 8", "\"hidden_size\": \"8\"",
      "hidden_size \"8\"; a whole number from 1 to 65536 expected"
    ),
    (
      "\"num_attention_heads\": 2", "\"num_attention_heads\": 3",
      "heads: 3 is not allowed; it takes a divisor"
    ),
    ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "no tensor bert.encoder.layer.2"),
    (
      "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1",
      "encoder.layer.1.attention.output.LayerNorm.bias is no"
    ),
    ("\"hidden_act\": \"gelu\"", "\"hidden_act\": \"silu\"", "hidden_act silu is not supported"),
    ("\"is_decoder\": false", "\"is_decoder\": true", "is_decoder true is not supported"),
    (
      "\"is_decoder\": false", "\"position_embedding_type\": \"relative_key\"",
      "relative_key is not supported"
    ),
    (
      "\"vocab_size\": 13", "\"vocab_size\": 14", "word_embeddings.weight has shape [13, 8]; [14, 8] expected"
    ),
    (
      "\"max_position_embeddings\": 9", "\"max_position_embeddings\": 10",
      "position_embeddings.weight has shape"
    ),
    ("{", "", "config.json: no valid JSON: text after the value"),
    ("\"hidden_size\": 8", "\"hidden_size\": true", "hidden_size true; a whole number"),
    ("\"hidden_size\": 8", "\"hidden_size\": 8, \"hidden_size\": 8", "the name hidden_size a second time"),
    ("\"is_decoder\": false", "\"is_decoder\": 0", "is_decoder 0; true or false expected"),
    ("\"is_decoder\": false", "\"position_embedding_type\": 3", "position_embedding_type 3 is not supported"),
  ]

  @Test(arguments: mistakes)
  func aConfigurationThatDoesNotFitIsOneClearLine(from: String, to: String, part: String) throws {
    try withCopy(of: "bert") { folder in
      let url = URL(fileURLWithPath: folder + "/config.json")
      let text = try String(contentsOf: url, encoding: .utf8)
      let changed = text.replacingOccurrences(of: from, with: to)
      #expect(changed != text)
      try changed.write(to: url, atomically: true, encoding: .utf8)
      #expect {
        try load(folder)
      } throws: {
        "\($0)".contains(part) && !"\($0)".contains("\n")
      }
    }
  }

  @Test func aCheckpointThatIsNotWholeIsOneClearLine() throws {
    try withCopy(of: "gpt2") { folder in
      let path = folder + "/model.safetensors"
      try change(path) { $0.tensors["transformer.h.1.mlp.c_fc.bias"] = nil }
      #expect {
        try load(folder)
      } throws: {
        "\($0)".contains("no tensor transformer.h.1.mlp.c_fc.bias")
      }
      // A linear layer's weight the other way round is no Conv1D.
      try FileManager.default.removeItem(atPath: path)
      try FileManager.default.copyItem(atPath: fixtures + "/gpt2/model.safetensors", toPath: path)
      try change(path) { file in
        let name = "transformer.h.0.mlp.c_fc.weight"
        file.tensors[name] = file.tensors[name]?.transposed(0, 1)
      }
      #expect {
        try load(folder)
      } throws: {
        "\($0)".contains("h.0.mlp.c_fc.weight has shape [12, 8]; [8, 12] expected")
      }
      try FileManager.default.removeItem(atPath: path)
      #expect {
        try load(folder)
      } throws: {
        "\($0)".contains("no model.safetensors in this folder")
      }
      #expect {
        try load(folder + "/none")
      } throws: {
        "\($0)".contains("no such file or folder")
      }
    }
    try withCopy(of: "gpt2") { folder in
      try FileManager.default.removeItem(atPath: folder + "/config.json")
      #expect {
        try load(folder + "/model.safetensors")
      } throws: {
        "\($0)".contains("no attnlab checkpoint, and no \(folder)/config.json")
      }
    }
  }

  @Test func tokensThatDoNotFitAreOneClearLine() throws {
    let pretrained = try load(fixtures + "/gpt2")
    for (tokens, part) in [
      ([Int32](repeating: 13, count: 4), "0 to 12"),
      ([Int32](repeating: 1, count: 10), "at most maximum_length = 9"),
    ] {
      #expect {
        try AttentionSwap(pretrained, attention: "full", on: ModelInput(batch: 1, tokens: tokens))
      } throws: {
        "\($0)".contains(part)
      }
    }
  }
}
