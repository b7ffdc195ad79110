import ArgumentParser
import AttentionCore
import Basics
import Figures
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

  @Flag(help: "Print JSON.")
  var json = false

  func files() -> CommandFiles {
    var files = CommandFiles()
    for path in csv + [against].compactMap(\.self) {
      AttentionLab.kinds.read(in: path).forEach { files.read($0) }
    }
    files.draw(plot, "--plot")
    return files
  }

  func run() async throws {
    let dialect = try reading.dialect()
    try await compare(AttentionLab.kinds.kind(of: csv.first ?? "", dialect: dialect), dialect)
  }

  private func compare<Kind: ExperimentKind>(_ kind: Kind.Type, _ dialect: CSVDialect) async throws {
    let question = try question(for: kind)
    let rows = try kind.rows(of: csv, dialect: dialect)
    guard let against else {
      let answer = try kind.comparison(of: rows, question)
      show(answer.text, or: answer.json, if: json)
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
    let more: [(ResultsQuestion.Part, Bool)] = [
      (.against, against != nil), (.failAbove, failAbove != nil), (.plot, plot != nil),
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

extension ExperimentKind {
  /// Refuses parts of a question that make no sense for rows of the kind.
  static func check(_ parts: [ResultsQuestion.Part], of file: String) throws(UsageError) {
    guard let part = parts.first(where: { !answers.contains($0) }) else { return }
    let able = AttentionLab.kinds.types.filter { $0.answers.contains(part) }.map { $0.words.results }
    throw UsageError(
      "--\(part.rawValue): it is for \(able.joined(separator: " and ")); \(file) holds \(words.results) "
        + "(see attnlab plot, attnlab fit)")
  }
}
