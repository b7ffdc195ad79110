import ArrayFiles
import Foundation
import LabTestSupport
import Testing

/// What a refusal may be: one line, bounded, in our own words, and nothing before it.
@Suite("Messages of refusals") struct MessageTests {
  private let scratch: Scratch
  init() throws { scratch = try Scratch() }

  private func refused(_ arguments: [String], _ part: String = "") throws -> String {
    let result = try BuiltProgram.attnlab.run(arguments, in: scratch.path)
    #expect(result.code == 2, "\(arguments.map { $0.prefix(40) }): \(result.errors.prefix(400))")
    // Tests run a debug build, which says so where times are measured.
    let lines = result.errorLines.filter { !$0.hasPrefix("warning: a debug build") }
    #expect(result.output.isEmpty && lines.count == 1, "\(result.errors.prefix(400))")
    #expect(part.isEmpty || result.errors.contains(part), "\(result.errors.prefix(400))")
    return result.errors
  }

  private static let long = String(repeating: "x", count: 10_000)
  private static let odd = "\u{1B}[2J\u{7}" + String(repeating: "y", count: 9_000) + "\u{202E}\r"

  static let flags: [[String]] = [
    ["run", "@"], ["run", "quickstart", "--set", "@"], ["run", "quickstart", "--set", "@=1"],
    ["run", "quickstart", "--set", "n=@"], ["run", "quickstart", "--only", "@"],
    ["run", "quickstart", "--memory-limit", "@"], ["run", "@.yaml"], ["measure", "@", "--n", "8"],
    ["measure", "full", "--n", "@"], ["measure", "full", "--n", "8", "--input", "@"],
    ["measure", "full", "--n", "8", "--isa", "@"], ["measure", "full", "--n", "8", "--set", "@"],
    ["measure", "full", "--n", "8", "--set", "@=1"], ["measure", "lsh", "--n", "8", "--set", "hashes=@"],
    ["measure", "full", "--n", "8", "--@"], ["train", "@"], ["train", "mqar", "--set", "@"],
    ["train", "mqar", "--set", "@=1"], ["train", "mqar", "--set", "model.@=1"],
    ["train", "mqar", "--variant", "@"],
    ["train", "mqar", "--model", "@"], ["fit", "@"], ["fit", "t.csv", "--x", "@", "--y", "b"],
    ["fit", "t.csv", "--x", "a", "--y", "b", "--form", "@"],
    ["fit", "t.csv", "--x", "a", "--y", "b", "--form", "power", "--predict", "@"],
    ["fit", "t.csv", "--y", "b", "--formula", "@+"],
    ["fit", "t.csv", "--y", "b", "--formula", "p*a", "--start", "@"],
    ["fit", "t.csv", "--y", "b", "--formula", "p*a", "--bound", "@"], ["fit", "t.csv", "--separator", "@"],
    ["compare", "@"], ["compare", "t.csv", "--metric", "@"], ["plot", "t.csv", "--x", "@", "--y", "b"],
    ["list", "@"], ["check", "@"], ["mask", "@", "--n", "8"], ["mask", "full", "--n", "@"],
    ["apply", "full", "--q", "@", "--k", "k", "--v", "v", "--out", "o"],
    ["generate", "--checkpoint", "@", "--prompt", "a"],
    ["forward", "--checkpoint", "@", "--tokens", "t", "--loss"],
    ["swap", "--checkpoint", "@", "--variant", "full"], ["report", "@"], ["@"],
  ]

  @Test(
    "a text of 10 kB is shown in part, and nothing of it reaches the terminal as a command", arguments: flags)
  func bounded(_ arguments: [String]) throws {
    _ = try scratch.write("t.csv", "a,b\n1,2\n2,3\n3,5\n")
    for text in [Self.long, Self.odd] {
      let errors = try refused(arguments.map { $0.replacing("@", with: text) })
      #expect(errors.count < 1500, "\(errors.count): \(errors.prefix(200))")
      #expect(errors.unicodeScalars.dropLast().allSatisfy { $0.value >= 0x20 && $0.value != 0x202E })
    }
  }

  @Test("a file where a folder is needed is named in our words")
  func files() throws {
    let file = try scratch.write("F.yaml", "n: 8\nvariants: [full]\nthreads: 1\nhead_dim: 8\n")
    for arguments in [
      ["run", file, "--out", file], ["train", "mqar", "--checkpoint", file, "--steps", "1"],
      ["train", "mqar", "--checkpoint", file + "/below", "--steps", "1"],
      ["run", file, "--out", file + "/below"],
    ] {
      let errors = try refused(arguments)
      for foreign in ["couldn", "The file", "“", "Cocoa", "NSError", "doesn’t"] {
        #expect(!errors.contains(foreign), "\(errors)")
      }
      #expect(errors.contains("F.yaml"))
    }
    #expect(try String(contentsOfFile: file, encoding: .utf8).hasPrefix("n: 8"))
  }

