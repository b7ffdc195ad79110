import ArgumentParser
import AttentionCore
import Basics
import Commands
import Figures
import Pages
import Presets
import Processes
import Records

/// `attnlab compare`: variants side by side, or two runs against each other.
struct CompareCommand: AsyncParsableCommand, FileCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "Compare variants: time, fraction of peak, memory, error, speed-up, growth, crossovers.",
    discussion: HelpText.page(
      """
      Without --metric: all metrics at one length, the laws over the lengths, and what could not be measured. The best of
      a column is marked, and what is not told apart from it.

      --pareto takes a column of the results, or error, loss, accuracy, seconds, memory, operations, speed. Runs that
      differ in their seed alone are one point.

      Several files (of this program or of peers with the same columns) are compared together.
      """,
      examples: [
        "attnlab compare results/quickstart/measurements.csv",
        "attnlab compare results/quickstart/measurements.csv --metric speedup --pass forward "
          + "--plot speed.svg",
        "attnlab compare results/quickstart --sort time --columns time,memory,error --format md",
        "attnlab compare results/quickstart --pareto error,seconds --plot pareto.svg",
        "attnlab compare new.csv --against old.csv --fail-above 1.10",
      ]))

  @Argument(help: "Results: measurements.csv or runs.csv files, or folders that hold one.")
  var csv: [String]

  @OptionGroup(title: "How the files are written") var reading: CSVReadingOptions

  @Option(help: "The variant that others are measured by.")
  var baseline = ResultsQuestion.baselines

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

  @Option(help: "Of measurements: sort lines by variant or a metric, the best first.")
  var sort: String?

  @Option(help: "Of measurements: the metrics to show at one length, separated by commas.")
  var columns: String?

  @Option(help: "How tables are written.")
  var format = TableFormat.text

  @Option(
    help:
      "Two quantities, such as error,seconds or loss,operations: what is best in one for each value of the other."
  )
  var pareto: String?

  @Flag(help: "Print JSON.")
  var json = false

  func files() -> CommandFiles {
    var files = CommandFiles()
    for path in csv + [against].compactMap(\.self) {
      Installed.kinds.read(in: path).forEach { files.read($0) }
    }
    files.draw(plot, "--plot")
    return files
  }

  func run() async throws {
    let dialect = try reading.dialect()
    try await compare(Installed.kinds.kind(of: csv.first ?? "", dialect: dialect), dialect)
  }

  private func compare<Kind: ExperimentKind>(_ kind: Kind.Type, _ dialect: CSVDialect) async throws {
    if let plot { try Gnuplot.checkExtension(of: plot, "--plot") }
    let question = try question(for: kind)
    let rows = try kind.rows(of: csv, dialect: dialect)
    guard let against else {
      let answer = try kind.comparison(of: rows, question)
      if format == .text || json {
        show(answer.text, or: answer.json, if: json)
      } else {
        // What other programs read is not folded.
        print(answer.text)
      }
      if let plot, let figure = answer.figure {
        let drawn = try await Gnuplot.draw(figure, to: plot)
        Terminal.note("wrote \(drawn.joined(separator: ", "))")
      }
      return
    }
    let answer = try kind.comparison(of: rows, against: kind.rows(of: [against], dialect: dialect), question)
    show(answer.text, or: answer.json, if: json)
    guard let failAbove else { return }
    let failures = answer.failures(failAbove)
    guard let first = failures.first else { return }
    throw CheckFailure(
      "attnlab compare: \(counted(failures.count, "cell")) \(failures.count == 1 ? "is" : "are") worse by more than \(failAbove): \(first)"
        + (failures.count > 1 ? ", …" : ""))
  }

  /// What is asked, after making sure that rows of the kind can answer it.
  private func question(for kind: any ExperimentKind.Type) throws -> ResultsQuestion {
    var question = ResultsQuestion()
    (question.baseline, question.metric, question.pass, question.length) = (baseline, metric, pass, n)
    (question.sort, question.format) = (sort, format)
    question.columns = try columns.map { text throws(UsageError) in try Metric.list(text, option: "--columns")
    }
    question.pareto = pareto?.split(separator: ",", omittingEmptySubsequences: false).map(\.trimmed)
    try checkTogether()
    let more: [(ResultsQuestion.Part, Bool)] = [
      (.against, against != nil), (.failAbove, failAbove != nil), (.plot, plot != nil && pareto == nil),
    ]
    try kind.check(question.parts + more.filter(\.1).map(\.0), of: csv[0])
    if failAbove != nil, against == nil {
      throw UsageError("--fail-above: it needs --against with the earlier run")
    }
    if let failAbove, !(failAbove > 0 && failAbove.isFinite) {
      throw UsageError("--fail-above \(failAbove): it takes a factor above 0, such as 1.10")
    }
    if plot != nil, against != nil { throw UsageError("--plot: not together with --against") }
    return question
  }
}

extension CompareCommand {
  /// Refuses options that leave nothing of each other.
  private func checkTogether() throws(UsageError) {
    let pairs: [(String, Bool, String, Bool)] = [
      ("--format", format != .text, "--json", json),
      ("--format", format != .text, "--against", against != nil),
      ("--columns", columns != nil, "--metric", metric != nil),
      ("--pareto", pareto != nil, "--against", against != nil),
      ("--pareto", pareto != nil, "--metric", metric != nil),
      ("--pareto", pareto != nil, "--sort", sort != nil),
      ("--pareto", pareto != nil, "--columns", columns != nil),
      ("--sort", sort != nil, "--against", against != nil),
      ("--columns", columns != nil, "--against", against != nil),
    ]
    if let (one, _, other, _) = pairs.first(where: { $0.1 && $0.3 }) {
      throw UsageError("\(one): not together with \(other)")
    }
  }
}

extension ExperimentKind {
  /// Refuses parts of a question that make no sense for rows of the kind.
  static func check(_ parts: [ResultsQuestion.Part], of file: String) throws(UsageError) {
    guard let part = parts.first(where: { !answers.contains($0) }) else { return }
    let able = Installed.kinds.types.filter { $0.answers.contains(part) }.map { $0.words.results }
    throw UsageError(
      "--\(part.rawValue): it is for \(able.joined(separator: " and ")); \(file) holds \(words.results) "
        + "(see attnlab plot, attnlab fit)")
  }
}
