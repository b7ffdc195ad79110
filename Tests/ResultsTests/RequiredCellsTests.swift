import Basics
import Foundation
import Testing

@testable import Measuring
@testable import Presets
@testable import Records

/// Cells that a row needs, emptied one by one, in every table and in the JSON of a cell.
@Suite struct RequiredCellsTests {
  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("results/published").path

  private static func needed<Row: Record>(_ type: Row.Type) -> [String] {
    Row.schema.filter { $0.need != .never }.map(\.name)
  }

  /// A table of rows with one cell of its second row changed.
  private static func table<Row: Record>(_ rows: [Row], _ column: String, _ value: String) throws -> CSVTable
  {
    var fields = rows.map(\.fields)
    fields[1][try #require(Row.columns.firstIndex(of: column))] = value
    return try CSVTable(text: ([Row.columns] + fields).map(CSVTable.line).joined(), file: "t.csv")
  }

  /// Reads what is left when a cell is emptied: its place, and what it takes.
  private func refuses<Row: Record>(_ rows: [Row], _ column: String, _ value: String = "") throws {
    let field = try #require(Row.schema.first { $0.name == column })
    let error = #expect(throws: UsageError.self) {
      try Row.rows(of: Self.table(rows, column, value))
    }
    let said = value.isEmpty ? "the cell is empty; it takes \(field.allowed)" : "\(value) is not "
    #expect(
      error?.description.hasPrefix("t.csv:3: column \(column): \(said)") == true,
      "\(String(describing: error))")
  }

  private static func measurements() throws -> [MeasurementRow] {
    Array(try MeasurementRow.read(folder + "/quickstart/measurements.csv").prefix(3))
  }

  private static func trainings() throws -> [TrainingRow] {
    Array(try TrainingRow.read(folder + "/scaling-parameters/runs.csv").prefix(3))
  }

  @Test(
    "what tells a measurement from others and how it ended cannot be empty",
    arguments: needed(MeasurementRow.self))
  func emptyMeasurements(_ column: String) throws { try refuses(Self.measurements(), column) }

  @Test("nor what tells a training from others", arguments: needed(TrainingRow.self))
  func emptyTrainings(_ column: String) throws { try refuses(Self.trainings(), column) }

  @Test("nor the training and the step of a point of a curve", arguments: needed(CurveRow.self))
  func emptyCurves(_ column: String) throws {
    try refuses(Array(CurveRow.read(Self.folder + "/scaling-parameters/curves.csv").prefix(3)), column)
  }

  @Test("nor the training and the number of a step", arguments: needed(StepRow.self))
  func emptySteps(_ column: String) throws {
    let rows = (1...3).map { step in
      var row = StepRow()
      (row.runID, row.step, row.tokens, row.loss) = ("a", step, 8 * step, 1 / Double(step))
      return row
    }
    try refuses(rows, column)
  }

  @Test("nor the form, the parameter and the counts of a fit", arguments: needed(FitRow.self))
  func emptyFits(_ column: String) throws {
    let table = try CSVTable(contentsOf: Self.folder + "/chinchilla/fits.csv")
    try refuses(FitRow.rows(of: table), column)
  }

  @Test("the cells of an issue are among them")
  func namedOnes() {
    #expect(
      Set(Self.needed(MeasurementRow.self)).isSuperset(of: [
        "pass", "query_length", "head_dim", "variant", "status", "key_length", "threads", "batch",
      ]))
    #expect(
      Set(Self.needed(TrainingRow.self)).isSuperset(of: ["run_id", "status", "isa", "evaluation", "task"]))
  }

  @Test(
    "sizes are at least 1, and numbers are written as everywhere else",
    arguments: [
      ("threads", "0"), ("batch", "0"), ("query_length", "0"), ("key_length", "0"), ("head_dim", "0"),
      ("density", "9.2e18"), ("density", "-1"), ("seconds_median", "0x1p3"), ("seconds_median", "infinity"),
      ("seconds_median", "1_000"), ("causal", "1"), ("threads", "0x1p1"), ("gflops", "nan"),
    ])
  func bounds(_ column: String, _ value: String) throws { try refuses(Self.measurements(), column, value) }

  @Test(
    "a value has one meaning in YAML, in a table and in JSON",
    arguments: [
      ("1e3", 1000), ("1000.0", 1000), ("0x3E8", 1000), ("+1000", 1000), ("1_000", nil), ("0x1p3", nil),
    ])
  func oneGrammar(_ text: String, _ value: Int?) throws {
    let table = try Self.table(Self.measurements(), "threads", text)
    #expect((try? MeasurementRow.rows(of: table))?[1].threads == value)
    let yaml = "n: 64\nthreads: 1\nhead_dim: \(text)\nvariants: [full]\n"
    let cells = try? Preset(yaml: yaml, file: "p.yaml", catalog: .standard, kinds: .standard).cells()
    #expect(cells?.first?.headDim == value)
    #expect(CSVTable.number(text) == value.map { Double($0) })
    #expect((value == nil) == (cells == nil))
  }

  @Test("a row that failed needs no time, and a training that failed none of its results")
  func failures() throws {
    var row = try Self.measurements()[0]
    (row.status, row.secondsMedian) = (.crashed, nil)
    #expect(try MeasurementRow.rows(of: Self.table([row, row], "reason", "x")).count == 2)
    var training = TrainingRow()
    (training.runID, training.task, training.seed, training.status) = ("a", "mqar", 1, .error)
    training.evaluation = .test
    #expect(try TrainingRow.rows(of: Self.table([training, training], "reason", "x")).count == 2)
  }

  @Test("a column that a table does not have is not asked for: older tables are read")
  func olderTables() throws {
    var table = try Self.table(Self.measurements(), "reason", "")
    let kept = table.header.indices.filter { table.header[$0] != "threads" }
    let text = ([table.header] + table.rows).map { row in CSVTable.line(kept.map { row[$0] }) }.joined()
    table = try CSVTable(text: text, file: "t.csv")
    #expect(try MeasurementRow.rows(of: table).allSatisfy { $0.threads == nil })
  }

  @Test("a cell in JSON has all that a measurement needs", arguments: needed(Cell.self))
  func cells(_ key: String) throws {
    let cell = Cell(variant: "full", queryLength: 64)
    #expect(try Cell(json: cell.json, place: "cell") == cell)
    let members = cell.json.members
    let without = members.filter { $0.key != key }
    for value in [nil, JSONValue.null, .string(""), .array([]), .array([.int(1)])] {
      let changed = without + (value.map { [JSONValue.Member(key: key, value: $0)] } ?? [])
      let error = #expect(throws: UsageError.self, "\(String(describing: value))") {
        try Cell(json: .object(changed), place: "cell")
      }
      #expect(error?.description.hasPrefix("cell: \(key): ") == true, "\(String(describing: error))")
    }
  }

  @Test("two ways to write a setting are one training, and one cell")
  func oneIdentity() throws {
    func jobs(_ steps: String) throws -> [String] {
      let yaml = "experiment: training\ntask: mqar\ntraining: {steps: \(steps)}\n"
      return try Preset(yaml: yaml, file: "p.yaml", catalog: .standard, kinds: .standard).trainings.map(\.id)
    }
    #expect(try jobs("1000") == jobs("1e3") && jobs("1000") == jobs("1000.0"))
    #expect(try jobs("1000") != jobs("1001"))
    func cells(_ left: String) throws -> [String] {
      let yaml = "n: 64\nvariants: [sliding-window: {left: \(left)}]\n"
      return try Preset(yaml: yaml, file: "p.yaml", catalog: .standard, kinds: .standard).cells().map(\.id)
    }
    #expect(try cells("1000") == cells("1e3"))
  }

  @Test("what a preset gets wrong is shown bounded and without control characters")
  func longValues() throws {
    let long = String(repeating: "x", count: 10_000)
    for text in [long, "\\e[31m\\x07" + long] {
      let quoted = "\"\(text)\""
      for yaml in [
        "n: \(quoted)\nvariants: [full]", "n: 64\nvariants: [\(quoted)]", "\(quoted): 1",
        "n: [64, \(quoted)]",
        "n: 64\nvariants: [full: \(quoted)]", "n: 64\nvariants: [full: {\(quoted): 1}]",
        "n: 64\nvariants: [lsh: {chunk: \(quoted)}]", "n: 64\nvariants: [lsh: {chunk: {a: \(quoted)}}]",
        "\(quoted): 1\n\(quoted): 2", "experiments: \(quoted)",
        "experiments: [{name: \(quoted), n: 1, variants: [full]}, {name: \(quoted), n: 1, variants: [full]}]",
        "experiment: training\ntask: \(quoted)", "experiment: training\ntask: mqar\nmodel: {\(quoted): 1}",
        "experiment: training\ntask: mqar\nmodel: {attention: \(quoted)}",
        "experiment: training\ntask: mqar\nmodel: {width: {a: \(quoted)}}",
        "experiment: training\ntask: mqar\npoints: [{\(quoted): 1}]",
        "experiment: training\ntask: mqar\npoints: [{\(quoted): []}]", "n: {<<: \(quoted)}", "n: *\(long)",
      ] {
        let error = #expect(throws: UsageError.self, "\(yaml.prefix(60))") {
          _ = try Preset(yaml: yaml, file: "p.yaml", catalog: .standard, kinds: .standard).cells()
        }
        let line = error?.description ?? ""
        #expect(line.count < 1000, "\(line.count) of \(yaml.prefix(60))")
        #expect(
          line.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }, "\(line.prefix(200))")
      }
    }
    for flag in [
      long, "\(long)=1", "n=\(long)", "\(long).a=1", "variants.\(long).a=1", "n=[\(long)",
      "experiments.\(long)=3",
    ] {
      let error = #expect(throws: UsageError.self, "\(flag.prefix(20))") {
        _ = try Preset(
          yaml: "n: 64\nvariants: [full]", file: "p.yaml", sets: [flag], catalog: .standard, kinds: .standard
        )
        .cells()
      }
      #expect((error?.description.count ?? 0) < 1000, "\(flag.prefix(20))")
    }
  }
}
