import Attention
import AttentionCore
import Foundation
import Testing

@testable import Presets
@testable import Records
@testable import Trainings

/// What trainings say together: labels, spreads, laws, and predictions of those that were held out.
@Suite struct TrainingComparisonTests {
  /// A training of a size that obeys L = 1.5 + 40·N^−½ on examples on which the true law scores 0.01 too much.
  private static func row(_ size: Int, seed: Int = 1, heldOut: Bool = false) -> TrainingRow {
    let loss = 1.5 + 40 / Double(size).squareRoot()
    var row = TrainingRow()
    (row.runID, row.task, row.attention) = ("\(size)-\(seed)", "markov", "full")
    row.taskConfiguration = "length=8;vocabulary=4"
    row.modelConfiguration = "width=\(size / 100);layers=1;seed=\(seed)"
    row.trainingConfiguration = "learning_rate=\(1.0 / Double(size));steps=10;seed=\(seed)"
    (row.seed, row.status, row.evaluation, row.isHeldOut) = (seed, .ok, .test, heldOut)
    (row.parameters, row.tokens, row.computeFlops, row.steps) = (size, 1000, 6000 * Double(size), 10)
    (row.testLoss, row.optimalLoss, row.entropyRate) = (loss + 0.01, 1.51, 1.5)
    (row.testAccuracy, row.testCount) = (0.5, 100)
    if heldOut {
      (row.predictedLoss, row.predictedLow, row.predictedHigh, row.predictedBy) = (1.7, 1.6, 1.9, "L(N)")
    }
    return row
  }

  @Test func fiveSizesAllowALawThatFindsTheEntropyRate() throws {
    let rows = [400, 900, 1600, 2500, 4900].map { Self.row($0) }
    #expect(TrainingLaw.all(in: Array(rows.dropLast())).isEmpty)
    let laws = TrainingLaw.all(in: rows + [Self.row(90_000, heldOut: true)])
    #expect(laws.map(\.kind) == [.parameters])
    let fit = try laws[0].fit.get()
    #expect(fit.data.count == 5)
    // The luck of the sample is taken off: 1.5, not 1.51.
    #expect(abs((fit.parameters["c"]?.value ?? 0) - 1.5) < 1e-6)
    #expect(abs((fit.parameters["b"]?.value ?? 0) - 0.5) < 1e-5)
    let prediction = try #require(TrainingLaw.predict(["parameters": 10_000], of: rows[0], from: laws))
    #expect(prediction.law == "L(N)" && abs(prediction.loss - 1.9) < 1e-5)
    #expect(laws[0].command(file: "runs.csv").contains("--form power-decay"))
  }

  @Test(
    "sizes and lengths allow one law over both; it speaks of any length of its task, and laws of other tasks do not"
  )
  func contexts() throws {
    func row(_ size: Int, _ length: Int, task: String = "path=") -> TrainingRow {
      var row = Self.row(size)
      row.runID += "-\(length)\(task)"
      row.taskConfiguration = "\(task);length=\(length)"
      (row.optimalLoss, row.entropyRate) = (nil, nil)
      row.testLoss = 1.2 + 40 / Double(size).squareRoot() + 2 / Double(length)
      return row
    }
    let rows = [400, 900, 1600, 2500].flatMap { size in [4, 8, 16, 32].map { row(size, $0) } }
    let laws = TrainingLaw.all(in: rows)
    #expect(laws.map(\.kind) == [.context])
    let fit = try laws[0].fit.get()
    for (name, value) in ["E": 1.2, "alpha": 0.5, "beta": 1] {
      #expect(abs((fit.parameters[name]?.value ?? 0) - value) < 1e-4, "\(name)")
    }
    let place = ["parameters": 1600.0, "task.length": 64]
    let found = try #require(TrainingLaw.predict(place, of: row(1600, 64), from: laws))
    #expect(found.law == "L(N, n)" && abs(found.loss - 2.23125) < 1e-4)
    #expect(TrainingLaw.predict(place, of: row(1600, 64, task: "path=other"), from: laws) == nil)
    #expect(laws[0].command(file: "runs.csv").contains("--x parameters,task.length"))
    // Two lengths are no law over lengths, and a law of one of them says nothing of a third.
    let few = [400, 900, 1600, 2500, 3600].flatMap { size in [4, 8].map { row(size, $0) } }
    #expect(TrainingLaw.all(in: few).map(\.kind) == [.parameters, .parameters])
    #expect(TrainingLaw.predict(place, of: row(1600, 64), from: TrainingLaw.all(in: few)) == nil)
  }

