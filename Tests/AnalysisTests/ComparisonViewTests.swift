import Analysis
import Basics
import Records
import Testing

@Suite("Views of a comparison")
struct ComparisonViewTests {
  private static func row(
    _ variant: String, n: Int = 64, seconds: Double, spread: Double = 0.01, memory: Int = 1000,
    error: Double = 1e-7,
    seed: Int = 1, repeats: Int = 5
  ) -> MeasurementRow {
    var row = MeasurementRow()
    (row.variant, row.pass, row.status, row.seed) = (variant, .forward, .ok, UInt64(seed))
    (row.batch, row.queryHeads, row.keyHeads, row.queryLength, row.keyLength) = (1, 2, 2, n, n)
    (row.headDim, row.valueDim, row.causal, row.threads) = (64, 64, false, 2)
    (row.secondsMedian, row.secondsP20, row.secondsP80) = (
      seconds, seconds * (1 - spread), seconds * (1 + spread)
    )
    (row.memoryBytes, row.errorRel, row.repeats) = (memory, error, repeats)
    return row
  }

  private static let rows = [
    row("full", seconds: 0.004, memory: 3000), row("sliding-window", seconds: 0.001, spread: 0.1, error: 0.2),
    row("lsh", seconds: 0.0011, spread: 0.1, memory: 2000, error: 0.1),
  ]

  private static func lines(_ change: (inout ComparisonView) -> Void) throws -> [String] {
    var view = ComparisonView()
    change(&view)
    return try Comparison(rows).text(view).split(separator: "\n").map(String.init)
  }

  @Test("The best of a column is marked, and what is not told apart from it")
  func marks() throws {
    let lines = try Self.lines { $0.metrics = [.time, .memory, .error] }
    #expect(lines[0] == "forward, batch 1, 2 heads × 64, 2 threads, n = 64")
    #expect(lines[2].contains("4.00 ms") && lines[2].hasSuffix("1.0e-7 *"))
    #expect(lines[3].contains("1.00 ms *") && lines[3].contains("1000 B *"))
    #expect(lines[4].contains("1.10 ms ≈"))
    #expect(lines[5].hasPrefix("* best of its column; ≈ not told apart from it"))
  }

  @Test("One repetition tells nothing of its spread, and a spread over its median is a factor")
  func spreads() {
    func text(_ row: MeasurementRow) -> String { Metric.spread.describe(Metric.spread.value(row)) }
    #expect(text(Self.row("full", seconds: 1, repeats: 1)) == "–")
    #expect(text(Self.row("full", seconds: 1, spread: 0.053)) == "±5.3 %")
    #expect(text(Self.row("full", seconds: 1, spread: 16.36)) == "±16×")
  }

  @Test("Lines are sorted, the best first, however good is counted")
  func sorts() throws {
    func names(_ order: ComparisonView.Order) throws -> [String] {
      try Self.lines { ($0.metrics, $0.order) = ([.time], order) }[2...4].map {
        String($0.prefix { $0 != " " })
      }
    }
    #expect(try names(.metric(.time)) == ["sliding-window", "lsh", "full"])
    #expect(try names(.metric(.speedup)) == ["sliding-window", "lsh", "full"])
    #expect(try names(.metric(.error)) == ["full", "lsh", "sliding-window"])
    #expect(try names(.variant) == ["full", "lsh", "sliding-window"])
  }

