import Analysis
import ArgumentParser
import AttentionCore
import Basics
import Figures
import Foundation
import Processes
import Records
import Trainings

/// `attnlab plot`: curves with their laws, from any results file.
struct PlotCommand: AsyncParsableCommand, FileCommand {
  static let configuration = CommandConfiguration(
    commandName: "plot",
    abstract:
      "Draw curves with fits and bands; SVG, PNG or PDF, with gnuplot script and data beside.",
    discussion: HelpText.page(
      """
      Of measurements.csv a metric is drawn over the length, a panel a pass; of runs.csv the laws, evaluations and
      curves, each a file. Of any other file --x and --y say what; axes are logarithmic, but for a loss over steps,
      tokens or time, or as --log says. Laws are fitted where both axes are logarithmic.
      """,
      examples: [
        "attnlab plot results/quickstart/measurements.csv",
        "attnlab plot results/quickstart --metric memory --pass forward --out memory.png",
        "attnlab plot runs.csv --x compute_flops --y test_loss --by attention --out loss.pdf",
      ]))

  @Argument(help: "A CSV file, or a folder with measurements.csv.")
  var csv: String

  @Option(help: "The file to draw: .svg, .png or .pdf. Default: <metric>.svg beside the CSV.")
  var out: String?

  @Option(help: "Of measurements: what is drawn.")
  var metric = Metric.time

  @Option(help: "Of measurements: only this pass.")
  var pass: PassKind?

  @Option(help: "Of measurements: the variant that speed-ups refer to.")
  var baseline = "full"

  @Option(help: "The column of the variable, or a formula over columns.")
  var x: String?

  @Option(help: "The column of the value, or a formula over columns.")
  var y: String?

  @Option(help: "The column that tells curves apart, or a formula over columns.")
  var by: String?

  @Option(name: .customLong("where"), help: "With --x and --y: rows to keep, as in attnlab fit.")
  var filter: String?

  @Option(help: "With --x and --y: a derived column, NAME=FORMULA (repeatable).")
  var define: [String] = []

  @Option(help: "With --x and --y: the axes that are logarithmic.")
  var log: ColumnPlot.Request.Logarithmic?

  @OptionGroup(title: "How the file is written") var reading: CSVReadingOptions

  @Option(help: "A title.")
  var title: String?

  @Flag(inversion: .prefixedNo, help: "Fit a·x^b + c to every curve.")
  var fit = true

  @Flag(help: "Print the files that were written as JSON.")
  var json = false

  func files() throws -> CommandFiles {
    var files = CommandFiles()
    ResultFiles.read(in: csv).forEach { files.read($0) }
    if let out {
      files.draw(out, "--out")
    } else if try drawsTrainings {
      for name in TrainingPlot.names { files.draw("\(try folder)/\(name).svg") }
    } else {
      files.draw("\(try folder)/\(ColumnPlot.fileName(of: y ?? metric.rawValue)).svg")
    }
    return files
  }

  /// All figures of trainings, rather than the columns that the user names.
  private var drawsTrainings: Bool {
    get throws {
      try x == nil && y == nil && by == nil && filter == nil && define.isEmpty && holdsTrainings
    }
  }

  private var holdsTrainings: Bool {
    get throws { try TrainingFiles.isTrainings(csv, dialect: reading.dialect()) }
  }

  /// The table.
  private var file: String {
    get throws { try holdsTrainings ? TrainingFiles.file(csv) : ResultFiles.file(csv) }
  }

  /// Where pictures go when nothing else is said: beside the file, or, of a pipe, into the working folder.
  private var folder: String {
    get throws {
      let file = try file
      return InputFile.isPipe(file)
        ? "." : URL(fileURLWithPath: file).deletingLastPathComponent().relativePath
    }
  }

  func run() async throws {
    if try drawsTrainings { return try await drawTrainings() }
    let file = try file, folder = try folder
    let written: [String]
    if filter != nil || !define.isEmpty, x == nil || y == nil {
      throw UsageError("--\(filter == nil ? "define" : "where"): it goes with --x and --y")
    }
    if x != nil || y != nil || by != nil {
      guard let x, let y else { throw UsageError("--x and --y: both are needed to draw columns") }
      var request = ColumnPlot.Request(x: x, y: y, by: by, title: title ?? "", fits: fit)
      (request.filter, request.definitions, request.logarithmic) = (filter, define, log)
      let table = try CSVTable(contentsOf: file, dialect: reading.dialect())
      let figure = try ColumnPlot.figure(table, request) { Terminal.complain("warning: \($0)") }
      written = try await Gnuplot.draw(figure, to: out ?? "\(folder)/\(ColumnPlot.fileName(of: y)).svg")
    } else {
      let rows = try ResultFiles.rows([file], dialect: reading.dialect())
      let comparison = try Comparison(
        rows, baseline: baseline, pass: CompareCommand.pass(pass, in: rows))
      written = try await MeasurementPlot.draw(
        comparison, metric, to: out ?? "\(folder)/\(metric.rawValue).svg", title: title, fits: fit)
    }
    show([written])
    if !json { Terminal.note("beside it: \(written.dropFirst().joined(separator: ", "))") }
  }

  /// The pictures, each the first of the files that were written for it.
  private func show(_ written: [[String]]) {
    guard json else {
      for files in written { print(files[0]) }
      return
    }
    let plots = written.map { files in
      JSONValue.object([
        "plot": .string(files[0]), "beside": .array(files.dropFirst().map { .string($0) }),
      ])
    }
    print(JSONValue.object(["plots": .array(plots)]).pretty)
  }

  /// All figures that trainings allow, beside the CSV, or the first into `--out`.
  private func drawTrainings() async throws {
    let file = try file, folder = try folder
    let curves = folder + "/curves.csv"
    let items = TrainingPlot.items(
      TrainingComparison(try ResultFiles.trainings([file], dialect: reading.dialect())),
      curves: FileManager.default.fileExists(atPath: curves) ? try CurveRow.read(curves) : nil)
    guard let first = items.first else {
      throw UsageError("\(file): no law and no curve to draw; --x and --y draw any two columns")
    }
    var written: [[String]] = []
    if let out {
      written.append(try await Gnuplot.draw(first.figure, to: out))
    } else {
      for item in items {
        written.append(try await Gnuplot.draw(item.figure, to: "\(folder)/\(item.name).svg"))
      }
    }
    show(written)
  }
}
