import ArrayFiles
import Attention
import AttentionCore
import Foundation
import LabTestSupport
import Mutation
import Settings
import Tensors
import Testing

@testable import Layers
@testable import Models
@testable import Pretrained

/// Checkpoints as other programs leave them, and numbers in them that no model can have.
@Suite struct ForeignCheckpointTests {
  private func logits(_ folder: String) throws -> [Float] {
    try load(folder).logits(ModelInput(batch: 1, tokens: [3, 5, 7, 2])).array()
  }

  @Test(
    "names that PyTorch's wrappers changed are read", arguments: families,
    ["_orig_mod.", "module.", "module._orig_mod."])
  func wrappers(family: String, prefix: String) throws {
    let expected = try logits("\(fixtures)/\(family)")
    try withCopy(of: family) { folder in
      try change(folder + "/model.safetensors") { file in
        file.tensors = Dictionary(uniqueKeysWithValues: file.tensors.map { (prefix + $0.key, $0.value) })
      }
      #expect(try logits(folder) == expected)
    }
  }

  @Test("a submodule that was compiled is read, and two tensors of one name are refused")
  func compiledSubmodule() throws {
    let expected = try logits(fixtures + "/gpt2")
    try withCopy(of: "gpt2") { folder in
      try change(folder + "/model.safetensors") { file in
        file.tensors = Dictionary(
          uniqueKeysWithValues: file.tensors.map {
            ($0.key.replacingOccurrences(of: "transformer.h.", with: "transformer._orig_mod.h."), $0.value)
          })
      }
      #expect(try logits(folder) == expected)
      try change(folder + "/model.safetensors") {
        $0.tensors["wte.weight"] = $0.tensors["transformer.wte.weight"]
      }
      #expect(
        performing: { try load(folder) },
        throws: { "\($0)".contains("transformer.wte.weight and wte.weight are both wte.weight") })
    }
  }

  @Test("buffers of other types are passed over and named once")
  func otherTypes() throws {
    try withCopy(of: "gpt2") { folder in
      try change(folder + "/model.safetensors") { file in
        file.arrays["transformer.h.0.attn.bias"] = NpyArray([1, 0, 1, 1], shape: [1, 1, 2, 2], as: .bool)
        file.arrays["transformer.steps"] = NpyArray([7], shape: [1], as: .uint16)
        file.arrays["transformer.mean"] = NpyArray([0.5], shape: [1])
      }
      let pretrained = try load(folder)
      #expect(pretrained.ignored == ["h.0.attn.bias (BOOL)", "mean", "steps (U16)"])
      // A weight of a type that is not read is no weight that is missing.
      try change(folder + "/model.safetensors") { file in
        file.tensors["transformer.wte.weight"] = nil
        file.arrays["transformer.wte.weight"] = NpyArray(
          [Int64](repeating: 1, count: 104), shape: [13, 8], as: .int8)
      }
      #expect(
        performing: { try load(folder) },
        throws: { "\($0)".contains("wte.weight has type I8; F32, F16, BF16 or F64 expected") })
    }
  }

  @Test("a tied head is read under either name, and one that differs is named")
  func tiedHead() throws {
    let expected = try logits(fixtures + "/gpt2")
    try withCopy(of: "gpt2") { folder in
      let file = folder + "/model.safetensors"
      try change(file) { $0.tensors["lm_head.weight"] = $0.tensors["transformer.wte.weight"] }
      #expect(try logits(folder) == expected && load(folder).ignored == ["lm_head.weight"])
      try change(file) { $0.tensors["transformer.wte.weight"] = nil }
      #expect(try logits(folder) == expected && load(folder).ignored.isEmpty)
      try change(file) { file in
        file.tensors["transformer.wte.weight"] = file.tensors["lm_head.weight"]
        file.tensors["lm_head.weight"]?[0, 0] += 1
      }
      #expect(try logits(folder) == expected)
      #expect(
        try load(folder).ignored.first?.contains("other numbers than wte.weight, which is used") == true)
    }
  }

  @Test("a checkpoint of the lab keeps its meaning with a copy of its tied output and a prefix")
  func ownCheckpoint() throws {
    try inScratch { path in
      var c = ModelConfiguration()
      (c.vocabulary, c.width, c.layers, c.heads) = (13, 8, 2, 2)
      let model = try TransformerModel(c, catalog: .standard, context: serial)
      try model.save(to: path)
      try change(path) { file in
        file.tensors["output.weight"] = file.tensors["embedding.weight"]
        file.tensors = Dictionary(
          uniqueKeysWithValues: file.tensors.map { ("_orig_mod." + $0.key, $0.value) })
        file.arrays["note"] = NpyArray([1], shape: [1], as: .int16)
      }
      let input = ModelInput(batch: 1, tokens: [1, 2, 3])
      let read = try load(path)
      #expect(try read.logits(input).array() == model.logits(input).array())
      #expect(read.ignored == ["note (I16)", "output.weight"])
      #expect(
        try TransformerModel(contentsOf: path, catalog: .standard).logits(input).array()
          == model.logits(input).array())
    }
  }

  @Test(
    "every number of a config.json at its extremes: a model or one line",
    .timeLimit(.minutes(BodyTime.hangLimit)),
    arguments: families)
  func extremeConfigurations(family: String) throws {
    let time = BodyTime()
    defer { #expect(time.seconds < 120) }
    let text = try String(contentsOfFile: "\(fixtures)/\(family)/config.json", encoding: .utf8)
    try withCopy(of: family) { folder in
      for (extreme, text) in Mutator.everyNumberExtreme(in: text) {
        try text.write(toFile: folder + "/config.json", atomically: false, encoding: .utf8)
        expectModelOrLine(folder, extreme)
      }
      var mutator = Mutator(seed: 45)
      for number in 0..<300 {
        try Data(mutator.mutate(Array(text.utf8))).write(to: URL(fileURLWithPath: folder + "/config.json"))
        expectModelOrLine(folder, "mutation \(number) of seed 45")
      }
    }
  }

  private func expectModelOrLine(_ path: String, _ what: String) {
    do {
      let model = try load(path)
      #expect(model.model.parameterCount < 10_000, "\(what)")
    } catch {
      #expect(!"\(error)".contains("\n"), "\(what): \(error)")
    }
  }

  private func inScratch(_ body: (String) throws -> Void) throws {
    let scratch = try Scratch()
    try body(scratch("m.safetensors"))
  }
}
