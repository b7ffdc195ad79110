import Basics
import Foundation
import Testing

@testable import Analysis
@testable import Figures
@testable import Measuring
@testable import Presets
@testable import Records
@testable import Trainings

/// Every column of every table set to extremes, and read by everything that reads tables: nothing traps, and what is
/// refused is refused with its place.
@Suite struct ExtremeColumnsTests {
  private static let extremes = [
    "nan", "-inf", "1e19", "1e308", "-1e308", "5e-324", "1e-300", "1e60", "9223372036854775807",
    "-9223372036854775808", "", "0x1p3", "infinity", "9007199254740992", "9007199254740993",
    "18446744073709551615", "0", "-1", "1e15",
    "true", "x", "a;b=;=c", String(repeating: "9", count: 400), "\u{1B}[31m",
  ]
  /// What a text may be tells little of numbers.
  private static let texts = ["9223372036854775807", "a;b=;=c", "\u{1B}[31m"]
  /// Extremes that some column takes, for what is slow.
  private static let taken = ["0", "9007199254740992", "1e60", "1e-300"]

  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("results/published").path

  private static let tables = ResultTables(ExperimentCatalog.standard.types.flatMap { $0.tables }).tables

  /// A table with one cell changed, or all cells of a column.
  private static func changed(_ table: CSVTable, _ column: String, _ value: String, only row: Int?) throws
    -> CSVTable
  {
    let index = try table.index(of: column)
    var rows = table.rows
    for place in rows.indices where row == nil || row == place { rows[place][index] = value }
    return try CSVTable(
      text: ([table.header] + rows).map(CSVTable.line).joined(), file: table.file)
  }

  /// Reads by `read`, and by `use` what was read; an error must name the column.
  private func probe<Row>(
    _ table: CSVTable, _ column: String, _ read: (CSVTable) throws -> [Row], use: ([Row]) throws -> Void
  ) throws -> Bool {
    var accepted = false
    let isText = Self.tables.contains { $0.columns.contains { $0.name == column && $0.type == "text" } }
    for value in isText ? Self.texts : Self.extremes {
      for row in [nil, 0] {
        let table = try Self.changed(table, column, value, only: row)
        do {
          let rows = try read(table)
          accepted = true
          try use(rows)
        } catch let error as UsageError {
          // The field itself is named, or, by what compares rows, what is missing then.
          let isNamed =
            error.description.contains("column \(column): ") || error.description.hasPrefix("--")
          #expect(isNamed && !error.description.contains("\n"), "\(column) = \(value): \(error)")
          #expect(error.description.utf8.count < 400)
          #expect(!error.description.unicodeScalars.contains { $0.value < 0x20 })
        }
      }
    }
    return accepted
  }

  /// Columns that laws are fitted to. Elsewhere the tables are too short for one, which saves the time of the fits.
  private static let fitted: Set = [
    "query_length", "key_length", "seconds_median", "workspace_bytes", "memory_bytes", "parameters", "tokens",
    "compute_flops", "test_loss", "optimal_loss", "entropy_rate",
  ]

  /// Lengths of two variants: four where laws are fitted.
  private static func measurements(_ column: String = "") throws -> CSVTable {
    let lengths = fitted.contains(column) ? [256, 512, 1024, 2048] : [256, 512]
    let all = try CSVTable(contentsOf: folder + "/quickstart/measurements.csv")
    let rows = try MeasurementRow.read(all)
    let kept = zip(rows, all.rows).filter { row, _ in
      row.pass == .forward && ["full", "lsh"].contains(row.variant)
        && lengths.contains(row.keyLength ?? 0)
    }
    // The columns of today.
    let fields = kept.map { row, _ -> [String] in
      var row = row
      (row.machine, row.host, row.commit, row.stateBytes) = ("m", "h", "c", 1)
      return row.fields
    }
    return try CSVTable(
      text: ([MeasurementRow.columns] + fields).map(CSVTable.line).joined(), file: "measurements.csv")
  }

