import ArrayFiles
import Basics
import Foundation
import LabTestSupport
import Tensors
import Testing

/// Graph attention as a user runs it: edges from a file, a picture of them, training on files, one line for what does not fit.
@Suite struct GraphCommandTests {
  let scratch: Scratch

  init() throws {
    scratch = try Scratch()
    for name in ["q", "k", "do"] {
      try NpyArray(try Tensor.normal([1, 2, 6, 8], key: RandomKey(seed: 5)(name))).write(
        to: scratch("\(name).npy"))
    }
    try NpyArray(try Tensor.normal([2, 8], key: RandomKey(seed: 6))).write(to: scratch("a.npy"))
    _ = try scratch.write("edges.csv", "source,target\n0,1\n1,2\n1,2\n5,2\n")
    _ = try scratch.write("far.csv", "0,1\n1,6\n")
  }

  private func run(_ arguments: String...) throws -> BuiltProgram.Result {
    try BuiltProgram.attnlab.run(arguments, in: scratch.path)
  }

  @Test("apply takes edges, shows those in use, and gives the gradient of what the score learns")
  func apply() throws {
    let result = try run(
      "apply", "graph", "--q", "q.npy", "--k", "k.npy", "--out", "o.npy", "--set", "score=gatv2", "--in",
      "edges=edges.csv", "--in", "attention=a.npy", "--export", "edges=used.npy", "--grad-out", "do.npy",
      "--dk", "dk.npy", "--gradient", "attention=da.npy")
    #expect(result.code == 0, "\(result.errors)")
    let used = try NpyArray(contentsOf: scratch("used.npy"))
    #expect(used.shape == [10, 2])
    #expect(used.integers == [0, 0, 0, 1, 1, 1, 1, 2, 1, 2, 2, 2, 5, 2, 3, 3, 4, 4, 5, 5])
    #expect(try NpyArray(contentsOf: scratch("da.npy")).shape == [2, 8])
    // Node 0 hears from itself alone.
    #expect(
      try NpyArray(contentsOf: scratch("o.npy")).floats.prefix(8)
        == NpyArray(contentsOf: scratch("k.npy")).floats.prefix(8))
  }

  @Test("mask draws given edges without q")
  func mask() throws {
    let result = try run(
      "mask", "graph", "--n", "6", "--in", "edges=edges.csv", "--set", "self_loops=false", "--out", "m.npy")
    #expect(result.code == 0, "\(result.errors)")
    let mask = try #require(try NpyArray(contentsOf: scratch("m.npy")).integers)
    #expect(mask.enumerated().filter { $1 > 0 }.map(\.offset) == [6, 13, 17] && mask[13] == 2)
  }

  @Test(
    "what does not fit is one line and code 2",
    arguments: [
      ("edges=far.csv", "duplicates=keep", "edge 1, 1 → 6"),
      ("edges=none.csv", "duplicates=keep", "none.csv"),
      ("edges=edges.csv", "duplicates=refuse", "edge 2, 1 → 2, which edge 1 is already"),
      ("edges=q.npy", "duplicates=keep", "float32 numbers"),
    ])
  func refusals(edges: String, setting: String, problem: String) throws {
    let result = try run(
      "apply", "graph", "--q", "q.npy", "--k", "k.npy", "--out", "o.npy", "--set", "score=dot", "--set",
      "message=key", "--in", edges, "--set", setting)
    #expect(result.code == 2 && result.errorLines.count == 1 && result.errors.contains(problem))
    #expect(!FileManager.default.fileExists(atPath: scratch("o.npy")))
  }

  @Test("train on a graph of one's own; the same command on other files is refused")
  func train() throws {
    _ = try scratch.write("g.csv", (0..<20).map { "\($0),\(($0 + 2) % 20)" }.joined(separator: "\n"))
    _ = try scratch.write("f.csv", (0..<20).map { "\($0 % 2),1" }.joined(separator: "\n"))
    _ = try scratch.write("l.csv", (0..<20).map { "\($0 % 2)" }.joined(separator: "\n"))
    func train(_ steps: Int) throws -> BuiltProgram.Result {
      try run(
        "train", "graph-files", "--steps", "\(steps)", "--threads", "1", "--set", "task.edges=g.csv", "--set",
        "task.features=f.csv", "--set", "task.labels=l.csv", "--set", "model.width=8", "--set",
        "model.heads=2", "--set", "model.layers=1", "--set", "training.schedule=constant", "--checkpoint",
        "run")
    }
    let first = try train(2)
    #expect(first.code == 0, "\(first.errors)")
    #expect(try scratch.lines("run/runs.csv").count == 2)
    _ = try scratch.write("g.csv", (0..<20).map { "\($0),\(($0 + 4) % 20)" }.joined(separator: "\n"))
    let other = try train(3)
    #expect(other.code == 2 && other.errors.contains("has changed since"), "\(other.errors)")
  }
}
