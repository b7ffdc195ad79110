import Analysis
import Basics
import Figures
import Foundation
import LabTestSupport
import Presets
import Records
import Testing

@Suite struct ComparisonTests {
  /// Rows of a variant whose time and memory obey known laws; deterministic noise of a few percent on the time.
  private static func rows(
    _ variant: String, lengths: [Int] = [256, 512, 1024, 2048, 4096, 8192], seconds: (Double) -> Double,
    workspace: (Double) -> Double = { _ in 4096 }
  ) -> [MeasurementRow] {
    lengths.enumerated().map { index, n in
      var row = MeasurementRow()
      (row.variant, row.pass, row.status) = (variant, .forward, .ok)
      (row.batch, row.queryHeads, row.keyHeads, row.queryLength, row.keyLength) = (1, 2, 2, n, n)
      (row.headDim, row.valueDim, row.causal, row.threads) = (64, 64, false, 2)
      let noise = 1 + 0.02 * Double([1, -1, 0.5, -0.5, 1, -1][index % 6])
      row.secondsMedian = seconds(Double(n)) * noise
      row.secondsP20 = row.secondsMedian.map { $0 * 0.98 }
      row.secondsP80 = row.secondsMedian.map { $0 * 1.04 }
      row.workspaceBytes = Int(workspace(Double(n)))
      row.memoryBytes = 1028 * 2 * n + Int(workspace(Double(n)))
      return row
    }
  }

  private static let full = rows("full", seconds: { 1e-9 * $0 * $0 + 2e-6 })
  private static let dense = rows(
    "full-materialized", seconds: { 3e-9 * $0 * $0 }, workspace: { 16 * $0 * $0 })
  private static let window = rows("sliding-window", seconds: { 1e-6 * $0 })

