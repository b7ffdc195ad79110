import AttentionCore
import Basics
import Foundation
import Pages
import Presets
import Records
import Tensors
import Settings
import Trainings

/// What the performance preset found on one machine: a column of `Reference/figures.md`.
struct FiguresColumn {
  /// The folder's name.
  let name: String
  let environment: JSONValue
  let rows: [MeasurementRow]
  let trainings: [TrainingRow]
  let timings: [String: StepTiming]
  /// The figures of rows beside the limits that the folder's record holds.
  let bench: BenchTable

  init(
    name: String, environment: JSONValue, rows: [MeasurementRow], trainings: [TrainingRow] = [],
    timings: [String: StepTiming] = [:]
  ) {
    (self.name, self.environment, self.rows) = (name, environment, rows.filter { $0.status == .ok })
    (self.trainings, self.timings) = (trainings, timings)
    let bandwidth = Self.limits(environment, "bandwidth_gb_per_s")
    let reading = self.rows.compactMap { row in
      BenchTable.Reading(row).flatMap { read in bandwidth[read.threads].map { (read, $0) } }
    }
    bench = BenchTable(
      rows: self.rows, bandwidth: bandwidth, reading: Dictionary(reading) { first, _ in first }, targets: [:])
  }

  /// The column of a folder of results.
  init(folder: String) throws {
    let files = FileManager.default, runs = folder + "/" + TrainingExperiment.table
    let trainings = files.fileExists(atPath: runs) ? try TrainingRow.read(runs) : []
    self.init(
      name: URL(fileURLWithPath: folder).lastPathComponent,
      environment: try JSONValue(
        parsing: String(contentsOfFile: folder + "/environment.json", encoding: .utf8)),
      rows: try MeasurementRow.read(folder + "/measurements.csv"), trainings: trainings,
      timings: try TrainingExperiment.timings(of: trainings, in: folder))
  }

  // MARK: - The machine and the build

  var processor: String { environment["processor"].stringValue ?? "" }

  var instructionSet: String {
    switch environment["isa"].stringValue {
    case "avx512": "AVX-512"
    case "avx2": "AVX2"
    case let other: other ?? ""
    }
  }

  var processors: Int { environment["machine"]["processors"].wholeValue ?? 1 }

  /// When the first session began, ISO 8601.
  var startedAt: String { environment["sessions"].arrayValue.first?["started_at"].stringValue ?? "" }

  /// The day of it, `2026-11-21`.
  var date: String { String(startedAt.prefix(10)) }

  /// Seven digits of the commit, and whether sources had changed since.
  var commit: String {
    let whole = environment["commit"].stringValue ?? ""
    return String(whole.prefix(7)) + (whole.hasSuffix("+") ? ", changed since" : "")
  }

  /// The best that a session measured for float32, by threads.
  private static func limits(_ environment: JSONValue, _ key: String) -> [Int: Double] {
    var best: [Int: Double] = [:]
    for peak in environment["sessions"].arrayValue.flatMap({ $0["peaks"].arrayValue })
    where peak["precision"].stringValue ?? "float32" == "float32" && peak["isa"] == environment["isa"] {
      guard let threads = peak["threads"].wholeValue, let value = peak[key].numberValue else { continue }
      best[threads] = max(best[threads] ?? 0, value)
    }
    return best
  }

  /// A limit on one and on all threads, three digits each.
  func limits(_ key: String) -> String {
    let found = Self.limits(environment, key)
    return Set([1, processors]).sorted().compactMap { found[$0] }.map { Quantity.significant($0, 3) }
      .joined(separator: "; ")
  }

  // MARK: - Rows

  /// What rows are looked for by.
  struct Query {
    var experiment: String
    var variant = "full"
    var settings: [String: String] = [:]
    var pass = PassKind.forward
    var length: Int?
    var headDim: Int?
    var isCausal: Bool?
    var heads: Int?
    var batch: Int?
    var precision: Precision?
  }

  /// The rows of a query, the fewest threads first.
  func rows(_ query: Query) -> [MeasurementRow] {
    rows.filter { row in
      let own = Dictionary(
        CSVTable.settings(in: row.configuration).map { (Spelling.today($0.name), $0.value) }
      ) { first, _ in first }
      return row.experiment == query.experiment && row.variant == query.variant && row.pass == query.pass
        && query.settings.allSatisfy { own[$0.key] == $0.value }
        && (query.length ?? row.keyLength) == row.keyLength && (query.headDim ?? row.headDim) == row.headDim
        && (query.isCausal ?? row.causal) == row.causal && (query.heads ?? row.queryHeads) == row.queryHeads
        && (query.batch ?? row.batch) == row.batch && (query.precision ?? row.precision) == row.precision
    }.sorted { ($0.threads ?? 0) < ($1.threads ?? 0) }
  }

  /// Figures of rows, one a number of threads; where one and all threads are asked for and one of them alone is there, it
  /// says how many they are.
  func text(
    _ rows: [MeasurementRow], ofThreads wanted: FiguresPage.Threads,
    _ figure: (MeasurementRow) -> (text: String, unit: String)?
  ) -> String {
    let found = rows.compactMap { row in figure(row).map { (threads: row.threads ?? 1, $0.text, $0.unit) } }
    return Self.joined(found, wanted)
  }

  /// Texts of ascending numbers of threads in one cell.
  static func joined(
    _ found: [(threads: Int, text: String, unit: String)], _ wanted: FiguresPage.Threads
  ) -> String {
    guard let last = found.last else { return "" }
    let values = found.map(\.text).joined(separator: "; ") + last.unit
    return wanted == .oneAndAll && found.count == 1
      ? values + " (\(counted(last.threads, "thread")))" : values
  }

  /// The fraction of the limit in percent.
  func limit(_ row: MeasurementRow) -> (text: String, unit: String)? {
    bench.figures(of: row).fractionOfLimit.map(Self.percent)
  }

  /// The fraction of the peak on executed pairs.
  func executed(_ row: MeasurementRow) -> (text: String, unit: String)? {
    bench.figures(of: row).fractionExecuted.map(Self.percent)
  }

  /// The rate of executed pairs over that of another variant of the same experiment and pass.
  func executed(_ row: MeasurementRow, of reference: String) -> (text: String, unit: String)? {
    let base = rows.first {
      $0.experiment == row.experiment && $0.variant == reference && $0.pass == row.pass
        && $0.threads == row.threads
    }
    guard let own = bench.figures(of: row).fractionExecuted,
      let unit = base.flatMap({ bench.figures(of: $0).fractionExecuted }), unit > 0
    else { return nil }
    return Self.percent(own / unit)
  }

  static func percent(_ fraction: Double) -> (text: String, unit: String) {
    (String(format: "%.0f", 100 * fraction), " %")
  }
}