  @Test("no law joins models that differ in more than their sizes, and its command names its own rows")
  func lawsOfFamilies() {
    let sizes = [400, 900, 1600, 2500, 4900]
    var mixed = sizes.map { Self.row($0) }
    for place in mixed.indices where place % 2 == 0 { mixed[place].modelConfiguration += ";hierarchy=han" }
    #expect(TrainingLaw.all(in: mixed).isEmpty)
    let others = sizes.map { size in
      var row = Self.row(size)
      (row.runID, row.modelConfiguration) = ("han \(size)", row.modelConfiguration + ";hierarchy=han")
      return row
    }
    let laws = TrainingLaw.all(in: sizes.map { Self.row($0) } + others)
    #expect(laws.count == 2)
    #expect(laws[1].command(file: "runs.csv").contains("run_id == 'han 400' || run_id == 'han 900'"))
    #expect(TrainingLaw.predict(["parameters": 900], of: others[0], from: [laws[0]]) == nil)
  }

  @Test("no law joins trainings of one task with those that learned another beside it")
  func lawsOfMixes() {
    let sizes = [400, 900, 1600, 2500, 4900]
    var mixed = sizes.map { Self.row($0) }
    for place in mixed.indices where place % 2 == 0 { mixed[place].auxiliary = "echo(weight=0.5)" }
    #expect(TrainingLaw.all(in: mixed).isEmpty)
    let beside = sizes.map { size in
      var row = Self.row(size)
      (row.runID, row.auxiliary) = ("beside \(size)", "echo(weight=0.5)")
      return row
    }
    let laws = TrainingLaw.all(in: sizes.map { Self.row($0) } + beside)
    #expect(laws.count == 2)
    #expect(laws[0].command(file: "runs.csv").contains("auxiliary == ''"))
    #expect(laws[1].command(file: "runs.csv").contains("auxiliary == 'echo(weight=0.5)'"))
    #expect(laws[1].series.hasSuffix("with echo(weight=0.5)"))
  }

