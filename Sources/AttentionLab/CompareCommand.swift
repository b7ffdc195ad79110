import Analysis
import ArgumentParser
import AttentionCore
import Basics
import Foundation
import Processes
import Records
import Trainings

/// `attnlab compare`: variants side by side, or two runs against each other.
struct CompareCommand: AsyncParsableCommand, FileCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "Compare variants: time, fraction of peak, memory, error, speed-up, growth, crossovers.",
    discussion: HelpText.page(
      """
      Without --metric: all metrics at one length, the laws over the lengths, and what could not be measured.
      Several files (of this program or of peers with the same columns) are compared together.
      """,
      examples: [
        "attnlab compare results/quickstart/measurements.csv",
        "attnlab compare results/quickstart/measurements.csv --metric speedup --pass forward "
          + "--plot speed.svg",
        "attnlab compare new.csv --against old.csv --fail-above 1.10",
      ]))

  @Argument(help: "Results: measurements.csv or runs.csv files, or folders that hold one.")
  var csv: [String]

  @OptionGroup(title: "How the files are written") var reading: CSVReadingOptions

  @Option(help: "The variant that others are measured by.")
  var baseline = "full"

  @Option(help: "One metric over all lengths.")
  var metric: Metric?

  @Option(help: "Only this pass.")
  var pass: PassKind?

  @Option(help: "The length at which variants are compared. Default: the largest that most reached.")
  var n: Int?

  @Option(help: "Also draw the metric (default: time): a .svg, .png or .pdf file.")
  var plot: String?

  @Option(help: "An earlier run to compare with, cell by cell.")
  var against: String?

  @Option(help: "With --against: exit with 1 when a cell is worse by more than this factor.")
  var failAbove: Double?

  @Flag(help: "Print JSON.")
  var json = false

  func files() -> CommandFiles {
    var files = CommandFiles()
    for path in csv + [against].compactMap(\.self) { ResultFiles.read(in: path).forEach { files.read($0) } }
    files.draw(plot, "--plot")
    return files
  }

  func run() async throws {
    let dialect = try reading.dialect()
    if let first = csv.first, TrainingFiles.isTrainings(first, dialect: dialect) {
      return try await compareTrainings(dialect)
    }
    let rows = try ResultFiles.rows(csv, dialect: dialect)
    let pass = try Self.pass(pass, in: rows)
    guard let against else {
      if failAbove != nil { throw UsageError("--fail-above: it needs --against with the earlier run") }
      return try await compare(rows, metric, pass)
    }
    if let failAbove, !(failAbove > 0 && failAbove.isFinite) {
      throw UsageError("--fail-above \(failAbove): it takes a factor above 0, such as 1.10")
    }
    if plot != nil { throw UsageError("--plot: not together with --against") }
    let regression = try Regression(
      new: rows, old: ResultFiles.rows([against], dialect: dialect), metric: metric ?? .time, pass: pass,
      length: n)
    print(json ? regression.json.pretty : regression.text)
    if let failAbove {
      let failures = regression.failures(above: failAbove)
      if let first = failures.first {
        throw CheckFailure(
          "attnlab compare: \(failures.count) cells are worse by more than \(failAbove): \(first)"
            + (failures.count > 1 ? ", …" : ""))
      }
    }
  }

  private func compareTrainings(_ dialect: CSVDialect) async throws {
    let given: [(String, Bool)] = [
      ("--metric", metric != nil), ("--pass", pass != nil), ("--n", n != nil), ("--against", against != nil),
      ("--fail-above", failAbove != nil), ("--plot", plot != nil),
    ]
    if let option = given.first(where: \.1)?.0 {
      throw UsageError(
        "\(option): it is for measurements; \(csv[0]) holds trainings (see attnlab plot, attnlab fit)")
    }
    let comparison = TrainingComparison(
      try ResultFiles.trainings(csv.map(TrainingFiles.file), dialect: dialect))
    print(json ? comparison.json.pretty : comparison.text)
  }

  /// A pass, if any row has it.
  static func pass(_ pass: PassKind?, in rows: [MeasurementRow]) throws(UsageError) -> PassKind? {
    guard let pass, !rows.contains(where: { $0.pass == pass }) else { return pass }
    let passes = Set(rows.compactMap(\.pass?.rawValue)).sorted().joined(separator: ", ")
    throw UsageError("--pass \(pass.rawValue): not measured; there are \(passes)")
  }

  private func compare(_ rows: [MeasurementRow], _ metric: Metric?, _ pass: PassKind?) async throws {
    let comparison = try Comparison(rows, baseline: baseline, pass: pass, length: n)
    if json {
      print(comparison.json.pretty)
    } else {
      print(metric.map(comparison.text(of:)) ?? comparison.text)
    }
    if let plot {
      let drawn = try await MeasurementPlot.draw(comparison, metric ?? .time, to: plot)
      Terminal.note("wrote \(drawn.joined(separator: ", "))")
    }
  }
}
