import Attention
import AttentionCore
import Basics
import Foundation
import Tensors
import Testing

@testable import Analysis
@testable import Measuring
@testable import Presets
@testable import Records
@testable import Trainings

/// One declared identity of a row: for pairing, grouping, labels, titles and progress.
@Suite struct RowIdentityTests {
  private static func row(
    _ variant: String, _ queries: Int, keys: Int? = nil, seconds: Double = 0.01, machine: String = "one"
  ) -> MeasurementRow {
    var row = MeasurementRow()
    (row.variant, row.pass, row.status) = (variant, .forward, .ok)
    (row.batch, row.queryHeads, row.keyHeads) = (1, 1, 1)
    (row.queryLength, row.keyLength) = (queries, keys ?? queries)
    (row.headDim, row.valueDim, row.causal, row.threads) = (64, 64, false, 2)
    (row.isa, row.input, row.seed, row.machine) = ("avx2", "gaussian", 1, machine)
    row.secondsMedian = seconds
    return row
  }

  /// Every field of the identity, with another value than `row` has.
  private static let others: [(String, String)] = [
    ("preset", "p"), ("experiment", "e"), ("variant", "chunked"), ("configuration", "left=3"),
    ("pass", "backward"), ("batch", "2"), ("query_heads", "4"), ("key_heads", "2"), ("query_length", "512"),
    ("key_length", "512"), ("head_dim", "128"), ("value_dim", "32"), ("causal", "true"), ("threads", "1"),
    ("ranks", "2"),
    ("isa", "portable"), ("input", "text"), ("seed", "2"), ("precision", "bfloat16"), ("machine", "two"),
    ("host", "there"), ("commit", "0123456789"),
  ]

  @Test("every field of the identity has a case here")
  func casesAreComplete() {
    #expect(Set(Self.others.map(\.0)) == Set(MeasurementRow.identity.map(\.name)))
  }

  @Test(
    "two rows that differ in one field of the identity: both are paired, shown and named", arguments: others)
  func everyFieldTellsRowsApart(_ column: String, _ value: String) throws {
    let first = Self.row("full", 256, seconds: 0.01)
    var second = Self.row("full", 256, seconds: 0.03)
    let field = try #require(MeasurementRow.schema.first { $0.name == column })
    #expect(field.set(&second, value) == nil)
    // A file against itself is 1 everywhere.
    let same = try Regression(new: [first, second], old: [second, first])
    #expect(same.lines.map(\.ratio) == [1, 1])
    #expect(Set(same.lines.map(\.label)).count == 2 || ["preset", "variant"].contains(column))
    // Both are in the comparison, and something says which is which.
    let comparison = try Comparison([first, second])
    let series = comparison.parts.flatMap { part in part.lines.map { (part.panel, $0) } }
    #expect(series.flatMap(\.1.series.rows).count == 2)
    let places = series.flatMap { panel, line in
      line.series.rows.map { "\(panel.title)|\(line.series.label)|\(panel.axis.length(of: $0) ?? 0)" }
    }
    #expect(Set(places).count == 2, "\(places)")
    #expect(comparison.notes.isEmpty)
  }

  @Test("rows of two machines stand apart, are named, and are measured by a baseline of their own")
  func machinesDoNotMix() throws {
    let rows = [
      Self.row("full", 256, seconds: 0.05, machine: "fast"),
      Self.row("lsh", 256, seconds: 0.002, machine: "fast"),
      Self.row("full", 256, seconds: 0.069, machine: "slow"),
      Self.row("lsh", 256, seconds: 0.003, machine: "slow"),
    ]
    let comparison = try Comparison(rows)
    #expect(comparison.parts.count == 2)
    #expect(comparison.parts.map { $0.panel.title.hasSuffix("fast") } == [true, false])
    let text = comparison.text(of: .speedup)
    #expect(text.contains("25.0×") && text.contains("23.0×") && !text.contains("34.5×"), "\(text)")
  }