  @Test func exponentsAreThoseOfTheLawsWithinTheirIntervals() throws {
    let part = try #require(try Comparison(Self.full + Self.dense + Self.window).parts.first)
    func line(_ variant: String) throws -> Comparison.Line {
      try #require(part.lines.first { $0.series.variant == variant })
    }
    for (variant, time, memory) in [
      ("full", 2.0, 1.0), ("full-materialized", 2, 2), ("sliding-window", 1, 1),
    ] {
      let line = try line(variant)
      let found = try #require(line.time.exponent)
      #expect(abs(found.value - time) < 0.1, "\(variant): \(line.time.text)")
      #expect(
        (found.low ?? .infinity) <= time && (found.high ?? -.infinity) >= time,
        "\(variant): \(line.time.text)")
      // Counted bytes are exact: so are their exponents.
      let counted = try #require(line.memory.exponent)
      #expect(abs(counted.value - memory) < 1e-3, "\(variant): \(line.memory.text)")
    }
  }

  /// Scratch of the engine's forward (steps) and backward (a ramp, then linear with a constant part).
  private static let scratch: [@Sendable (Double) -> Double] = [
    { n in n >= 4096 ? 504_832 : n >= 3072 ? 378_624 : n >= 2048 ? 252_416 : 126_208 },
    { n in n >= 512 ? 3072 * n + 540_000 : 3164 * n },
  ]

  @Test(
    arguments: [0, 1],
    [[256, 512, 1024, 2048, 4096, 8192], [256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192]])
  func scratchDoesNotSetTheExponentOfMemory(kind: Int, lengths: [Int]) throws {
    let rows = Self.rows(
      "full", lengths: lengths, seconds: { 1e-9 * $0 * $0 }, workspace: Self.scratch[kind])
    let line = try #require(try Comparison(rows).parts.first?.lines.first)
    let exponent = try #require(line.memory.exponent)
    #expect(abs(exponent.value - 1) < 0.05, "\(line.memory.text)")
    #expect(
      (exponent.low ?? .infinity) <= 1 + 1e-9 && (exponent.high ?? -.infinity) >= 1 - 1e-9,
      "\(line.memory.text)")
  }

  @Test func theCrossoverIsWhereTheCurvesMeet() throws {
    // 1e-6 n = 1e-9 n² at n = 1000.
    let part = try #require(try Comparison(Self.full + Self.window).parts.first)
    let line = try #require(part.lines.first { $0.series.variant == "sliding-window" })
    guard case .meets(let crossover) = line.crossover else {
      Issue.record("no crossover: \(line.crossover)")
      return
    }
    #expect(abs(crossover.x - 1000) < 120)
    #expect((crossover.low ?? 0) < 1000 && (crossover.high ?? .infinity) > 1000)
    #expect(crossover.firstIsLowerAbove)
    #expect(line.crossover.text.hasPrefix("faster from n ≈ "))
  }

  @Test func failuresAreNamedAndTheCommonLengthIsChosen() throws {
    var failed = Self.rows("full-materialized", lengths: [8192], seconds: { $0 })[0]
    failed.fail(.outOfMemory, "needs 9 GiB")
    let rows = Self.full + Array(Self.dense.dropLast()) + [failed] + Array(Self.window)
    let comparison = try Comparison(rows)
    #expect(comparison.parts.first?.length == 4096)
    #expect(comparison.text.contains("  full-materialized n = 8192: out_of_memory: needs 9 GiB"))
    #expect(comparison.text(of: .speedup).contains("out_of_memory"))
    #expect(comparison.json.pretty.contains("\"status\": \"out_of_memory\""))
  }

  @Test func aBaselineThatIsNotThereIsAnError() {
    let error = #expect(throws: UsageError.self) { try Comparison(Self.full, baseline: "fll") }
    #expect(
      error?.description
        == "--baseline fll: there is no such variant; it takes one of full (did you mean full?)")
  }

  @Test func configurationsOfOneVariantAreToldApart() throws {
    var rows = Self.window + Self.window
    for index in rows.indices { rows[index].configuration = "left=\(index < 6 ? 64 : 128);right=0" }
    let part = try #require(try Comparison(rows).parts.first)
    #expect(part.panel.series.map(\.label) == ["sliding-window left=64", "sliding-window left=128"])
  }

  @Test("A label says no word twice, as long as labels tell series apart")
  func labels() throws {
    func labels(_ series: [(experiment: String, isHalf: Bool)]) throws -> [String] {
      let rows = series.flatMap { experiment, isHalf in
        Self.full.map { row in
          var row = row
          (row.experiment, row.precision) = (experiment, isHalf ? .bfloat16 : .float32)
          return row
        }
      }
      return try #require(try Comparison(rows).parts.first).panel.series.map(\.label)
    }
    #expect(try labels([("full", false), ("bfloat16", true)]) == ["full float32", "full bfloat16"])
    #expect(
      try labels([("full", false), ("float32", false), ("full", true)])
        == ["full full float32", "full float32 float32", "full full bfloat16"])
  }

  @Test func aSlowerRunIsFound() throws {
    var slower = Self.window
    slower[3].secondsMedian = slower[3].secondsMedian.map { $0 * 1.5 }
    let same = try Regression(new: Self.window, old: Self.window)
    #expect(same.failures(above: 1.1).isEmpty && abs(same.meanRatio - 1) < 1e-12)
    let worse = try Regression(new: slower, old: Self.window)
    #expect(worse.failures(above: 1.1) == ["sliding-window forward n=2048: 1.50×"])
    var lost = Self.window
    lost[0].fail(.crashed, "signal 11")
    #expect(
      try Regression(new: lost, old: Self.window).failures(above: 1.1) == [
        "sliding-window forward n=256: crashed"
      ])
    #expect(throws: UsageError("--against: the two files have no measured cell in common")) {
      try Regression(new: Self.window, old: Self.full)
    }
  }

  @Test func rowsSurviveTheFile() throws {
    let row = Self.full[2]
    let table = try CSVTable(
      text: CSVTable.line(MeasurementRow.columns) + CSVTable.line(row.fields), file: "m.csv")
    #expect(try MeasurementRow.read(table) == [row])
    #expect(try MeasurementRow.read(json: row.json.pretty).fields == row.fields)
    let broken = try CSVTable(
      text: "variant,pass,query_length,status,seconds_median\nfull,forward,many,ok,1\n", file: "m.csv")
    #expect(throws: UsageError("m.csv:2: column query_length: many is not a whole number of at least 1")) {
      try MeasurementRow.read(broken)
    }
  }

  @Test(arguments: ["svg", "png", "pdf"])
  func plotsAreDrawnWithScriptAndDataBeside(kind: String) async throws {
    guard await Tool.gnuplotVersion() != nil else { return }
    let scratch = try Scratch(), folder = scratch("plots")
    let comparison = try Comparison(Self.full + Self.dense + Self.window)
    let files = try await Gnuplot.draw(
      MeasurementPlot.figure(comparison, .time), to: "\(folder)/time.\(kind)")
    #expect(files.count == 3)
    let data = try Data(contentsOf: URL(fileURLWithPath: files[0]))
    let magic: [UInt8] =
      kind == "png" ? [0x89, 0x50, 0x4E, 0x47] : kind == "pdf" ? Array("%PDF".utf8) : Array("<?xml".utf8)
    #expect(Array(data.prefix(magic.count)) == magic)
    let script = try String(contentsOfFile: files[1], encoding: .utf8)
    #expect(script.contains("set logscale x 2") && script.contains("time of a pass"))
    #expect(script.contains("full-materialized:  n^{"))
    if kind == "svg" {
      let text = String(decoding: data, as: UTF8.self)
      #expect(text.contains("sequence length n (tokens)") && text.contains("full-materialized"))
    }
  }

  @Test func anotherExtensionIsRefused() async throws {
    let comparison = try Comparison(Self.full)
    await #expect(throws: UsageError("x.jpg: the extension must be svg, png or pdf")) {
      try await Gnuplot.draw(MeasurementPlot.figure(comparison, .time), to: "x.jpg")
    }
  }
}