  @Test("Markdown and LaTeX have the best bold; CSV has values in the units of the results")
  func formats() throws {
    let markdown = try Self.lines { ($0.metrics, $0.format) = ([.time, .memory], .md) }
    #expect(markdown.contains("| sliding-window | **1.00 ms** | **1000 B** |"))
    let latex = try Self.lines { ($0.metrics, $0.format) = ([.time, .memory], .latex) }
    #expect(latex.contains("\\begin{tabular}{lrr}"))
    #expect(latex.contains("sliding-window & \\textbf{1.00 ms} & \\textbf{1000 B} \\\\"))
    let csv = try Self.lines { ($0.metrics, $0.format) = ([.time, .memory], .csv) }
    #expect(
      csv == [
        "part,variant,n,time,memory", "\"forward, batch 1, 2 heads × 64, 2 threads\",full,64,0.004,3000",
        "\"forward, batch 1, 2 heads × 64, 2 threads\",sliding-window,64,0.001,1000",
        "\"forward, batch 1, 2 heads × 64, 2 threads\",lsh,64,0.0011,2000",
      ])
  }

  @Test("Too few lengths for a law are named, in LaTeX as a comment")
  func fewLengths() throws {
    let comparison = try Comparison(Self.rows + [Self.row("full", n: 128, seconds: 0.01)], baseline: "full")
    var view = ComparisonView()
    #expect(comparison.text(view).contains("\nmeasured at n = 64, 128; "))
    view.format = .latex
    #expect(comparison.text(view).contains("\n% measured at n = 64, 128; "))
  }

  @Test("The baseline keeps its name")
  func baseline() throws {
    let longer = [128, 256, 512, 1024].map { n in
      Self.row("full", n: n, seconds: 1e-6 * Double(n * n))
    }
    let comparison = try Comparison(
      Self.rows + longer + [Self.row("lsh", n: 128, seconds: 0.002)], baseline: "lsh")
    #expect(comparison.text.contains("against lsh"))
    #expect(comparison.text(of: .speedup).contains("speed-up over lsh"))
  }

  @Test("The frontier holds whom nobody beats; seeds are one point with a range")
  func pareto() throws {
    let rows =
      Self.rows + [
        Self.row("lsh", seconds: 0.0013, spread: 0.1, memory: 2000, error: 0.3, seed: 2),
        Self.row("random-sparse", seconds: 0.002, error: 0.25),
      ]
    let view = try ParetoView.of(Comparison(rows), ["error", "seconds"])
    #expect(view.x.column == "seconds_median" && view.y.column == "error_rel")
    let entries = try #require(view.parts.first?.entries)
    #expect(entries.map(\.label) == ["sliding-window", "lsh", "random-sparse", "full"])
    #expect(entries.map(\.beatenBy) == [nil, "sliding-window", "sliding-window", nil])
    #expect(entries[1].x.count == 2 && entries[1].y.low == 0.1 && entries[1].y.high == 0.3)
    #expect(view.text(.text).contains("0.200 [0.100, 0.300]"))
    #expect(view.text(.text).contains("beaten by sliding-window"))
    let more = try ParetoView.of(Comparison(rows), ["time", "memory"])
    #expect(more.x.column == "memory_bytes" && more.x.isLowerBetter)
  }

  @Test("A quantity that there is not is named, with the nearest")
  func unknown() throws {
    let comparison = try Comparison(Self.rows)
    let error = #expect(throws: UsageError.self) { try ParetoView.of(comparison, ["eror", "seconds"]) }
    #expect(error?.description.hasSuffix("(did you mean error?)") == true)
    #expect(throws: UsageError("--pareto error: it takes two quantities, such as error,seconds")) {
      try ParetoView.of(comparison, ["error"])
    }
    #expect(throws: UsageError("--pareto: no row has both error_rel and flops")) {
      try ParetoView.of(comparison, ["operations", "error"])
    }
  }

  @Test("Settings of variants are columns")
  func settings() throws {
    let table = try CSVTable(
      text: "variant,configuration,seconds\nw,left=1;right=0,2\nw,left=4;right=0,8\nfull,,9\n", file: "m.csv")
    let columns = try FitTable(table)
    #expect(columns.names == ["variant", "configuration", "seconds", "left", "right"])
    let request = FitTable.Request(
      variables: [try columns.quantity("left", option: "--x")],
      response: try columns.quantity("seconds", option: "--y"))
    let group = try #require(try columns.groups(request).first)
    #expect(group.data.count == 2 && group.incompleteLines == [4])
  }
}
