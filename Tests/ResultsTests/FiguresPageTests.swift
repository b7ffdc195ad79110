import AttentionCore
import Basics
import Foundation
import Records
import Tensors
import Testing
import Trainings

/// The figures of the engine by processor are those of committed rows; `make pages` writes them anew.
@Suite(.serialized) struct FiguresPageTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path
  private static let page = root + "/Sources/AttentionLab/Documentation.docc/Reference/figures.md"
  private static let published = root + "/results/published/"

  /// Results that are compared with but not committed.
  private static let reference = "intel-emerald-rapids"
  private static let referenceFolder: String? = {
    guard let data = ProcessInfo.processInfo.environment["ATTNLAB_REFERENCE_DATA"] else { return nil }
    let folder = "\(data)/bench/\(reference)"
    return FileManager.default.fileExists(atPath: folder + "/bench.csv") ? folder : nil
  }()

  /// The folders of the performance preset, by name.
  private static func committed() throws -> [FiguresColumn] {
    try FileManager.default.contentsOfDirectory(atPath: published)
      .filter { $0 == "performance" || $0.hasPrefix("performance-") }.sorted()
      .map { try FiguresColumn(folder: published + $0) }
  }

  private static var block: Regex<(Substring, Substring)> {
    /<!-- figures -->\n(.*?)<!-- end -->/.dotMatchesNewlines()
  }

  /// The page with its tables made anew.
  private static func renewed(_ references: [FiguresPage.Source]) throws -> String {
    let text = try String(contentsOfFile: page, encoding: .utf8)
    let tables = FiguresPage(committed: try committed(), references: references).text
    return text.replacing(block, with: "<!-- figures -->\n\(tables)<!-- end -->")
  }

  private func compare(_ renewed: String) throws {
    if ProcessInfo.processInfo.environment["ATTNLAB_WRITE_PAGES"] == "1" {
      try renewed.write(toFile: Self.page, atomically: true, encoding: .utf8)
    }
    let text = try String(contentsOfFile: Self.page, encoding: .utf8)
    #expect(text == renewed, "make pages writes \(Self.page) anew")
  }

  @Test("the page's tables are those of the folders results/published/performance*")
  func committedColumns() throws {
    let text = try String(contentsOfFile: Self.page, encoding: .utf8)
    let tables = try #require(text.firstMatch(of: Self.block), "the page has no tables").output.1
    let kept = FiguresPage.kept(Self.reference, in: String(tables))
    try compare(try Self.renewed(kept.map { [$0] } ?? []))
  }

  @Test(
    "a column of data that are not in the repository is that of its rows",
    .enabled(
      if: referenceFolder != nil,
      "ATTNLAB_REFERENCE_DATA names no folder with bench/intel-emerald-rapids/bench.csv: the column is not compared"
    ))
  func referenceColumn() throws {
    let folder = try #require(Self.referenceFolder)
    let column = FiguresColumn(
      name: Self.reference,
      environment: try JSONValue(
        parsing: String(contentsOfFile: folder + "/bench-environment.json", encoding: .utf8)),
      rows: try MeasurementRow.read(folder + "/bench.csv"))
    #expect(column.rows.count > 50)
    try compare(try Self.renewed([.column(column)]))
  }

  // MARK: - Made-up rows

  private static func environment(_ day: String, _ commit: String) throws -> JSONValue {
    try JSONValue(
      parsing: """
        {"processor": "Some", "isa": "avx2", "commit": "\(commit)", "machine": {"processors": 4},
         "sessions": [{"started_at": "\(day)T01:02:03Z", "peaks": [
          {"threads": 1, "isa": "avx2", "precision": "float32", "peak_gflops": 100, "bandwidth_gb_per_s": 10},
          {"threads": 4, "isa": "avx2", "precision": "float32", "peak_gflops": 390, "bandwidth_gb_per_s": 20},
          {"threads": 1, "isa": "portable", "precision": "float32", "peak_gflops": 900}]}]}
        """)
  }

  private static func row(
    _ experiment: String, _ variant: String, _ pass: PassKind, threads: Int, fraction: Double
  ) -> MeasurementRow {
    var row = MeasurementRow()
    (row.experiment, row.variant, row.pass, row.status) = (experiment, variant, pass, .ok)
    (row.threads, row.precision, row.causal, row.batch) = (threads, .float32, false, 1)
    (row.queryLength, row.keyLength, row.headDim, row.valueDim) = (4096, 4096, 64, 64)
    (row.queryHeads, row.keyHeads, row.secondsMedian) = (4, 4, 0.1)
    (row.fractionOfPeak, row.paddingOverhead) = (fraction, 1)
    return row
  }

  /// The cell of a line in the first column.
  private static func cell(_ label: String, _ page: FiguresPage) throws -> String {
    let line = try #require(page.text.split(separator: "\n").first { $0.hasPrefix("| \(label) |") })
    return line.split(separator: "|", omittingEmptySubsequences: false)[2].trimmingCharacters(
      in: .whitespaces)
  }

  @Test("a cell has a figure a number of threads, a lone one says of how many, and without rows it is empty")
  func cells() throws {
    var dilated = Self.row("sparse", "sliding-window", .forward, threads: 4, fraction: 0.5)
    (dilated.configuration, dilated.paddingOverhead) = ("left=64;right=64;dilation=4", 1.5)
    var band = Self.row("sparse", "sliding-window", .backward, threads: 4, fraction: 0.6)
    (band.configuration, band.paddingOverhead) = ("left=256;right=256;dilation=1", 1.2)
    var failed = Self.row("full", "full", .backward, threads: 1, fraction: 0.9)
    failed.status = .crashed
    // 64 MiB of keys and values in 10 ms, of 10 GB/s.
    var decoding = Self.row("decoding", "full", .decode, threads: 1, fraction: 0.01)
    (decoding.queryHeads, decoding.keyHeads, decoding.keyLength) = (1, 1, 131072)
    decoding.secondsMedian = 0.01
    let page = FiguresPage(
      committed: [
        FiguresColumn(
          name: "performance", environment: try Self.environment("2026-01-02", "abcdef0123"),
          rows: [
            Self.row("full", "full", .forward, threads: 4, fraction: 0.84),
            Self.row("full", "full", .forward, threads: 1, fraction: 0.88), failed,
            Self.row("hashed", "lsh", .forward, threads: 4, fraction: 0.4),
            Self.row("sparse", "full", .backward, threads: 4, fraction: 0.9), band, dilated, decoding,
          ])
      ], references: [])
    let none = "n = 4096, d = 64, backward: one; all threads"
    #expect(try Self.cell("n = 4096, d = 64, forward: one; all threads", page) == "88; 84 %")
    #expect(try Self.cell(none, page).isEmpty)
    #expect(try Self.cell("±64 dilated by 4, needed pairs: of the peak", page) == "50 %")
    #expect(try Self.cell("±256, executed pairs: of the peak", page) == "72 %")
    #expect(try Self.cell("±256, executed pairs: of full attention's rate", page) == "80 %")
    #expect(try Self.cell("chunks of 512, executed pairs: of full attention's rate", page).isEmpty)
    let decoded = "decoding, 131072 keys, 1 query head on one key head, float32"
    #expect(try Self.cell(decoded, page) == "67 % (1 thread)")
    #expect(try Self.cell("measured peak, GFLOP/s: one; all threads", page) == "100; 390")
    #expect(try Self.cell("measured bandwidth, GB/s: one; all threads", page) == "10.0; 20.0")
    #expect(try Self.cell("width 64", page).isEmpty)
  }

  @Test("training steps stand in the page with their warm fraction")
  func steps() throws {
    var row = TrainingRow()
    (row.runID, row.experiment, row.evaluation, row.status) = ("a", "steps", .test, .ok)
    (row.modelConfiguration, row.threads) = ("width=64", 1)
    (row.steps, row.tokens, row.computeFlops) = (6, 600, 6e6)
    (row.tokensPerSecond, row.fractionOfPeak) = (1000, 0.1)
    let steps = (1...6).map { number in
      var step = StepRow()
      (step.runID, step.step, step.seconds) = ("a", number, 0.02 * Double(number))
      return step
    }
    // The row's peak is 10⁸ operations a second; a warm step has 10⁶ in 0.02 s.
    let timing = try #require(StepTiming(of: row, steps: steps, evaluated: [6]))
    let column = FiguresColumn(
      name: "performance", environment: try Self.environment("2026-01-02", "abc"), rows: [], trainings: [row],
      timings: ["a": timing])
    let page = FiguresPage(committed: [column], references: [])
    #expect(try Self.cell("width 64", page) == "50 % (1 thread)")
    #expect(try Self.cell("width 256", page).isEmpty)
  }

  @Test("a head says which build, and that an older one is earlier; a column without its rows stays as it is")
  func heads() throws {
    func column(_ name: String, _ day: String, _ commit: String) throws -> FiguresColumn {
      FiguresColumn(
        name: name, environment: try Self.environment(day, commit),
        rows: [Self.row("full", "full", .forward, threads: 1, fraction: 0.5)])
    }
    let committed = [
      try column("performance", "2026-01-02", "abcdef0123"),
      try column("performance-old", "2025-12-31", "0123456789+"),
    ]
    let whole = FiguresPage(
      committed: committed, references: [.column(try column("other", "2026-01-01", "fedcba9876"))])
    let head = try #require(whole.text.split(separator: "\n").first { $0.hasPrefix("| | ") })
    #expect(
      head == "| | `performance`, the build of 2026-01-02 (abcdef0) "
        + "| `performance-old`, an earlier build of 2025-12-31 (0123456, changed since) "
        + "| `other` (not in the repository), an earlier build of 2026-01-01 (fedcba9) |")
    let kept = try #require(FiguresPage.kept("other", in: whole.text))
    #expect(FiguresPage(committed: committed, references: [kept]).text == whole.text)
    #expect(FiguresPage.kept("others", in: whole.text) == nil)
    #expect(Set(FiguresPage.tables.map(\.title)).count == FiguresPage.tables.count)
    for table in FiguresPage.tables {
      #expect(Set(table.lines.map(\.label)).count == table.lines.count, "\(table.title)")
      #expect(table.lines.allSatisfy { !$0.label.contains("|") })
    }
  }
}
