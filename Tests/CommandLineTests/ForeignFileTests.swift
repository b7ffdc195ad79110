import ArrayFiles
import Foundation
import LabTestSupport
import Tensors
import Testing

/// Files of other programs, and files that claim more than they hold, through the built program: where memory counts,
/// under a limit of the system.
@Suite struct ForeignFileTests {
  private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("PretrainedTests/Fixtures").path
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  private func run(_ arguments: String...) throws -> BuiltProgram.Result {
    try BuiltProgram.attnlab.run(arguments, in: scratch.path)
  }

  /// Runs the program with at most so many KiB of address space.
  private func run(kibibytes: Int, _ arguments: [String]) throws -> (code: Int32, errors: String) {
    let process = Process(), errors = Pipe()
    let program = URL(fileURLWithPath: BuiltProgram.attnlab.path).standardizedFileURL.path
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments =
      ["-c", "ulimit -v \(kibibytes); exec \"$@\"", "sh", program] + arguments
    process.currentDirectoryURL = URL(fileURLWithPath: scratch.path)
    process.standardError = errors
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus, text)
  }

  @Test(
    "forward reads a Hugging Face folder and gives what swap gives",
    arguments: ["gpt2", "bert", "roberta", "distilbert"])
  func forwardOfHuggingFace(family: String) throws {
    let folder = "\(Self.fixtures)/\(family)", t = scratch.path + "/t.npy"
    try NpyArray([3, 4, 5, 6, 7, 2], shape: [2, 3], as: .uint16).write(to: t)
    let forward = try run(
      "forward", "--checkpoint", folder, "--tokens", t, "--targets", t, "--loss", "--logits", "f.npy")
    #expect(forward.code == 0 && forward.output.contains("\nloss "), "\(forward.errors)")
    let swap = try run(
      "swap", "--checkpoint", folder, "--variant", "full", "--tokens", t, "--logits", "s.npy")
    #expect(swap.code == 0, "\(swap.errors)")
    let (f, s) = (
      try NpyArray(contentsOf: scratch.path + "/f.npy"), try NpyArray(contentsOf: scratch.path + "/s.npy")
    )
    #expect(f.shape == [2, 3, 13] && f.floats == s.floats)
    let grads = try run(
      "forward", "--checkpoint", folder, "--tokens", t, "--targets", t, "--grads", "g.safetensors")
    #expect(grads.code == (family == "gpt2" ? 0 : 2), "\(grads.errors)")
  }

  @Test("what of a checkpoint is not used is said once")
  func ignored() throws {
    try FileManager.default.copyItem(atPath: Self.fixtures + "/gpt2", toPath: scratch.path + "/m")
    var file = try Safetensors(contentsOf: scratch.path + "/m/model.safetensors")
    file.arrays["transformer.h.0.attn.bias"] = NpyArray([1], shape: [1], as: .bool)
    try file.write(to: scratch.path + "/m/model.safetensors")
    try NpyArray([3, 4, 5], shape: [1, 3], as: .int8).write(to: scratch.path + "/t.npy")
    for rest in [
      ["generate", "--count", "2"], ["forward", "--logits", "l.npy"], ["swap", "--variant", "full"],
    ] {
      let result = try BuiltProgram.attnlab.run(
        [rest[0], "--checkpoint", "m", "--tokens", "t.npy"] + rest.dropFirst(), in: scratch.path)
      let notes = result.errorLines.filter { $0.contains("not used") }
      #expect(
        result.code == 0 && notes == ["m: 1 tensor of the file not used: h.0.attn.bias (BOOL)"],
        "\(result.errors)")
    }
  }

  @Test("token arrays of every whole-number type are read; one beyond the range is named")
  func tokenTypes() throws {
    for type in NpyElementType.allCases where !type.isReal && type != .bool {
      try NpyArray([3, 4, 5], shape: [1, 3], as: type).write(to: scratch.path + "/t.npy")
      let result = try run(
        "generate", "--checkpoint", Self.fixtures + "/gpt2", "--tokens", "t.npy", "--count", "1")
      #expect(result.code == 0, "\(type): \(result.errors)")
    }
    try NpyArray([3, Int64.max], shape: [1, 2], as: .uint64).write(to: scratch.path + "/t.npy")
    let result = try run("generate", "--checkpoint", Self.fixtures + "/gpt2", "--tokens", "t.npy")
    #expect(
      result.code == 2 && result.errors.contains("t.npy: 9223372036854775807 is no token id"),
      "\(result.errors)")
    try NpyArray([Float(3)], shape: [1, 1], as: .bfloat16).write(to: scratch.path + "/t.npy")
    let real = try run("generate", "--checkpoint", Self.fixtures + "/gpt2", "--tokens", "t.npy")
    #expect(
      real.code == 2 && real.errors.contains("t.npy: bfloat16 (written as V2) [1, 1]; integers"),
      "\(real.errors)")
  }

  @Test("bfloat16 arrays as ml_dtypes writes them are inputs like any other")
  func bfloat16Arrays() throws {
    let values = (0..<16).map { Float($0 % 5) - 2 }
    for type in [NpyElementType.bfloat16, .float32] {
      try NpyArray(values, shape: [1, 1, 4, 4], as: type).write(to: scratch.path + "/\(type).npy")
      let name = "\(type).npy"
      let result = try run("apply", "full", "--q", name, "--k", name, "--v", name, "--out", "o-\(type).npy")
      #expect(result.code == 0, "\(result.errors)")
    }
    #expect(
      try NpyArray(contentsOf: scratch.path + "/o-bfloat16.npy")
        == NpyArray(contentsOf: scratch.path + "/o-float32.npy"))
  }

  @Test(
    "rows of unequal length are each continued from their own end, and a full position table by one token")
  func lengths() throws {
    let gpt2 = Self.fixtures + "/gpt2"
    try NpyArray([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6], shape: [2, 9], as: .int32).write(
      to: scratch.path + "/t.npy")
    try NpyArray([10, 11, 12], shape: [1, 3], as: .int32).write(to: scratch.path + "/short.npy")
    try NpyArray([9, 3], shape: [2], as: .uint8).write(to: scratch.path + "/n.npy")
    let both = try run(
      "generate", "--checkpoint", gpt2, "--tokens", "t.npy", "--lengths", "n.npy", "--count", "1", "--out",
      "both.npy")
    #expect(both.code == 0, "\(both.errors)")
    #expect(
      try run("generate", "--checkpoint", gpt2, "--tokens", "short.npy", "--count", "7", "--out", "one.npy")
        .code == 0)
    let one = try NpyArray(contentsOf: scratch.path + "/one.npy"),
      two = try NpyArray(contentsOf: scratch.path + "/both.npy")
    #expect(one.shape == [1, 7] && two.shape == [2, 1] && two.integers?[1] == one.integers?[0])
    for (arguments, part) in [
      (
        ["--tokens", "t.npy", "--lengths", "n.npy", "--count", "2"],
        "count: 2 is not allowed; it takes at most 1 after a prompt of 9"
      ),
      (["--tokens", "short.npy", "--count", "8"], "at most 7 after a prompt of 3"),
      (["--tokens", "short.npy", "--lengths", "n.npy"], "n.npy: 1 whole numbers from 1 to 3 expected"),
      (["--prompt", "a", "--lengths", "n.npy"], "--lengths goes with --tokens"),
    ] {
      let result = try BuiltProgram.attnlab.run(
        ["generate", "--checkpoint", gpt2] + arguments, in: scratch.path)
      #expect(
        result.code == 2 && result.errors.contains(part) && result.errorLines.count == 1, "\(result.errors)")
    }
  }

  @Test(
    "a configuration that claims a large model fails on the file's shapes, not on memory",
    arguments: [
      ("\"vocab_size\": 13", "\"vocab_size\": 1000000"), ("\"n_embd\": 8", "\"n_embd\": 65536"),
      ("\"n_layer\": 2", "\"n_layer\": 1000"), ("\"n_layer\": 2", "\"n_layer\": 2147483648"),
      ("\"n_positions\": 9", "\"n_positions\": 4000000"),
      ("\"vocab_size\": 13", "\"vocab_size\": 9223372036854775807"),
    ])
  func largeClaims(from: String, to: String) throws {
    try FileManager.default.copyItem(atPath: Self.fixtures + "/gpt2", toPath: scratch.path + "/m")
    let config = scratch.path + "/m/config.json"
    let text = try String(contentsOfFile: config, encoding: .utf8)
    try text.replacingOccurrences(of: from, with: to).write(
      toFile: config, atomically: false, encoding: .utf8)
    let result = try run(kibibytes: 2 << 20, ["swap", "--checkpoint", "m", "--variant", "full"])
    #expect(result.code == 2 && result.errors.split(separator: "\n").count == 1, "\(result)")
  }

  @Test("a dry run measures what the machine has, whatever number of threads is believed")
  func dryRun() throws {
    let preset = try scratch.write("p.yaml", "n: 64\nvariants: [full]\n")
    let result = try run(kibibytes: 2 << 20, ["run", preset, "--set", "threads=64", "--dry-run"])
    #expect(result.code == 0, "\(result)")
  }

  @Test(
    "presets that stand for more than they hold, and devices, are refused in one line",
    .timeLimit(.minutes(BodyTime.hangLimit)))
  func presets() throws {
    let time = BodyTime()
    defer { #expect(time.seconds < 60) }
    let levels = (1...9).map { n in
      "a\(n): &a\(n) [" + Array(repeating: "*a\(n - 1)", count: 9).joined(separator: ",") + "]"
    }
    let bomb = try scratch.write("bomb.yaml", (["a0: &a0 [x]"] + levels).joined(separator: "\n"))
    let result = try run(kibibytes: 2 << 20, ["run", bomb, "--dry-run"])
    #expect(result.code == 2 && result.errors.contains("the aliases repeat more than"), "\(result)")
    let link = scratch.path + "/zero.yaml"
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "/dev/zero")
    for arguments in [
      ["run", link], ["train", "copying", "--model", link],
      ["swap", "--checkpoint", "/dev/zero", "--variant", "full"],
      ["apply", "full", "--q", "/dev/zero", "--k", "/dev/zero", "--v", "/dev/zero", "--out", "o.npy"],
      ["measure", "full", "--n", "64", "--input", "text:/dev/urandom"],
      ["train", "text", "--set", "task.path=/dev/urandom"],
    ] {
      let result = try run(kibibytes: 2 << 20, arguments)
      #expect(result.code == 2 && result.errors.contains("it is a device"), "\(arguments): \(result)")
    }
  }

  @Test("binary bytes are no text, however few are needed")
  func binaryText() throws {
    let path = scratch.path + "/b.bin"
    try Data([UInt8](repeating: 65, count: 100) + [0, 1, 2]).write(to: URL(fileURLWithPath: path))
    let result = try run("measure", "full", "--n", "64", "--input", "text:\(path)")
    #expect(result.code == 2 && result.errors.contains("a binary file"), "\(result.errors)")
  }

  @Test("a training that leaves the range of numbers ends with status 1 and overwrites nothing")
  func divergence() throws {
    let settings = [
      "task.length=8", "model.width=8", "model.layers=1", "model.heads=1", "training.batch=2",
      "training.evaluation_batches=1", "training.schedule=constant", "training.warmup=0",
      "training.optimizer=sgd",
      "training.clip=0", "training.momentum=0",
    ]
    func train(_ more: [String]) throws -> BuiltProgram.Result {
      try BuiltProgram.attnlab.run(
        ["train", "copying", "--checkpoint", "run"]
          + (settings.filter { !$0.hasPrefix("task") } + more).flatMap { ["--set", $0] },
        in: scratch.path)
    }
    let good = try train(["training.learning_rate=0.01", "training.steps=2"])
    #expect(good.code == 0, "\(good.errors)")
    let model = URL(fileURLWithPath: scratch.path + "/run/model.safetensors")
    let before = try Data(contentsOf: model)
    let bad = try BuiltProgram.attnlab.run(
      ["train", "copying", "--checkpoint", "bad"]
        + (settings.filter { !$0.hasPrefix("task") } + ["training.learning_rate=1000", "training.steps=50"])
        .flatMap { ["--set", $0] },
      in: scratch.path)
    #expect(bad.code == 1 && bad.errors.contains("training diverged: "), "\(bad)")
    #expect(!FileManager.default.fileExists(atPath: scratch.path + "/bad/model.safetensors"))
    #expect(try Data(contentsOf: model) == before)
  }
}
