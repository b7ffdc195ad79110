import ArrayFiles
import Foundation
import LabTestSupport
import Tensors
import Testing

@testable import AttentionLab

@Suite("attnlab swap")
struct SwapCommandTests {
  private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("PretrainedTests/Fixtures").path

  private struct Run {
    let status: Int32
    let output: Data
    let errors: String

    /// Runs the built program as a user does.
    init(_ arguments: [String]) throws {
      let result = try BuiltProgram.attnlab.run(["swap"] + arguments)
      (status, output, errors) = (result.code, Data(result.output.utf8), result.errors)
    }
  }

  @Test("tokens that are padding to a RoBERTa are refused, and random ones avoid it")
  func padding() throws {
    let scratch = try Scratch(), tokens = scratch.path + "/t.npy"
    try NpyArray([3, 4, 5, 6, 1, 2], shape: [2, 3], as: .int32).write(to: tokens)
    func swap(_ more: [String]) throws -> BuiltProgram.Result {
      try BuiltProgram.attnlab.run(
        ["swap", "--checkpoint", "\(Self.fixtures)/roberta", "--variant", "full"] + more)
    }
    let refused = try swap(["--tokens", tokens])
    #expect(refused.code == 2 && refused.errors.contains("row 1 has the token 1"), "\(refused.errors)")
    #expect(try swap([]).code == 0)
  }

  @Test func jsonAndArraysOfASwap() throws {
    let scratch = try Scratch(), folder = scratch.path
    try NpyArray([1, 2, 3, 4, 5, 6, 7, 8], shape: [2, 4], as: .int64).write(to: folder + "/t.npy")
    let run = try Run([
      "--checkpoint", Self.fixtures + "/gpt2", "--variant", "sliding-window", "--set", "left=1", "--layers",
      "1",
      "--tokens", folder + "/t.npy", "--logits", folder + "/l.npy", "--hidden", folder + "/h.npy", "--json",
    ])
    #expect(run.status == 0, "\(run.errors)")
    let root = try #require(try JSONSerialization.jsonObject(with: run.output) as? [String: Any])
    let layers = try #require(root["layers"] as? [[String: Any]])
    #expect(layers.map { $0["attention"] as? String } == ["full", "sliding-window(left=1)"])
    #expect(layers[0]["state_error"] as? Double == 0)
    #expect((layers[1]["attention_error"] as? Double ?? 0) > 0)
    for key in ["final_error", "logits_error", "kl_mean", "kl_largest", "loss_original", "loss_swapped"] {
      #expect((root[key] as? Double ?? 0) > 0, "\(key)")
    }
    // The block that is swapped alone is all of the swap.
    let change = try #require(root["loss_change"] as? Double)
    #expect(layers.map { $0["loss_change"] as? Double } == [0, change] && change != 0)
    let agreement = try #require(root["top1_agreement"] as? Double)
    #expect((0...1).contains(agreement))
    #expect(root["batch"] as? Int == 2 && root["length"] as? Int == 4 && root["family"] as? String == "gpt2")
    #expect(try NpyArray(contentsOf: folder + "/l.npy").shape == [2, 4, 13])
    #expect(try NpyArray(contentsOf: folder + "/h.npy").shape == [3, 2, 4, 8])
  }

  @Test func peopleGetATable() throws {
    let run = try Run([
      "--checkpoint", Self.fixtures + "/bert", "--variant", "chunked", "--set", "chunk=2", "--n", "9",
    ])
    let words = String(decoding: run.output, as: UTF8.self).split(whereSeparator: \.isWhitespace)
    let text = words.joined(separator: " ")
    #expect(run.status == 0 && text.contains("own error") && text.contains("the same first choice"))
    #expect(text.contains("1 × 9 tokens (random, seed 1)"))
  }

  @Test(
    "--stats tells of weights: a window keeps less than all of them, full attention all, and other scores have no share"
  )
  func weights() async throws {
    func layers(_ attention: String) async throws -> [[String: Any]] {
      let run = try await BuiltProgram.attnlab.finished([
        "swap", "--checkpoint", "\(Self.fixtures)/gpt2", "--attention", attention, "--n", "9", "--stats",
        "--json",
      ])
      #expect(run.code == 0, "\(run.errors)")
      let root = try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any]
      return try #require(root?["layers"] as? [[String: Any]])
    }
    func number(_ layer: [String: Any], _ key: String) throws -> Double {
      try #require(layer[key] as? Double, "\(key)")
    }
    let mixed = try await layers("sliding-window(left=1), full")
    #expect(try number(mixed[0], "kept_mass") < 0.9 && number(mixed[0], "kept_mass") > 0.1)
    #expect(try number(mixed[0], "entropy_swapped") < number(mixed[0], "entropy"))
    #expect(try abs(number(mixed[1], "kept_mass") - 1) < 1e-6)
    #expect(try number(mixed[1], "entropy_swapped") == number(mixed[1], "entropy"))
    #expect(try number(mixed[1], "largest_score").isFinite)
    let capped = try await layers("full(softcap=0.01)")
    let entropy = try number(capped[0], "entropy_swapped")
    #expect(capped[0]["kept_mass"] is NSNull && entropy > 0)
  }

  @Test(arguments: [
    (["--variant", "slidng-window"], "did you mean sliding-window?"), ([], "--variant is missing"),
    (["--variant", "full", "--layers", "0,2"], "--layers 0,2: it takes numbers from 0 to 1"),
    (["--variant", "full", "--n", "10"], "at most maximum_length = 9"),
    (["--variant", "full", "--tokens", "/nowhere.npy"], "/nowhere.npy: cannot be read"),
    (["--attention", "full", "--layers", "0"], "leave out --variant"),
    (["--variant", "sliding-window", "--set", "lefft=1"], "did you mean left?"),
  ])
  func mistakesAreOneClearLine(arguments: [String], part: String) throws {
    let run = try Run(["--checkpoint", Self.fixtures + "/gpt2"] + arguments)
    #expect(run.status == 2)
    #expect(run.errors.contains(part) && run.errors.split(separator: "\n").count == 1, "\(run.errors)")
  }
}