  @Test("the axis is whichever length varies, and titles tell the other")
  func eitherLengthMayVary() throws {
    let queries = try Comparison([64, 256, 1024].map { Self.row("full", $0, keys: 1024) })
    #expect(queries.parts.map(\.panel.lengths) == [[64, 256, 1024]])
    #expect(queries.parts[0].panel.title.contains("key length 1024"))
    #expect(queries.text(of: .time).contains("n = 64"))
    let keys = try Comparison([64, 256, 1024].map { Self.row("full", 64, keys: $0) })
    #expect(keys.parts.map(\.panel.lengths) == [[64, 256, 1024]])
    #expect(keys.parts[0].panel.title.contains("query length 64"))
    let product = try Comparison(
      [64, 256].flatMap { n in [64, 256].map { Self.row("full", n, keys: $0) } })
    #expect(product.parts.map(\.panel.lengths) == [[64, 256], [64, 256]])
    #expect(product.parts.flatMap(\.lines).flatMap(\.series.rows).count == 4)
    let mixed = try Comparison(
      [64, 256, 512].map { Self.row("full", $0) } + [Self.row("full", 8, keys: 4096)])
    #expect(mixed.parts.map(\.panel.lengths) == [[64, 256, 512], [8]])
  }

  @Test("a sweep names every one of its cells differently, in the forecast and in progress")
  func cellsHaveNamesOfTheirOwn() throws {
    let yaml = """
      n: [64, 256, 1024]
      key_length: [1024, 2048]
      variants: [full, {sliding-window: {left: [4, 8]}}]
      pass: [forward, decode]
      seed: [1, 2]
      precision: [float32, bfloat16]
      heads: [2, 4]
      """
    let cells = try Preset(yaml: yaml, file: "p.yaml", catalog: .standard, kinds: .standard).cells()
    let names = CellNames(cells)
    #expect(Set(cells.map { names[$0] }).count == cells.count)
    #expect(Set(cells.map(\.id)).count == cells.count)
    // What is the same everywhere is no part of a name.
    let few = try Preset(
      yaml: "n: 64\nvariants: full\nbatch: 3", file: "p.yaml", catalog: .standard, kinds: .standard
    ).cells()
    #expect(CellNames(few)[few[0]] == "full forward n=64")
  }