  @Test("measurements.csv", arguments: MeasurementRow.columns)
  func measurements(_ column: String) throws {
    let table = try Self.measurements(column)
    let plain = try MeasurementRow.read(table)
    _ = try probe(table, column, MeasurementRow.read) { rows in
      let comparison = try Comparison(rows)
      _ = comparison.text + comparison.json.pretty
      for metric in Metric.allCases { _ = comparison.text(of: metric) }
      let figure = MeasurementPlot.figure(comparison, .time)
      _ = figure.script(output: "a.svg", dataFile: "a.dat", canvas: .png) + figure.data
      for (new, old) in [(rows, plain), (plain, rows), (rows, rows)] {
        for metric in Metric.allCases where metric != .speedup {
          _ = try Regression(new: new, old: old, metric: metric).text
        }
      }
      let names = CellNames(rows)
      _ = rows.map { names[$0] + $0.json.pretty }
    }
    try page(table, named: "measurements.csv", column) {
      try Report(folders: [$0], kinds: .standard).page([], nil)
    }
    try draw(table, column)
  }

  /// Seven sizes and one held out where laws are fitted, else three.
  private static func trainings(_ column: String = "") throws -> CSVTable {
    let most = fitted.contains(column) ? 8 : 3
    let all = try CSVTable(contentsOf: folder + "/scaling-parameters/runs.csv")
    let fields = try TrainingRow.read(folder + "/scaling-parameters/runs.csv").filter { $0.seed == 1 }.prefix(
      most
    ).map {
      row -> [String] in
      var row = row
      (row.machine, row.host, row.commit) = ("m", "h", "c")
      return row.fields
    }
    #expect(!all.rows.isEmpty)
    return try CSVTable(
      text: ([TrainingRow.columns] + fields).map(CSVTable.line).joined(), file: "runs.csv")
  }

  @Test("runs.csv", arguments: TrainingRow.columns)
  func trainings(_ column: String) throws {
    let table = try Self.trainings(column)
    let curves = try CurveRow.read(Self.folder + "/scaling-parameters/curves.csv")
    _ = try probe(table, column, { try TrainingRow.rows(of: $0) }) { rows in
      let comparison = TrainingComparison(rows)
      _ = comparison.text + comparison.json.pretty
      for item in TrainingPlot.pictures(comparison, curves: curves) {
        _ = item.figure.script(output: "a.svg", dataFile: "a.dat", canvas: .png) + item.figure.data
      }
      _ = TrainingSweep(comparison)
    }
    try page(table, named: "runs.csv", column) { try Report(folders: [$0], kinds: .standard).page([], nil) }
    try draw(table, column)
  }

  @Test("curves.csv", arguments: CurveRow.columns)
  func curves(_ column: String) throws {
    // The columns of today.
    let fields = try CurveRow.read(Self.folder + "/scaling-parameters/curves.csv").map(\.fields)
    let table = try CSVTable(
      text: ([CurveRow.columns] + fields).map(CSVTable.line).joined(), file: "curves.csv")
    let comparison = TrainingComparison(
      try TrainingRow.read(Self.folder + "/scaling-parameters/runs.csv"))
    _ = try probe(table, column, { try CurveRow.rows(of: $0) }) { rows in
      for item in TrainingPlot.pictures(comparison, curves: rows) { _ = item.figure.data }
    }
    try draw(table, column)
  }

  @Test("steps.csv", arguments: StepRow.columns)
  func steps(_ column: String) throws {
    let runs = try TrainingRow.read(Self.folder + "/scaling-parameters/runs.csv")
    let comparison = TrainingComparison(Array(runs.filter(\.isTraining).prefix(1)))
    let id = try #require(comparison.rows.first?.runID)
    let curves = try CurveRow.read(Self.folder + "/scaling-parameters/curves.csv").filter { $0.runID == id }
    let fields = (1...400).map { step -> [String] in
      var row = StepRow()
      (row.runID, row.step, row.tokens, row.loss) = (id, step, 8 * step, 1 / Double(step))
      (row.learningRate, row.gradientNorm, row.seconds) = (1e-3, 1, Double(step))
      return row.fields
    }
    let table = try CSVTable(
      text: ([StepRow.columns] + fields).map(CSVTable.line).joined(), file: "steps.csv")
    _ = try probe(table, column, { try StepRow.rows(of: $0) }) { rows in
      for item in TrainingPlot.pictures(comparison, curves: curves, steps: rows) { _ = item.figure.data }
    }
    try draw(table, column)
  }