  @Test("a refused call says nothing of tensors that were not used", arguments: ["bert", "roberta"])
  func notesBefore(_ family: String) throws {
    let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("PretrainedTests/Fixtures").path
    try FileManager.default.copyItem(atPath: "\(fixtures)/\(family)", toPath: scratch("m"))
    var file = try Safetensors(contentsOf: scratch("m/model.safetensors"))
    file.arrays["buffer"] = NpyArray([1, 0], shape: [2], as: .bool)
    try file.write(to: scratch("m/model.safetensors"))
    try NpyArray([3, 4, 5, 6, 7, 2], shape: [2, 3], as: .uint16).write(to: scratch("t.npy"))
    let call = ["forward", "--checkpoint", "m", "--tokens", "t.npy", "--targets", "t.npy"]
    _ = try refused(call + ["--grads", "g.safetensors"], "--grads and --steps are not computed")
    _ = try refused(["generate", "--checkpoint", "m", "--prompt", "a"])
    let loss = try BuiltProgram.attnlab.run(call + ["--loss"], in: scratch.path)
    #expect(loss.code == 0 && loss.errorLines.count { $0.contains("not used") } == 1, "\(loss.errors)")
  }

  @Test("attnlab train leaves the record of its machine, and adds a session when it goes on")
  func environment() throws {
    let call = [
      "train", "mqar", "--checkpoint", "r", "--set", "task.length=16", "--set", "task.vocabulary=16", "--set",
      "task.pairs=2", "--set", "model.width=8", "--set", "model.layers=1", "--set", "model.heads=1", "--set",
      "training.batch=2", "--set", "training.evaluate_every=0", "--threads", "1",
    ]
    func sessions() throws -> [String: Any] {
      let data = try Data(contentsOf: URL(fileURLWithPath: scratch("r/environment.json")))
      return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    }
    for (steps, count) in [("2", 1), ("3", 2)] {
      let schedule = ["--steps", steps, "--set", "training.schedule=constant"]
      let run = try BuiltProgram.attnlab.run(call + schedule, in: scratch.path)
      #expect(run.code == 0, "\(run.errors)")
      let record = try sessions()
      #expect((record["sessions"] as? [[String: Any]])?.count == count)
      #expect((record["training_text"] as? String)?.contains("task.id: mqar") == true)
      #expect((record["machine"] as? [String: Any])?["processor"] != nil && record["preset"] is NSNull)
    }
    // The next preset does not take the folder for its own.
    let file = try scratch.write("p.yaml", "n: 8\nvariants: [full]\nthreads: 1\nhead_dim: 8\n")
    _ = try refused(["run", file, "--out", "r"])
  }

  @Test(
    "apply computes what the scale makes small, and the mean of values of 3·10³⁸",
    arguments: ["full", "full-materialized"])
  func extremes(_ variant: String) throws {
    func write(_ name: String, _ values: [Float]) throws {
      try NpyArray(values, shape: [1, 1, values.count, 1]).write(to: scratch(name))
    }
    try write("q.npy", [1e20])
    try write("k.npy", [-1e20, -2e20])
    try write("v.npy", [1, 5])
    let call = [
      "apply", variant, "--q", "q.npy", "--k", "k.npy", "--v", "v.npy", "--out", "o.npy", "--lse", "l.npy",
    ]
    for precision in ["float32", "bfloat16"] {
      let small = try BuiltProgram.attnlab.run(
        call + ["--scale", "1e-38", "--precision", precision], in: scratch.path)
      #expect(small.code == 0, "\(small.errors)")
      #expect(try NpyArray(contentsOf: scratch("o.npy")).doubles == [1])
      #expect(
        abs(try NpyArray(contentsOf: scratch("l.npy")).doubles[0] + 100) < (precision == "float32" ? 1e-3 : 2)
      )
    }
    try write("k.npy", [0, 0])
    try write("v.npy", [3e38, 3.2e38])
    let vast = try BuiltProgram.attnlab.run(call, in: scratch.path)
    #expect(vast.code == 0, "\(vast.errors)")
    #expect(abs(try NpyArray(contentsOf: scratch("o.npy")).doubles[0] / 3.1e38 - 1) < 1e-5)
  }
}
