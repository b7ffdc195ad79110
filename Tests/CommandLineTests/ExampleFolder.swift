import ArrayFiles
import Basics
import Foundation
import LabTestSupport
import Records
import Tensors

/// A folder that holds whatever the examples of help pages and documents name as their inputs, small.
struct ExampleFolder: Sendable {
  let scratch: Scratch

  /// The package's folder.
  static let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path

  /// What every folder begins as: made once, for it takes two trainings.
  private static let template = Result { try ExampleFolder(made: try Scratch()) }

  /// A folder of its own.
  init() throws {
    scratch = try Scratch()
    let made = try Self.template.get().scratch
    for name in try FileManager.default.contentsOfDirectory(atPath: made.path) {
      try FileManager.default.copyItem(atPath: made(name), toPath: scratch(name))
    }
  }

  private init(made scratch: Scratch) throws {
    self.scratch = scratch
    _ = try scratch.write("friends.csv", "source,target\n0,1\n1,0\n33,32\n")
    let nodes = 0..<40
    _ = try scratch.write("edges.csv", nodes.map { "\($0),\(($0 + 2) % 40)\n" }.joined())
    _ = try scratch.write("features.csv", nodes.map { "\($0 % 2),1\n" }.joined())
    _ = try scratch.write("labels.csv", nodes.map { "\($0 % 2)\n" }.joined())
    try NpyArray((0..<16 * 64).map { Float($0 * 7 % 17) }, shape: [16, 8, 8]).write(to: scratch("images.npy"))
    try NpyArray((0..<16).map { $0 % 2 }, shape: [16], as: .int64).write(to: scratch("labels.npy"))
    try NpyArray((0..<4 * 64).map { Float($0 * 5 % 13) }, shape: [4, 8, 8]).write(
      to: scratch("test-images.npy"))
    try NpyArray((0..<4).map { $0 % 2 }, shape: [4], as: .int64).write(to: scratch("test-labels.npy"))
    try arrays()
    try answers()
    try tables()
    try models()
    try parts()
    _ = try scratch.write("notes.txt", String(repeating: "What was noted, line by line.\n", count: 600))
    _ = try scratch.write(
      "model.yaml",
      "model: {width: 16, layers: 1, heads: 2}\ntraining: {steps: 2, batch: 2, evaluation_batches: 1}\n"
    )
  }

  /// Two parts of a preset, of rows that were measured once.
  private func parts() throws {
    let rows = try MeasurementRow.read(scratch("measurements.csv"))
    _ = try scratch.write("ideas.yaml", "n: [16, 24]\nvariants: [full, custom]\n")
    try FileManager.default.createDirectory(
      atPath: scratch("results/ideas"), withIntermediateDirectories: true)
    try FileManager.default.copyItem(
      atPath: scratch("measurements.csv"), toPath: scratch("results/ideas/measurements.csv"))
    for index in 1...2 {
      let folder = "results/sweep/shards/\(index)-of-2"
      try FileManager.default.createDirectory(atPath: scratch(folder), withIntermediateDirectories: true)
      let writer = try RowWriter(path: scratch(folder + "/measurements.csv"), of: MeasurementRow.self)
      var entries: [CellEntry] = []
      for (number, row) in zip(1..., rows) where number % 2 == index % 2 {
        var entry = CellEntry()
        (entry.number, entry.cells, entry.shard, entry.shards) = (number, rows.count, index, 2)
        (entry.kind, entry.cellID, entry.cell) = ("measurement", row.cellID, row.variant)
        entries.append(entry)
        try writer.append(row)
      }
      _ = try scratch.write(folder + "/cells.csv", CellEntry.text(entries))
    }
  }

  private func arrays() throws {
    for name in ["q", "k", "v", "do"] {
      try NpyArray(try Tensor.normal([1, 2, 128, 16], key: RandomKey(seed: 5)(name))).write(
        to: scratch("\(name).npy"))
    }
    // [heads, dim, hashes, buckets / 2]: what lsh takes for these by its defaults.
    try NpyArray(try Tensor.normal([2, 16, 4, 2], key: RandomKey(seed: 6))).write(to: scratch("R.npy"))
    try NpyArray(try Tensor([0.3, 0.8], shape: [2])).write(to: scratch("spans.npy"))
    let tokens = (0..<12).map { Int32($0) % 11 + 1 }
    for (name, shape) in [("t", [2, 6]), ("y", [2, 6]), ("ids", [1, 6])] {
      try NpyArray(Array(tokens.prefix(shape[0] * shape[1])), shape: shape, as: .int32).write(
        to: scratch("\(name).npy"))
    }
    try NpyArray([Int32](arrayLiteral: 3, 4, 5, 6), shape: [1, 4], as: .int32).write(to: scratch("words.npy"))
    try NpyArray([Int32(1)], shape: [1, 1], as: .int32).write(to: scratch("start.npy"))
  }