  @Test("equal rows count once; a commit, a host or a file tells apart those that differ; else it is said")
  func repeatedRows() throws {
    let first = Self.row("full", 256, seconds: 0.01)
    #expect(try Comparison([first, first]).text == Comparison([first]).text)
    var second = first
    second.secondsMedian = 0.02
    let said = try Comparison([first, second])
    #expect(said.parts[0].lines.map { $0.series.rows.map(\.secondsMedian) } == [[0.02]])
    #expect(
      said.notes == ["full forward n = 256: 2 rows of one identity differ in seconds_median; the last counts"]
    )
    second.commit = "abcdef0123456789"
    let commits = try Comparison([first, second])
    #expect(commits.parts[0].lines.map(\.series.label) == ["full", "full commit abcdef01"])
    // A run that went on with another commit is one series still.
    var later = Self.row("full", 512)
    later.commit = "abcdef0123456789"
    #expect(try Comparison([first, later]).parts[0].lines.map(\.series.label) == ["full"])
  }

  @Test("a training table given twice is no second seed; trainings of two machines are two lines")
  func trainingsGivenTwice() throws {
    func row(_ seed: Int, loss: Double) -> TrainingRow {
      var row = TrainingRow()
      (row.runID, row.task, row.attention, row.seed) = ("a\(seed)", "mqar", "full", seed)
      (row.status, row.evaluation, row.testLoss, row.machine) = (.ok, .test, loss, "one")
      return row
    }
    let rows = [row(1, loss: 2), row(2, loss: 3)]
    #expect(TrainingComparison(rows + rows).text == TrainingComparison(rows).text)
    let alone = TrainingComparison([rows[0], rows[0]])
    #expect(alone.lines.map(\.rows.count) == [1] && !alone.text.contains("± 0"))
    var other = rows[0]
    (other.testLoss, other.machine) = (2.5, "two")
    let machines = TrainingComparison([rows[0], other])
    #expect(machines.lines.map(\.label) == ["one", "two"])
    other.machine = "one"
    let contradiction = TrainingComparison([rows[0], other])
    #expect(contradiction.lines.map { $0.rows.map(\.testLoss) } == [[2.5]])
    #expect(contradiction.text.contains("2 rows of one identity differ in test_loss; the last counts"))
  }

  @Test("a metric is shown at the length that was asked for")
  func oneLength() throws {
    let rows = [64, 128, 256].map { Self.row("full", $0) }
    let comparison = try Comparison(rows, length: 128)
    let text = comparison.text(of: .time)
    #expect(text.contains("n = 128") && !text.contains("n = 64") && !text.contains("n = 256"), "\(text)")
    let one = try Regression(new: rows, old: rows, length: 128)
    #expect(one.lines.map(\.new.queryLength) == [128])
    #expect(throws: UsageError("--n 100: not measured; there are 64, 128, 256")) {
      try Comparison(rows, length: 100)
    }
  }

  @Test("rows of an older file get the machine and the commit of the record beside it, else the file's name")
  func originOfOlderRows() throws {
    let folder = NSTemporaryDirectory() + "attnlab-origin-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var row = Self.row("full", 256, machine: "")
    row.startedAt = "2026-01-02T00:00:00Z"
    for name in ["a", "b"] {
      try FileManager.default.createDirectory(atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
      try RowWriter(path: "\(folder)/\(name)/measurements.csv", of: MeasurementRow.self).append(row)
    }
    let files = ["\(folder)/a", "\(folder)/b"]
    let unknown = try MeasurementExperiment.rows(of: files)
    #expect(unknown.map(\.machine) == files.map { "machine of \($0)/measurements.csv" })
    #expect(try Comparison(unknown).parts.count == 2)
    #expect(try MeasurementExperiment.rows(of: [files[0]]).map(\.machine) == [""])
    let record = """
      {"machine": {"processor": "Abacus", "processors": 2, "instruction_sets": ["portable"]}, "sessions": [
        {"started_at": "2026-01-01T00:00:00Z", "commit": "aaaa"},
        {"started_at": "2026-01-03T00:00:00Z", "commit": "bbbb"}]}
      """
    try Data(record.utf8).write(to: URL(fileURLWithPath: "\(folder)/a/environment.json"))
    let known = try MeasurementExperiment.rows(of: [files[0]])
    #expect(known.map(\.machine) == ["Abacus, 2 processors, portable"] && known.map(\.commit) == ["aaaa"])
  }

  @Test("a table from before some columns gets them when rows are added, and keeps columns that are not ours")
  func olderTablesGrow() throws {
    let path = NSTemporaryDirectory() + "attnlab-\(UUID().uuidString).csv"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let header = "variant,pass,query_length,status,seconds_median,note"
    try Data("\(header)\nfull,forward,8,ok,0.5,mine\n".utf8).write(to: URL(fileURLWithPath: path))
    // What every row needs cannot be added to rows that are there.
    let error = #expect(throws: UsageError.self) { _ = try RowWriter(path: path, of: MeasurementRow.self) }
    #expect(error?.description.contains("no column batch, which every row needs") == true)
    let shape = ",batch,query_heads,key_heads,key_length,head_dim,value_dim,causal,threads"
    let old = "\(header)\(shape)\nfull,forward,8,ok,0.5,mine,1,1,1,8,64,64,false,2\n"
    try Data(old.utf8).write(to: URL(fileURLWithPath: path))
    try RowWriter(path: path, of: MeasurementRow.self).append(Self.row("lsh", 16))
    let rows = try MeasurementRow.read(path)
    #expect(rows.map(\.variant) == ["full", "lsh"] && rows.map(\.queryLength) == [8, 16])
    #expect(rows.map(\.secondsMedian) == [0.5, 0.01])
    #expect(try CSVTable(contentsOf: path).strings("note") == ["mine", ""])
  }
}