  @Test("fits.csv", arguments: FitRow.columns)
  func fits(_ column: String) throws {
    let table = try CSVTable(contentsOf: Self.folder + "/chinchilla/fits.csv")
    _ = try probe(table, column, { try FitRow.rows(of: $0) }) { rows in _ = rows.map(\.json.pretty) }
    try draw(table, column)
  }

  /// The report of a folder that holds the changed table.
  private func page(
    _ table: CSVTable, named name: String, _ column: String, _ write: (String) throws -> String
  ) throws {
    let folder = NSTemporaryDirectory() + "attnlab-extremes-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for value in Self.taken {
      let changed = try Self.changed(table, column, value, only: 1)
      let text = ([changed.header] + changed.rows).map(CSVTable.line).joined()
      try Data(text.utf8).write(to: URL(fileURLWithPath: "\(folder)/\(name)"))
      do { #expect(try write(folder).hasPrefix("<!doctype html>")) } catch is UsageError {}
    }
  }

  /// `plot --x … --y …`, with the changed column on either axis.
  private func draw(_ table: CSVTable, _ column: String) throws {
    let other = table.header.first { $0 == "seconds" || $0 == "seconds_median" || $0 == "value" }
    for value in Self.extremes {
      let changed = try Self.changed(table, column, value, only: 1)
      for (x, y) in [(column, other ?? column), (other ?? column, column)] {
        guard let figure = try? ColumnPlot.figure(changed, .init(x: x, y: y)) else { continue }
        _ = figure.script(output: "a.svg", dataFile: "a.dat", canvas: .png) + figure.data
      }
    }
  }

  @Test(
    "quantities of any size have words",
    arguments: [
      0, 1, -1, 1e15, -1e15, 1e19, 1e30, 1e300, -1e300, .infinity, -.infinity, .nan, .leastNonzeroMagnitude,
      .greatestFiniteMagnitude,
    ] as [Double])
  func quantities(_ value: Double) {
    for text in [
      Quantity.describe(bytes: value), Quantity.describe(seconds: value), Quantity.significant(value, 3),
      Quantity.whole(value), Growth.decimals(value), Metric.speedup.describe(value),
    ] { #expect(!text.isEmpty) }
  }

  @Test(
    "what does not exist is refused with its place and what is allowed",
    arguments: [
      (
        "status", "fine",
        "one of ok, out_of_memory, timeout, crashed, killed, failed_check, unsupported, error"
      ),
      ("pass", "sideways", "one of forward, backward, decode"),
      ("precision", "float16", "one of float32, bfloat16"), ("isa", "sse", "one of "),
      ("fraction_of_peak", "7", "a fraction from 0 to 2"),
      ("fraction_of_peak", "-0.1", "a fraction from 0 to 2"),
      ("seconds_median", "1e308", "a number of at most 1e+60"),
      ("workspace_bytes", "9223372036854775807", "a whole number of at most 9007199254740992"),
      ("causal", "maybe", "true or false"), ("seed", "-1", "a whole number"),
    ])
  func refusals(_ column: String, _ value: String, _ allowed: String) throws {
    let table = try Self.changed(Self.measurements(), column, value, only: 2)
    let error = #expect(throws: UsageError.self) { try MeasurementRow.read(table) }
    let beginning = "measurements.csv:4: column \(column): \(value) is not \(allowed)"
    #expect(error?.description.hasPrefix(beginning) == true, "\(String(describing: error))")
  }

  @Test(
    "of trainings likewise",
    arguments: [
      ("status", "done", "one of ok, error"), ("evaluation", "best", "one of test, changed"),
      ("test_accuracy", "1.5", "a fraction from 0 to 1"), ("test_count", "1e19", "a whole number of at most"),
      ("parameters", "nan", "a whole number of at least 1"), ("held_out", "perhaps", "true or false"),
    ])
  func trainingRefusals(_ column: String, _ value: String, _ allowed: String) throws {
    let table = try Self.changed(Self.trainings(), column, value, only: 2)
    let error = #expect(throws: UsageError.self) { try TrainingRow.rows(of: table) }
    let beginning = "runs.csv:4: column \(column): \(value) is not \(allowed)"
    #expect(error?.description.hasPrefix(beginning) == true, "\(String(describing: error))")
  }
}
