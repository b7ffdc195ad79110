import ArrayFiles
import Foundation
import LabTestSupport
import Tensors
import Testing

/// What `forward`, `generate` and `swap` refuse of arrays and numbers that make no sense.
@Suite struct ModelInputTests {
  let scratch: Scratch
  let model: String

  /// A checkpoint of one step, trained once for all tests.
  private static let trained = Result {
    let scratch = try Scratch()
    let settings = [
      "task.path=\(try scratch.write("text.txt", String(repeating: "abcdefgh", count: 400)))",
      "task.length=16",
      "model.width=8", "model.layers=2", "model.heads=1", "training.batch=2", "training.evaluation_batches=1",
    ]
    let trained = try BuiltProgram.attnlab.run(
      ["train", "text", "--steps", "1", "--checkpoint", scratch.path + "/run"]
        + settings.flatMap { ["--set", $0] })
    try #require(trained.code == 0, "\(trained.errors)")
    return scratch
  }

  init() throws {
    scratch = try Scratch()
    model = scratch.path + "/run/model.safetensors"
    try FileManager.default.copyItem(
      atPath: try Self.trained.get().path + "/run", toPath: scratch.path + "/run")
    try NpyArray([1, 2, 3, 4], shape: [1, 4], as: .int32).write(to: scratch.path + "/t.npy")
    try NpyArray([1, 2, 3, 4], shape: [2, 2], as: .int32).write(to: scratch.path + "/t2.npy")
    try NpyArray([-1, -1, -1, -1], shape: [1, 4], as: .int32).write(to: scratch.path + "/none.npy")
    try NpyArray([1, 0, 1, 1], shape: [1, 4], as: .bool).write(to: scratch.path + "/bool.npy")
  }

  @Test(
    "a checkpoint with a weight that is no number is refused, not answered",
    arguments: [Float.nan, .infinity])
  func brokenWeights(value: Float) throws {
    var file = try Safetensors(contentsOf: model)
    let name = "decoder.layers.1.attention.value.weight"
    var weight = try #require(file.tensors[name])
    weight[2, 3] = value
    file.tensors[name] = weight
    let broken = scratch.path + "/broken.safetensors"
    try file.write(to: broken)
    for rest in [
      ["forward", "--tokens", "t.npy", "--logits", "l.npy"], ["generate", "--prompt", "a"],
      ["swap", "--variant", "chunked"],
    ] {
      let result = try BuiltProgram.attnlab.run(
        [rest[0], "--checkpoint", broken] + rest.dropFirst(), in: scratch.path)
      #expect(result.code == 2 && result.errorLines.count == 1, "\(result.errors)")
      #expect(
        result.errors.contains("\(name): element [2, 3] is \(value.isNaN ? "nan" : "inf")"),
        "\(result.errors)")
    }
  }

  @Test(arguments: [
    (["forward", "--tokens", "t.npy", "--targets", "none.npy", "--loss"], "none.npy: no target counts"),
    (
      ["forward", "--tokens", "bool.npy", "--logits", "l.npy"],
      "bool.npy: bool [1, 4]; integers [batch, length]"
    ),
    (
      ["forward", "--tokens", "t.npy", "--targets", "t.npy", "--logits", "x", "--grads", "./x"],
      "--grads ./x: --logits writes to the same file"
    ),
    (
      ["forward", "--tokens", "t2.npy", "--targets", "t.npy", "--loss"],
      "t.npy: shape [1, 4]; [2, 2] is needed, as of the tokens"
    ),
    (
      ["forward", "--tokens", "t.npy", "--logits", "./t.npy"],
      "--logits ./t.npy: this would replace the input t.npy"
    ),
    (["generate", "--tokens", "t.npy", "--out", "t.npy"], "--out t.npy: this would replace the input"),
    (["generate", "--tokens", "bool.npy"], "bool.npy: bool"),
    (["generate", "--prompt", "a", "--stop", "256"], "--stop 256: it takes a token id from 0 to 255"),
    (["generate", "--prompt", "a", "--stop", "-1"], "--stop -1"),
    (["generate", "--prompt", "a", "--top-k", "5"], "--top-k 5: nothing is drawn at --temperature 0"),
    (
      ["generate", "--prompt", "a", "--temperature", "1", "--top-k", "257"], "--top-k 257: it takes 0 to 256"
    ),
    (["swap", "--variant", "chunked", "--layers", ""], "--layers : it takes numbers from 0 to 1"),
    (["swap", "--variant", "chunked", "--layers", "0,"], "--layers 0,"),
    (["swap", "--variant", "chunked", "--tokens", "bool.npy"], "bool.npy: bool"),
    (
      ["swap", "--variant", "full", "--logits", "x", "--hidden", "./x"],
      "--hidden ./x: --logits writes to the same file"
    ),
  ])
  func refused(_ arguments: [String], _ expected: String) throws {
    let before = try Set(FileManager.default.contentsOfDirectory(atPath: scratch.path))
    let result = try BuiltProgram.attnlab.run(
      [arguments[0], "--checkpoint", model] + arguments.dropFirst(), in: scratch.path)
    #expect(result.code == 2 && result.errorLines.count == 1 && result.output.isEmpty, "\(result.errors)")
    #expect(result.errors.hasPrefix("attnlab \(arguments[0]): \(expected)"), "\(result.errors)")
    let after = try Set(FileManager.default.contentsOfDirectory(atPath: scratch.path))
    #expect(after.filter { !$0.hasPrefix("output-") && !$0.hasPrefix("errors-") } == before)
  }
}
