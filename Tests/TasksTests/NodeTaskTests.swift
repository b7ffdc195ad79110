import Basics
import LabTestSupport
import Settings
import Tensors
import Testing

@testable import Tasks

/// Nodes of a graph: a generated one and a user's files.
@Suite struct NodeTaskTests {
  @Test("a block model is a function of its settings and its key; its splits are apart and complete")
  func blockGraph() throws {
    func make(_ seed: UInt64) throws -> any SequenceTask {
      try TaskCatalog.sequences.make(
        "block-graph", settings: ["nodes": .int(300)], key: RandomKey(seed: seed))
    }
    let task = try make(1)
    let batch = try task.batch(split: .train, index: 0, batchSize: 1)
    #expect(try make(1).batch(split: .train, index: 5, batchSize: 1) == batch)
    #expect(try make(2).batch(split: .train, index: 0, batchSize: 1) != batch)
    #expect(batch.length == 300 && batch.features?.values.shape == [300, 16] && batch.vocabularySize == 4)
    let all = try Split.allCases.map { try task.batch(split: $0, index: 0, batchSize: 1).targets }
    for node in 0..<300 { #expect(all.count { $0[node] >= 0 } == 1) }
    let edges = try #require(batch.graph)
    #expect(edges.count == 300 * 10 && edges.largestSource < 300)
  }

  @Test("edges prefer their own class as often as homophily says")
  func homophily() throws {
    let configuration = try BlockGraph.Configuration(settings: [
      "nodes": .int(2000), "homophily": .double(0.7),
    ])
    let graph = try BlockGraph(configuration, key: RandomKey(seed: 1)).graph
    let same = zip(graph.edges.sources, graph.edges.targets).count {
      graph.labels[Int($0)] == graph.labels[Int($1)]
    }
    #expect(abs(Double(same) / Double(graph.edges.count) - 0.7) < 0.02)
  }

  private func write(_ scratch: Scratch) throws -> [String: ParameterValue] {
    let files = [
      ("edges", "0,1\n1,2\n2,0\n3,0\n"), ("features", "a,b\n1,2\n0.5,1e-3\n-1 0\n3;4\n"),
      ("labels", "0\n1\n1\n-1\n"), ("split", "train\nvalidation\ntest\nnone\n"),
    ]
    return Dictionary(
      uniqueKeysWithValues: try files.map { ($0, .string(try scratch.write("\($0).csv", $1))) })
  }

  @Test("a user's files")
  func files() throws {
    let scratch = try Scratch()
    let settings = try write(scratch)
    let task = try TaskCatalog.sequences.make("graph-files", settings: settings, key: RandomKey(seed: 1))
    let batch = try task.batch(split: .test, index: 0, batchSize: 1)
    #expect(batch.targets == [-100, -100, 1, -100] && batch.vocabularySize == 2)
    #expect(batch.features?.values.array() == [1, 2, 0.5, 1e-3, -1, 0, 3, 4])
    #expect(batch.graph?.sources == [0, 1, 2, 3])
  }

  @Test(
    "files that do not fit are one line",
    arguments: [
      ("edges", "0,7\n", "edge 0, 0 → 7"), ("features", "1,2\n3\n1,1\n2,2\n", "line 2: 1 words"),
      ("features", "", "no node"), ("labels", "0\n1\n", "2 nodes; the features have 4"),
      ("labels", "-1\n-1\n-1\n-1\n", "no node has a class"), ("labels", "0\n1\nx\n1\n", "line 3: \"x\""),
      ("split", "train\ntrain\ntest\nnone\n", "is for validation"),
      ("split", "train\nlater\ntest\nnone\n", "line 2: \"later\""),
    ])
  func badFiles(_ name: String, _ text: String, _ problem: String) throws {
    let scratch = try Scratch()
    var settings = try write(scratch)
    settings[name] = .string(try scratch.write("bad.csv", text))
    #expect {
      try TaskCatalog.sequences.make("graph-files", settings: settings, key: RandomKey(seed: 1))
    } throws: {
      "\($0)".contains(problem) && !"\($0)".contains("\n")
    }
  }

  @Test func aFileThatIsNotNamedIsAskedFor() {
    #expect {
      try TaskCatalog.sequences.make("graph-files", key: RandomKey(seed: 1))
    } throws: {
      "\($0)".contains("task.edges: no file is named")
    }
  }
}