  /// What another program said to the examples of tasks, four answers a row.
  private func answers() throws {
    let targets = (0..<100 * 64).map { Int32($0 % 64 < 4 ? 7 : -100) }
    try NpzArchive([("targets", NpyArray(targets, shape: [100, 64], as: .int32))]).write(
      to: scratch("mqar.npz"))
    try NpyArray([Int32](repeating: 7, count: 400), shape: [100, 4], as: .int32).write(
      to: scratch("answers.npy"))
    let lines = (0..<20).map { "{\"index\": \($0), \"input\": \"?\", \"outputs\": [\"12345\"]}\n" }
    _ = try scratch.write("passkey.jsonl", lines.joined())
    let said = (0..<20).map { "{\"index\": \($0), \"prediction\": \"It is 12345.\"}\n" }
    _ = try scratch.write("predictions.jsonl", said.joined())
  }

  private func tables() throws {
    try FileManager.default.createDirectory(
      atPath: scratch("results"), withIntermediateDirectories: true)
    let published = Self.package + "/results/published"
    try FileManager.default.createSymbolicLink(
      atPath: scratch("results/published"), withDestinationPath: published)
    // As if both presets had been run.
    for preset in ["quickstart", "variants"] {
      try FileManager.default.copyItem(
        atPath: published + "/quickstart", toPath: scratch("results/\(preset)"))
    }
    for name in ["measurements.csv", "old.csv", "new.csv"] {
      try FileManager.default.copyItem(
        atPath: published + "/quickstart/measurements.csv", toPath: scratch(name))
    }
    var generator = RandomKey(seed: 7).generator()
    var runs = "N,D,loss,compute_flops,test_loss,attention\n"
    for size in [1e6, 3e6, 1e7, 3e7, 1e8, 3e8] {
      for tokens in [1e8, 3e8, 1e9, 3e9, 1e10] {
        let law = 1.7 + 400 * pow(size, -0.34) + 410 * pow(tokens, -0.28)
        let loss = law * (1 + 0.002 * generator.normal())
        runs += "\(size),\(tokens),\(loss),\(6 * size * tokens),\(loss),\(size < 2e7 ? "full" : "chunked")\n"
      }
    }
    _ = try scratch.write("runs.csv", runs)
    var times = "variant,n,seconds\n"
    for (variant, a, b) in [("full", 1e-9, 2.0), ("window", 1e-6, 1.0)] {
      for n in [256.0, 512, 1024, 2048, 4096, 8192, 16384] {
        times += "\(variant),\(n),\(a * pow(n, b) * (1 + 0.01 * generator.normal()) + 1e-4)\n"
      }
    }
    _ = try scratch.write("times.csv", times)
  }

  /// Checkpoints of one step, and the fixtures of Hugging Face's models.
  private func models() throws {
    let fixtures = Self.package + "/Tests/PretrainedTests/Fixtures"
    for (name, fixture) in [("gpt2", "gpt2"), ("bert-base-uncased", "bert")] {
      try FileManager.default.copyItem(atPath: "\(fixtures)/\(fixture)", toPath: scratch(name))
    }
    let small = [
      "--steps", "1", "--threads", "1", "--set", "model.hidden=8", "--set", "training.batch=1", "--set",
      "training.evaluation_batches=1",
    ]
    // Heads as the recipe of text has them: the documents measure on such a model.
    let text = [
      "train", "text", "--set", "task.path=\(Self.package)/Experiments", "--set", "task.length=32",
      "--set", "model.width=64", "--set", "model.heads=4",
    ]
    let reversal = [
      "train", "reversal", "--set", "task.maximum=8", "--set", "task.vocabulary=16", "--set", "model.width=8",
      "--set", "model.heads=2",
    ]
    for (arguments, folder) in [(text, "results/train-text"), (reversal, "reversal")] {
      let made = try BuiltProgram.attnlab.run(
        arguments + small + ["--checkpoint", folder], in: scratch.path)
      guard made.code == 0 else { throw Failure(description: made.errors) }
    }
    let trained = scratch("results/train-text/model.safetensors")
    for name in ["m.safetensors", "model.safetensors"] {
      try FileManager.default.copyItem(atPath: trained, toPath: scratch(name))
    }
    try FileManager.default.moveItem(
      atPath: scratch("reversal/model.safetensors"), toPath: scratch("reversal.safetensors"))
    // An example trains a text model of its own there.
    for name in try FileManager.default.contentsOfDirectory(atPath: scratch("results/train-text"))
    where name != "model.safetensors" {
      try FileManager.default.removeItem(atPath: scratch("results/train-text/\(name)"))
    }
  }

  private struct Failure: Error, CustomStringConvertible { let description: String }
}
