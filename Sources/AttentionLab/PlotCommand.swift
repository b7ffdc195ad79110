import Analysis
import ArgumentParser
import AttentionCore
import Basics
import Commands
import Figures
import Foundation
import Pages
import Presets
import Processes
import Records

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
  var baseline = ResultsQuestion.baselines

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
    Installed.kinds.read(in: csv).forEach { files.read($0) }
    if let out {
      files.draw(out, "--out")
    } else {
      let kind = try kind, folder = folder(of: kind)
      let names = drawsColumns ? [y.map(ColumnPlot.fileName) ?? "column"] : kind.pictureNames(question)
      for name in names { files.draw("\(folder)/\(name).svg") }
    }
    return files
  }

  private var kind: any ExperimentKind.Type {
    get throws { Installed.kinds.kind(of: csv, dialect: try reading.dialect()) }
  }

  /// Columns that the user names, rather than what the kind of results shows of itself.
  private var drawsColumns: Bool { x != nil || y != nil || by != nil || filter != nil || !define.isEmpty }

  private var question: ResultsQuestion {
    var question = ResultsQuestion()
    (question.baseline, question.metric, question.pass) = (baseline, metric == .time ? nil : metric, pass)
    return question
  }

  /// Where pictures go when nothing else is said: beside the file, or, of a pipe, into the working folder.
  private func folder(of kind: any ExperimentKind.Type) -> String {
    let file = kind.file(in: csv)
    return InputFile.isPipe(file)
      ? "." : URL(fileURLWithPath: file).deletingLastPathComponent().relativePath
  }

  func run() async throws {
    if let out { try Gnuplot.checkExtension(of: out, "--out") }
    let kind = try kind
    let pictures = try drawsColumns ? [columns(of: kind)] : pictures(of: kind)
    var written: [[String]] = []
    for (name, figure) in pictures.prefix(out == nil ? pictures.count : 1) {
      written.append(try await Gnuplot.draw(figure, to: out ?? "\(folder(of: kind))/\(name).svg"))
    }
    show(written)
    if !json, written.count == 1 {
      Terminal.note("beside it: \(written[0].dropFirst().joined(separator: ", "))")
    }
  }

  /// What the user names.
  private func columns(of kind: any ExperimentKind.Type) throws -> (name: String, figure: Figure) {
    if filter != nil || !define.isEmpty, x == nil || y == nil {
      throw UsageError("--\(filter == nil ? "define" : "where"): it goes with --x and --y")
    }
    guard let x, let y else { throw UsageError("--x and --y: both are needed to draw columns") }
    var request = ColumnPlot.Request(x: x, y: y, by: by, title: title ?? "", fits: fit)
    (request.filter, request.definitions, request.logarithmic) = (filter, define, log)
    let table = try CSVTable(contentsOf: kind.file(in: csv), dialect: reading.dialect())
    request.timeColumns = Installed.kinds.timeColumns(table.header)
    request.trainings = trainings(beside: kind.file(in: csv))
    let figure = try ColumnPlot.figure(table, request) { Terminal.complain("warning: \($0)") }
    return (ColumnPlot.fileName(of: y), figure)
  }

  /// The `runs.csv` beside a table, such as `curves.csv`, whose rows name their training by `run_id` alone.
  private func trainings(beside file: String) -> CSVTable? {
    guard !InputFile.isPipe(file) else { return nil }
    let runs = URL(fileURLWithPath: file).deletingLastPathComponent().appendingPathComponent("runs.csv").path
    return runs == URL(fileURLWithPath: file).path
      ? nil : try? CSVTable(contentsOf: runs, dialect: CSVDialect())
  }

  /// What results of a kind show of themselves.
  private func pictures<Kind: ExperimentKind>(
    of kind: Kind.Type
  ) throws -> [(name: String, figure: Figure)] {
    try kind.check(question.parts, of: csv)
    let file = kind.file(in: csv)
    let rows = try kind.rows(of: [file], dialect: reading.dialect())
    let pictures = try kind.pictures(of: rows, in: file, question)
    guard !pictures.isEmpty else {
      throw UsageError("\(file): no law and no curve to draw; --x and --y draw any two columns")
    }
    return pictures.map { picture in
      var figure = fit ? picture.figure : picture.figure.withoutLaws
      figure.title = title ?? figure.title
      return (picture.name ?? "picture", figure)
    }
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
}
