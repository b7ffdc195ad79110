import ArrayFiles
import Attention
import Foundation
import LabTestSupport
import Tensors
import Testing

/// `attnlab train` and `attnlab forward`, from the arguments to the files and the exit code.
@Suite struct TrainForwardTests {
  private static func attnlab(_ arguments: String...) throws -> Int32 {
    try BuiltProgram.attnlab.run(arguments).code
  }

  private static let small = [
    "--set", "task.length=8", "--set", "task.vocabulary=6", "--set", "model.width=8", "--set",
    "model.layers=1", "--set",
    "model.heads=2", "--set", "model.hidden=8", "--set", "training.batch=2", "--set",
    "training.evaluation_batches=1",
    "--threads", "1",
  ]

  @Test func trainsThenAnswers() throws {
    let scratch = try Scratch(), folder = scratch("run")
    let arguments = ["train", "induction", "--steps", "2", "--checkpoint", folder] + Self.small
    #expect(try BuiltProgram.attnlab.run(arguments).code == 0)
    let files = Set(try FileManager.default.contentsOfDirectory(atPath: folder))
    #expect(files.isSuperset(of: ["checkpoint.safetensors", "model.safetensors", "runs.csv", "curves.csv"]))
    // Finished: nothing is added. Another width: the checkpoint belongs to another run.
    #expect(try BuiltProgram.attnlab.run(arguments).code == 0)
    #expect(
      try String(contentsOfFile: folder + "/runs.csv", encoding: .utf8).split(separator: "\n").count == 2)
    #expect(try BuiltProgram.attnlab.run(arguments + ["--set", "model.norm=rms"]).code == 2)

