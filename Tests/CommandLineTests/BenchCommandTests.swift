import Basics
import Foundation
import LabTestSupport
import Testing

/// `attnlab bench` with a preset of both kinds: rows of measurements, training steps, what is asked for, one JSON value.
@Suite struct BenchCommandTests {
  /// A performance preset of its own: the nearest `Experiments` folder goes before what the program carries.
  private static func folder() throws -> Scratch {
    let scratch = try Scratch()
    try FileManager.default.createDirectory(
      atPath: scratch("Experiments"), withIntermediateDirectories: true)
    _ = try scratch.write(
      "Experiments/performance.yaml",
      """
      title: small
      repeats: 1
      budget: 10ms
      experiments:
        - name: full
          variants: [full, chunked]
          n: 8
          head_dim: 4
          threads: 1
          targets: [{figure: fraction_of_limit, at_least: 0.001}]
        - name: steps
          experiment: training
          task: {id: markov, vocabulary: 8, length: 8}
          model: {width: 8, layers: 1, heads: 2}
          training: {batch: 2, steps: 8, evaluate_every: 0, evaluation_batches: 1}
          threads: 1
          targets: [{model.width: 8, figure: fraction_of_limit, at_least: 1000}]

      """)
    return scratch
  }

  @Test(
    "rows and training steps in one JSON value, in the report too; --only leaves out what needs other variants"
  )
  func both() throws {
    let scratch = try Self.folder()
    func bench(_ words: String...) throws -> BuiltProgram.Result {
      try BuiltProgram.attnlab.run(["bench"] + words, in: scratch.path)
    }
    let forecast = try bench("--dry-run", "--json")
    try #require(forecast.code == 0, "\(forecast.errors)")
    let foretold = try JSONValue(parsing: forecast.output)
    #expect(foretold["cells"].arrayValue.count == 2 && foretold["trainings"].arrayValue.count == 1)
    #expect(foretold["seconds"].numberValue ?? 0 > 0)

    let part = try bench("--only", "chunked", "--json")
    try #require(part.code == 0, "\(part.errors)")
    let chunked = try JSONValue(parsing: part.output)
    #expect(chunked["rows"].arrayValue.map { $0["variant"] } == [.string("chunked")])
    #expect(chunked["training_steps"].arrayValue.isEmpty)

    let made = try bench("--json")
    try #require(made.code == 0, "\(made.errors)")
    let found = try JSONValue(parsing: made.output)
    #expect(found["rows"].arrayValue.count == 2)
    let steps = try #require(found["training_steps"].arrayValue.first)
    // Of eight steps the first three and the last, with its evaluation, are left out.
    #expect(steps["steps_timed"] == .int(4))
    #expect(steps["step_seconds_median"].numberValue ?? 0 > 0)
    #expect(steps["fraction_of_limit"].numberValue ?? 0 > 0)
    #expect(steps["target_reached"] == .bool(false))

    let text = try bench()
    #expect(text.code == 0 && text.output.contains("training steps, warm"), "\(text.output)")
    #expect(text.output.contains("missed"))
    let page = try String(contentsOfFile: scratch("results/performance/report.html"), encoding: .utf8)
    #expect(page.contains(">Steps</h2>") && page.contains("chunked"))
  }

  @Test("a preset of both kinds answers attnlab run with one JSON value, each kind by its name")
  func run() throws {
    let scratch = try Self.folder()
    let result = try BuiltProgram.attnlab.run(["run", "performance", "--json"], in: scratch.path)
    try #require(result.code == 0, "\(result.errors)")
    let found = try JSONValue(parsing: result.output)
    #expect(found.members.map(\.key) == ["measurement", "training"])
    #expect(found["measurement"]["rows"] == .int(2) && found["training"]["rows"] == .int(1))
  }
}