  @Test func linesAreNamedByWhatDiffersAndSeedsAreOneLine() {
    let rows =
      [400, 900].flatMap { [Self.row($0), Self.row($0, seed: 2)] } + [Self.row(40_000, heldOut: true)]
    let comparison = TrainingComparison(rows)
    #expect(comparison.lines.map(\.label) == ["width 4", "width 9", "width 400 (held out)"])
    #expect(comparison.lines.map(\.rows.count) == [2, 2, 1])
    #expect(comparison.text.contains("3.510 ± 0"), "\(comparison.text)")
    #expect(
      comparison.text.contains(
        "width 400 (held out): predicted 1.700 [1.600, 1.900] by L(N), found 1.700, inside"))
    // Columns that nothing fills are not shown.
    #expect(!comparison.table.header.contains("evaluated") && !comparison.table.header.contains("of peak"))
  }

  @Test func aSettingThatAnOlderFileLacksHasItsDefault() {
    var newer = Self.row(900)
    newer.modelConfiguration += ";norm=layer;global_projections=tied"
    #expect(TrainingComparison([Self.row(400), newer]).lines.map(\.label) == ["width 4", "width 9"])
    newer.modelConfiguration = newer.modelConfiguration.replacing("norm=layer", with: "norm=rms")
    #expect(
      TrainingComparison([Self.row(400), newer]).lines.map(\.label)
        == ["width 4", "norm rms, width 9"])
  }

  @Test func anEvaluationIsNamedByWhatItChanges() {
    var changed = Self.row(400)
    changed.evaluation = .changed
    changed.evaluationAttention = "chunked(chunk=4)"
    changed.evaluationTask = "length=16;vocabulary=4"
    let comparison = TrainingComparison([changed, Self.row(400)])
    #expect(comparison.lines.map(\.evaluation) == ["chunked(chunk=4), length 16", ""])
  }

  /// Brown, Cai and DasGupta (2001), Interval estimation for a binomial proportion: 0 of 10, and symmetry.
  @Test(
    "lengths and depths are a panel a model, over the length, with a curve a depth; one number alone is one panel"
  )
  func panels() {
    let rows = ["full", "chunked"].flatMap { attention in
      [64, 128, 256].flatMap { length in
        [0.1, 0.9].map { depth in
          var row = Self.row(400)
          (row.runID, row.attention, row.evaluation) = (attention, attention, .changed)
          row.evaluationTask = "length=\(length);depth=\(depth)"
          row.testAccuracy = depth
          return row
        }
      }
    }
    let sweep = TrainingSweep(TrainingComparison(rows))
    #expect(sweep.name == "length" && sweep.panels.map(\.title) == ["full", "chunked"])
    #expect(
      sweep.panels.map { $0.curves.map(\.label) } == [
        ["depth 0.1", "depth 0.9"], ["depth 0.1", "depth 0.9"],
      ])
    #expect(sweep.curves.allSatisfy { $0.points.map(\.x) == [64, 128, 256] })
    #expect(sweep.panels[1].curves[1].points.allSatisfy { $0.y == 0.9 && $0.low! < 0.9 && $0.high! > 0.9 })
    let one = TrainingSweep(TrainingComparison(rows.filter { $0.evaluationTask.hasSuffix("0.1") }))
    #expect(one.panels.map(\.title) == [""] && one.curves.count == 2)
  }

  @Test func wilsonsInterval() {
    let none = Wilson.interval(share: 0, count: 10)
    #expect(none.low == 0 && abs(none.high - 0.2775) < 1e-3)
    let half = Wilson.interval(share: 0.5, count: 100)
    #expect(abs(half.low - 0.4038) < 1e-3 && abs(half.high - 0.5962) < 1e-3)
  }

  @Test func aFlagReachesIntoThePoints() throws {
    let yaml = """
      experiment: training
      task: {id: induction, length: 8, vocabulary: 6}
      model: {layers: 1, heads: 2, hidden: 8}
      training: {steps: 2, batch: 2}
      points:
        - {model.width: [8, 16]}
      held_out:
        - {model.width: 32, compute: 1e9}
      """
    let plain = try Preset(yaml: yaml, file: "p.yaml", catalog: .standard, kinds: .standard).trainings
    #expect(plain.map { $0.modelSettings["width"] } == [.int(8), .int(16), .int(32)])
    #expect(plain.map(\.isHeldOut) == [false, false, true] && plain.map(\.compute) == [nil, nil, 1e9])
    let changed = try Preset(
      yaml: yaml, file: "p.yaml", sets: ["model.width=4", "training.steps=3"], catalog: .standard,
      kinds: .standard
    ).trainings
    #expect(changed.map { $0.modelSettings["width"] } == [.int(4), .int(32)])
    #expect(changed.allSatisfy { $0.trainingSettings["steps"] == .int(3) })
    let other = try Preset(
      yaml: yaml, file: "p.yaml", sets: ["held_out.model.width=64"], catalog: .standard, kinds: .standard
    ).trainings
    #expect(other.map { $0.modelSettings["width"] } == [.int(8), .int(16), .int(64)])
  }
}