    let model = folder + "/model.safetensors", tokens = folder + "/t.npy", logits = folder + "/l.npy"
    try NpyArray([0, 1, 2, 3, 4, 5], shape: [2, 3], as: .int32).write(to: tokens)
    #expect(try Self.attnlab("forward", "--checkpoint", model, "--tokens", tokens, "--logits", logits) == 0)
    #expect(try NpyArray(contentsOf: logits).shape == [2, 3, 6])
    let gradients = folder + "/g.safetensors"
    #expect(
      try Self.attnlab(
        "forward", "--checkpoint", model, "--tokens", tokens, "--targets", tokens, "--loss", "--grads",
        gradients) == 0)
    #expect(
      Set(try Safetensors(contentsOf: gradients).tensors.keys)
        == Set(try Safetensors(contentsOf: model).tensors.keys))
    // A token outside the vocabulary, no targets, nothing to do, no such file.
    try NpyArray([0, 6], shape: [1, 2], as: .int32).write(to: tokens)
    #expect(try Self.attnlab("forward", "--checkpoint", model, "--tokens", tokens, "--logits", logits) == 2)
    #expect(try Self.attnlab("forward", "--checkpoint", model, "--tokens", tokens, "--loss") == 2)
    #expect(try Self.attnlab("forward", "--checkpoint", model, "--tokens", tokens) == 2)
    #expect(
      try Self.attnlab("forward", "--checkpoint", folder + "/no", "--tokens", tokens, "--logits", logits) == 2
    )
  }

  @Test("a model that no memory holds is refused before any of it is made")
  func modelBeyondMemory() throws {
    let scratch = try Scratch()
    // 2·10¹¹ parameters.
    let refused = try BuiltProgram.attnlab.run(
      ["train", "markov", "--steps", "1", "--checkpoint", scratch.path + "/run"] + [
        "--set", "training.batch=1", "--set", "task.length=8", "--set", "model.width=65536",
      ])
    #expect(refused.code == 2 && refused.errorLines.count == 1, "\(refused.errors)")
    #expect(refused.errors.contains("parameters is not allowed"), "\(refused.errors)")
  }

  @Test("a batch that no memory holds is refused before any of it is made")
  func batchBeyondMemory() throws {
    let scratch = try Scratch()
    // A terabyte for the activations alone.
    let refused = try BuiltProgram.attnlab.run(
      ["train", "markov", "--steps", "1", "--checkpoint", scratch.path + "/run"] + [
        "--set", "training.batch=65536", "--set", "task.length=512", "--set", "model.width=512",
      ])
    #expect(refused.code == 2 && refused.errorLines.count == 1, "\(refused.errors)")
    #expect(refused.errors.contains("batch: 65536") && refused.errors.contains("at most about"))
  }

  @Test func continuesTextWithTheBytesThatTheCacheNeeds() throws {
    let scratch = try Scratch()
    let text = try scratch.write("text.txt", String(repeating: "abcdefgh", count: 400))
    let folder = scratch.path + "/run", model = folder + "/model.safetensors"
    let sizes = [
      "--set", "task.path=\(text)", "--set", "task.length=16", "--set", "model.width=16", "--set",
      "model.layers=2", "--set", "model.heads=2", "--variant", "sliding-window(left=3), full",
    ]
    let training = ["--steps", "40", "--set", "training.batch=4", "--set", "training.learning_rate=1e-2"]
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

  @Test func separateGlobalProjectionsGoThroughEverySubcommand() throws {
    let scratch = try Scratch()
    let folder = scratch.path + "/run", model = folder + "/model.safetensors"
    let arguments =
      [
        "train", "induction", "--steps", "3", "--checkpoint", folder, "--variant",
        "local-global(left=1), full",
      ]
      + Self.small.map { $0 == "model.layers=1" ? "model.layers=2" : $0 }
      + ["--set", "model.global_projections=separate"]
    let trained = try BuiltProgram.attnlab.run(arguments)
    #expect(trained.code == 0, "\(trained.errors)")
    let names = try Safetensors(contentsOf: model).tensors.keys.filter { $0.contains("_global.") }
    #expect(names.count == 6 && names.allSatisfy { $0.hasPrefix("decoder.layers.0.attention.") })
    let row = try String(contentsOfFile: folder + "/runs.csv", encoding: .utf8)
    #expect(row.contains("local-global(left=1, projections=separate), full"))

    let tokens = scratch.path + "/t.npy", gradients = scratch.path + "/g.safetensors"
    try NpyArray([0, 1, 2, 3, 4, 5, 1, 2], shape: [2, 4], as: .int32).write(to: tokens)
    let forward = try BuiltProgram.attnlab.run(
      "forward", "--checkpoint", model, "--tokens", tokens, "--targets", tokens, "--loss", "--grads",
      gradients)
    #expect(forward.code == 0, "\(forward.errors)")
    let gradient = try #require(
      try Safetensors(contentsOf: gradients).tensors["decoder.layers.0.attention.value_global.weight"])
    #expect(gradient.array().contains { $0 != 0 })

    let generate = ["generate", "--checkpoint", model, "--tokens", tokens, "--count", "5", "--json"]
    let (cached, whole) = (
      try BuiltProgram.attnlab.run(generate), try BuiltProgram.attnlab.run(generate + ["--no-cache"])
    )
    func answers(_ result: BuiltProgram.Result) throws -> [[Int]] {
      let root = try #require(
        try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
      return (root["rows"] as? [[String: Any]])?.compactMap { $0["tokens"] as? [Int] } ?? []
    }
    #expect(try answers(cached) == answers(whole) && answers(cached).map(\.count) == [5, 5])

    for attention in ["full", "local-global(left=2)", "full, local-global(left=1)"] {
      let swap = try BuiltProgram.attnlab.run(
        "swap", "--checkpoint", model, "--attention", attention, "--n", "8")
      #expect(swap.code == 0, "\(attention): \(swap.errors)")
    }
    // Refused before the earlier results are put aside.
    let refused = try BuiltProgram.attnlab.run(
      arguments.map { $0.hasPrefix("local-global") ? "full" : $0 } + ["--fresh"])
    #expect(refused.code == 2 && refused.errors.contains("global_projections: separate"), "\(refused.errors)")
    #expect(refused.errorLines.count == 1 && FileManager.default.fileExists(atPath: model))
  }

  @Test func stepsOnGivenRowsFollowTheirSettings() throws {
    let scratch = try Scratch()
    let folder = scratch.path + "/run", model = folder + "/model.safetensors"
    let trained = try BuiltProgram.attnlab.run(
      ["train", "induction", "--steps", "1", "--checkpoint", folder, "--set", "model.norm=batch"] + Self.small
    )
    #expect(trained.code == 0, "\(trained.errors)")
    let tokens = scratch.path + "/t.npy", after = scratch.path + "/after.safetensors"
    try NpyArray([0, 1, 2, 3, 4, 5, 1, 2], shape: [2, 4], as: .int32).write(to: tokens)
    let base = ["forward", "--checkpoint", model, "--tokens", tokens, "--targets", tokens]
    let stepped = try BuiltProgram.attnlab.run(
      base + [
        "--steps", "4", "--set", "optimizer=sgd", "--set", "schedule=step", "--set", "warmup=2", "--set",
        "accumulation=2", "--set", "learning_rate=0.1", "--save", after, "--json",
      ])
    #expect(stepped.code == 0, "\(stepped.errors)")
    let root = try #require(
      try JSONSerialization.jsonObject(with: Data(stepped.output.utf8)) as? [String: Any])
    let losses = try #require(root["losses"] as? [Double])
    #expect(losses.count == 4 && losses[3] < losses[0], "\(losses)")
    let (old, new) = (try Safetensors(contentsOf: model), try Safetensors(contentsOf: after))
    for name in ["embedding.weight", "decoder.norm.running_mean"] {
      #expect(old.tensors[name]?.array() != new.tensors[name]?.array(), "\(name)")
    }
    for (wrong, part) in [
      (["--steps", "0"], "steps: 0"), (["--loss", "--set", "clip=1"], "go with --steps"),
      (["--steps", "2", "--set", "optimiser=sgd"], "did you mean optimizer?"),
      (["--steps", "2", "--set", "steps=3"], "--set steps"),
      (
        ["--steps", "2", "--set", "accumulation=3"],
        "accumulation: 3 is not allowed; it takes a divisor of the 2 rows"
      ),
    ] {
      let refused = try BuiltProgram.attnlab.run(base + wrong)
      #expect(refused.code == 2 && refused.errorLines.count == 1, "\(wrong): \(refused.errors)")
      #expect(refused.errors.contains(part), "\(refused.errors)")
    }
  }

  @Test(arguments: [
    ("model", "norm", "layer"), ("model", "attention", "full"),
    ("training", "schedule", "cosine"),
  ])
  func settingsOfModelsAndTrainingsAreListed(_ section: String, _ name: String, _ value: String) throws {
    let page = try BuiltProgram.attnlab.run("list", section)
    #expect(page.code == 0 && page.output.split(separator: "\n").contains { $0.hasPrefix(name) })
    let listed = try BuiltProgram.attnlab.run("list", section, "--json")
    let root = try #require(
      try JSONSerialization.jsonObject(with: Data(listed.output.utf8)) as? [String: Any])
    let parameters = try #require(root["parameters"] as? [[String: Any]])
    #expect(parameters.first { $0["name"] as? String == name }?["default"] as? String == value)
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
  func wrongUsageIsRefusedBeforeAnyTimeIsSpent(_ arguments: [String]) throws {
    let scratch = try Scratch(), folder = scratch("run")
    #expect(try BuiltProgram.attnlab.run(arguments + ["--checkpoint", folder]).code == 2)
    #expect(!FileManager.default.fileExists(atPath: folder))
  }
}
