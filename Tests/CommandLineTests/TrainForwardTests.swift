import Attention
import AttentionLab
import Foundation
import Tensors
import Testing

/// `attnlab train` and `attnlab forward`, from the arguments to the files and the exit code.
@Suite struct TrainForwardTests {
  private static func attnlab(_ arguments: String...) -> Int32 {
    AttentionLab.run(arguments: arguments, catalog: .standard)
  }

  private static let small = [
    "--set", "task.length=8", "--set", "task.vocabulary=6", "--set", "model.width=8", "--set",
    "model.layers=1", "--set",
    "model.heads=2", "--set", "model.hidden=8", "--set", "training.batch=2", "--set",
    "training.evaluationBatches=1",
    "--threads", "1",
  ]

  @Test func trainsThenAnswers() throws {
    let folder = FileManager.default.temporaryDirectory.path + "/attnlab-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let arguments = ["train", "induction", "--steps", "2", "--checkpoint", folder] + Self.small
    #expect(AttentionLab.run(arguments: arguments, catalog: .standard) == 0)
    let files = Set(try FileManager.default.contentsOfDirectory(atPath: folder))
    #expect(files.isSuperset(of: ["checkpoint.safetensors", "model.safetensors", "runs.csv", "curves.csv"]))
    // Finished: nothing is added. Another width: the checkpoint belongs to another run.
    #expect(AttentionLab.run(arguments: arguments, catalog: .standard) == 0)
    #expect(
      try String(contentsOfFile: folder + "/runs.csv", encoding: .utf8).split(separator: "\n").count == 2)
    #expect(AttentionLab.run(arguments: arguments + ["--set", "model.norm=rms"], catalog: .standard) == 2)

    let model = folder + "/model.safetensors", tokens = folder + "/t.npy", logits = folder + "/l.npy"
    try NpyArray([0, 1, 2, 3, 4, 5], shape: [2, 3], as: .int32).write(to: tokens)
    #expect(Self.attnlab("forward", "--checkpoint", model, "--tokens", tokens, "--logits", logits) == 0)
    #expect(try NpyArray(contentsOf: logits).shape == [2, 3, 6])
    let gradients = folder + "/g.safetensors"
    #expect(
      Self.attnlab(
        "forward", "--checkpoint", model, "--tokens", tokens, "--targets", tokens, "--loss", "--grads",
        gradients) == 0)
    #expect(
      Set(try Safetensors(contentsOf: gradients).tensors.keys)
        == Set(try Safetensors(contentsOf: model).tensors.keys))
    // A token outside the vocabulary, no targets, nothing to do, no such file.
    try NpyArray([0, 6], shape: [1, 2], as: .int32).write(to: tokens)
    #expect(Self.attnlab("forward", "--checkpoint", model, "--tokens", tokens, "--logits", logits) == 2)
    #expect(Self.attnlab("forward", "--checkpoint", model, "--tokens", tokens, "--loss") == 2)
    #expect(Self.attnlab("forward", "--checkpoint", model, "--tokens", tokens) == 2)
    #expect(
      Self.attnlab("forward", "--checkpoint", folder + "/no", "--tokens", tokens, "--logits", logits) == 2)
  }

  @Test func continuesTextWithTheBytesThatTheCacheNeeds() throws {
    let scratch = try Scratch()
    let text = try scratch.write("text.txt", String(repeating: "abcdefgh", count: 400))
    let folder = scratch.path + "/run", model = folder + "/model.safetensors"
    let sizes = [
      "--set", "task.path=\(text)", "--set", "task.length=16", "--set", "model.width=16", "--set",
      "model.layers=2", "--set", "model.heads=2", "--variant", "sliding-window(left=3), full",
    ]
    let training = ["--steps", "40", "--set", "training.batch=4", "--set", "training.learningRate=1e-2"]
    let trained = try BuiltProgram.attnlab.run(
      ["train", "text", "--checkpoint", folder, "--threads", "1"] + sizes + training)
    #expect(trained.code == 0, "\(trained.errors)")

    let generated = try BuiltProgram.attnlab.run(
      "generate", "--checkpoint", model, "--prompt", "abcd", "--count", "12", "--json", "--threads", "1")
    #expect(generated.code == 0, "\(generated.errors)")
    let root = try #require(
      try JSONSerialization.jsonObject(with: Data(generated.output.utf8)) as? [String: Any])
    let row = try #require((root["rows"] as? [[String: Any]])?.first)
    #expect(row["text"] as? String == "efghabcdefgh")
    // 16 wide, k and v, 4 bytes: 3 rows in the layer of the window, 4 + 11 in the full one.
    #expect(row["peak_cache_bytes"] as? Int == 2 * 4 * 16 * (3 + 15))
    let whole = try BuiltProgram.attnlab.run(
      "generate", "--checkpoint", model, "--prompt", "abcd", "--count", "12", "--no-cache")
    #expect(whole.output == "abcdefghabcdefgh\n")

    for wrong in [
      [], ["--prompt", ""], ["--prompt", "a", "--count", "0"], ["--prompt", "a", "--tokens", "x.npy"],
      ["--tokens", scratch.path + "/none.npy"], ["--prompt", "a", "--temperature", "-1"],
      ["--prompt", "a", "--top-k", "-1"], ["--prompt", "a", "--source", model],
    ] {
      let refused = try BuiltProgram.attnlab.run(["generate", "--checkpoint", model] + wrong)
      #expect(refused.code == 2 && refused.errorLines.count == 1, "\(wrong): \(refused.errors)")
    }
  }

  @Test func timesStepsWithoutAllocations() throws {
    let timed = try BuiltProgram.attnlab.run(
      ["train", "induction", "--time", "3", "--json"] + Self.small)
    #expect(timed.code == 0, "\(timed.errors)")
    let root = try #require(
      try JSONSerialization.jsonObject(with: Data(timed.output.utf8)) as? [String: Any])
    #expect(root["allocations"] as? Int == 0)
    #expect((root["seconds"] as? [Double])?.count == 3)
    #expect(try BuiltProgram.attnlab.run("train", "induction", "--time", "0").code == 2)
  }

  @Test(arguments: [
    ["train", "inductoin"], ["train", "induction", "--set", "model.heads=3"],
    ["train", "induction", "--set", "model.wdith=8"], ["train", "induction", "--set", "heads=2"],
    ["train", "induction", "--variant", "fulll"], ["train", "induction", "--threads", "0"],
    ["train", "induction", "--model", "/nonexistent.yaml"],
    ["train", "reversal", "--set", "model.kind=decoder"],
    ["train", "text", "--set", "task.path=/nonexistent"],
  ])
  func wrongUsageIsRefusedBeforeAnyTimeIsSpent(_ arguments: [String]) {
    let folder = FileManager.default.temporaryDirectory.path + "/attnlab-\(UUID().uuidString)"
    #expect(AttentionLab.run(arguments: arguments + ["--checkpoint", folder], catalog: .standard) == 2)
    #expect(!FileManager.default.fileExists(atPath: folder))
  }
}
