import Analysis
import ArgumentParser
import Basics
import Commands
import Figures
import Foundation
import LeastSquares
import Pages
import Presets
import Processes
import Records
import ScalingLaws

/// `attnlab fit`: scaling laws fitted to the columns of a CSV file.
struct FitCommand: AsyncParsableCommand, FileCommand {
  static let configuration = CommandConfiguration(
    commandName: "fit",
    abstract: "Fit scaling laws to a CSV file: estimates, intervals, warnings, predictions.",
    discussion: HelpText.page(
      """
      Forms of one variable: power, power-offset, power-decay, linear,
      quadratic, nlogn, constant, broken-power; of two (N,D): chinchilla,
      kaplan; of three: additive (N,D,C), data-constrained (N,D,U with U
      unique tokens). A text that stands in the header is that column,
      {Time (ms)} is a column in a formula, anything else is a formula. In
      --formula, names that are columns are variables and all others
      parameters. Without --start the starts are placed within the data.
      Warnings go to standard error with their code.
      """,
      examples: [
        #"attnlab fit measurements.csv --x query_length --y seconds_median --by variant "#
          + #"--where "status == 'ok'" --form power-offset"#,
        "attnlab fit runs.csv --x N,D --y loss --form chinchilla --loss huber --drop-largest 5 "
          + "--bootstrap 1000 --budget 1e21",
        "attnlab fit runs.csv --y loss --formula 'E + A/N^alpha' --start E=2,A=9",
        "attnlab fit times.csv --x n --y seconds --form auto --predict n=65536 --plot fit.svg",
      ]))

  @Argument(help: "A CSV file with a header, or a folder of results.")
  var csv: String

  @OptionGroup(title: "What is fitted") var law: FitLawOptions
  @OptionGroup(title: "How the file is written") var reading: CSVReadingOptions
  @OptionGroup(title: "Rows") var rows: FitRowOptions
  @OptionGroup(title: "Error model and intervals") var model: FitModelOptions
  @OptionGroup(title: "What is asked of the fit") var ask: FitAskOptions

  /// The file, also where its folder was named.
  private var file: String {
    Folder.exists(csv) ? Installed.kinds.kind(of: csv).file(in: csv) : csv
  }

  func files() -> CommandFiles {
    var files = CommandFiles()
    files.read(file)
    files.write(ask.out, "--out")
    files.draw(ask.plot, "--plot")
    return files
  }

  func run() async throws {
    if let plot = ask.plot { try Gnuplot.checkExtension(of: plot, "--plot") }
    guard (0...1_000_000).contains(ask.calibrate) else {
      throw UsageError(
        "--calibrate \(ask.calibrate): it takes a number of replications up to 1000000, or 0 for none")
    }
    guard !ask.crossovers || rows.by != nil else {
      throw UsageError("--crossovers: it needs --by, the column that tells the curves apart")
    }
    let file = try CSVTable(contentsOf: self.file, dialect: reading.dialect())
    // Tables of other programs may end as they like.
    if Installed.kinds.types.contains(where: { $0.isHeader(file.header) }) { try file.requireWhole() }
    let table = try FitTable(
      file, definitions: rows.define, timeColumns: Installed.kinds.timeColumns(file.header))
    let law = try self.law.resolve(table)
    let groups = try table.groups(request(law, table))
    let machines = Set(groups.compactMap(\.machine))
    if !machines.isEmpty {
      Terminal.complain(
        "warning: \(csv): rows of \(machines.count) machines; times of two machines do not mix: each machine is fitted by "
          + "itself")
    }
    let options = try model.options(law: self.law)
    var records: [FitRecord] = []
    var failures: [(group: String?, reason: String)] = []
    for (group, result) in zip(groups, try results(law, options, groups)) {
      switch result {
      case .success(var record):
        (record.responseName, record.machine) = (law.response.label, group.machine)
        record.addLeftOut(group)
        try ask.answer(&record)
        records.append(record)
      case .failure(let error): failures.append((group.label, error.description))
      }
    }
    guard !records.isEmpty else {
      throw UsageError(
        "\(csv): \(failures[0].group.map { "group \(shown($0)): " } ?? "")\(failures[0].reason)")
    }
    try report(records, failures)
    if let path = ask.plot { _ = try await Gnuplot.draw(FitFigure(records).figure, to: path) }
  }

  private func request(_ law: FitLaw, _ table: FitTable) throws -> FitTable.Request {
    var request = FitTable.Request(variables: law.variables, response: law.response)
    request.weights = try rows.weights.map { try table.quantity($0, option: "--weights") }
    request.cluster = try rows.cluster.map { try table.quantity($0, option: "--cluster") }
    request.group = try rows.by.map { try table.quantity($0, option: "--by") }
    request.filter = try rows.filter.map { try table.filter($0, option: "--where") }
    return request
  }

  private func results(
    _ law: FitLaw, _ options: FitOptions, _ groups: [FitTable.Group]
  ) throws -> [Result<FitRecord, FitError>] {
    if let form = law.form {
      return zip(groups, Fitter(form, options: options).fitAll(groups.map(\.data))).map { group, result in
        result.map { FitRecord(group: group.label, fit: $0) }
      }
    }
    return zip(groups, FormSelector(options: options).selectAll(groups.map(\.data))).map { group, result in
      result.map { selection in
        var record = FitRecord(group: group.label, fit: selection.best)
        record.selection = selection
        return record
      }
    }
  }

  private func report(_ records: [FitRecord], _ failures: [(group: String?, reason: String)]) throws {
    FitText.complaints(records, failures).forEach(Terminal.complain)
    let crossings = ask.crossovers ? FitCrossing.all(records) : nil
    if let path = ask.out { try FitRecord.write(records, to: path) }
    guard !ask.json else {
      let failed = failures.map { failure -> JSONValue in
        .object(["group": .text(failure.group), "error": .string(failure.reason)])
      }
      let document = JSONValue.object([
        "fits": .array(records.map(\.json)), "failures": .array(failed),
        "crossovers": crossings.map { .array($0.map(\.json)) } ?? .null,
      ])
      print(document.pretty)
      return
    }
    show(records.count > 3 ? FitText.overview(records) : records.map(FitText.page).joined(separator: "\n\n"))
    if let crossings { show("\n" + FitText.crossovers(crossings)) }
  }
}

extension FitRecord {
  /// Says which lines were left out for an empty cell or a weight of zero.
  fileprivate mutating func addLeftOut(_ group: FitTable.Group) {
    func add(_ code: String, _ lines: [Int], _ why: String) {
      guard !lines.isEmpty else { return }
      warnings.append(FitWarning(code: code, text: FitTable.leftOut(lines, why)))
    }
    add("incomplete-rows", group.incompleteLines, "an empty cell")
    add("zero-weight", group.weightlessLines, "a weight of zero")
  }
}
