import AttentionCore
import Basics
import Records
import Settings

/// A kind of experiment that presets can ask for: `experiment: NAME`. Everything that a kind has of its own stands here;
/// reading presets, running, resuming, recording and reporting are the same for all.
public protocol ExperimentKind: Sendable {
  /// What an experiment of this kind asks for.
  associatedtype Plan: Sendable
  /// One thing to be done: a value that says all that decides its result.
  associatedtype Cell: ExperimentCell
  /// A row of its table.
  associatedtype Row: ResultRow

  /// How presets name it.
  static var id: String { get }
  /// What it is called in messages.
  static var words: KindWords { get }
  /// The file of its rows in the folder of a run.
  static var table: String { get }
  /// The tables that it writes, as `attnlab list columns` describes them.
  static var tables: [ResultTable] { get }

  /// Reads the fields of an experiment.
  /// - Throws: `UsageError` with place and what is allowed.
  static func plan(_ reader: inout FieldReader, _ context: PlanContext) throws(UsageError) -> Plan
  /// All cells of an experiment, in order.
  /// - Throws: `UsageError` for a plan that has too many, or such as cannot be.
  static func cells(of plan: Plan, preset: String, experiment: String) throws(UsageError) -> [Cell]
  /// The files and folders that a cell reads.
  static func inputs(of cell: Cell) -> [String]
  /// The variants that a cell needs.
  /// - Throws: `ConfigurationError`.
  static func variants(of cell: Cell, in catalog: Catalog) throws -> Set<String>
  /// Short names of cells among others: what differs between them.
  static func names(of cells: [Cell]) -> @Sendable (Cell) -> String

  /// What cells would cost.
  /// - Throws: `ConfigurationError`; what tasks and attention throw.
  static func forecast(_ cells: [Cell], catalog: Catalog, memoryLimit: Int?) throws -> any Foretold
  /// What a session measures and records before its first cell.
  /// - Throws: `UsageError` for a text that cannot be read; `ConfigurationError`.
  static func means(for cells: [Cell], in setting: RunSetting) throws -> RunMeans
  /// Where the cells of a session are run when nothing else is said.
  static func executor(of session: RunSession<Self>) -> any Executor<Self>
  /// A row in the words of progress.
  static func summary(of row: Row) -> String
  /// What a row is of, in messages.
  static func description(of row: Row) -> String

  /// What all rows of a run say together.
  /// - Throws: `UsageError`.
  static func findings(_ rows: [Row], folder: String, pictures: [String]) throws -> KindFindings
  /// The parts of a question that make sense for its rows.
  static var answers: Set<ResultsQuestion.Part> { get }
  /// Rows side by side, as `attnlab compare` shows them.
  /// - Throws: `UsageError` for a part that its rows do not have.
  static func comparison(of rows: [Row], _ question: ResultsQuestion) throws -> ResultsAnswer
  /// Rows against those of an earlier run; asked only where `answers` has `against`.
  /// - Throws: `UsageError`, also when the two have nothing in common.
  static func comparison(
    of rows: [Row], against earlier: [Row], _ question: ResultsQuestion
  ) throws -> ResultsAnswer
  /// The names that `pictures` may have, without extension.
  static func pictureNames(_ question: ResultsQuestion) -> [String]
  /// What `attnlab plot` draws of a table, each with a name.
  /// - Throws: `UsageError`.
  static func pictures(
    of rows: [Row], in file: String, _ question: ResultsQuestion
  ) throws -> [ReportSection.Picture]
  /// Its part of the report of a folder.
  /// - Parameters:
  ///   - folder: where its results are.
  ///   - variants: those whose patterns can be drawn.
  /// - Throws: `UsageError` when the results cannot be read.
  static func section(in folder: String, variants: Catalog) throws(UsageError) -> ReportSection
}

/// A kind that compares as it does at the end of a run, and draws nothing.
extension ExperimentKind {
  /// None.
  public static var answers: Set<ResultsQuestion.Part> { [] }

  /// What all rows say together.
  /// - Throws: `UsageError`.
  public static func comparison(of rows: [Row], _ question: ResultsQuestion) throws -> ResultsAnswer {
    let findings = try findings(rows, folder: "", pictures: [])
    return ResultsAnswer(text: findings.text, json: findings.comparison)
  }

  /// Nothing.
  /// - Throws: `UsageError`: it does not compare two runs.
  public static func comparison(
    of rows: [Row], against earlier: [Row], _ question: ResultsQuestion
  ) throws -> ResultsAnswer {
    throw UsageError("--against: \(words.results) are not compared with an earlier run")
  }

  /// None.
  public static func pictureNames(_ question: ResultsQuestion) -> [String] { [] }

  /// None.
  public static func pictures(
    of rows: [Row], in file: String, _ question: ResultsQuestion
  ) throws -> [ReportSection.Picture] { [] }
}

/// One thing to be done.
public protocol ExperimentCell: Hashable, Sendable {
  /// A name that says everything that decides the result.
  var id: String { get }
  /// Other names that it had in earlier versions.
  var formerIDs: [String] { get }
  /// How long it will take compared with other cells, as far as that is known before it runs.
  var effort: Double { get }
  /// What cells have in common that take equally long for an effort: a variant.
  var pace: String { get }
}

extension ExperimentCell {
  /// It never had another name.
  public var formerIDs: [String] { [] }
  /// As long as any other.
  public var effort: Double { 1 }
  /// That of all.
  public var pace: String { "" }
}

/// How messages speak of a kind.
public struct KindWords: Sendable {
  /// One of its cells.
  public let cell: String
  /// Its results, in the plural.
  public let results: String
  /// What a finished run counts: one of them.
  public let counted: String
  /// What a run does with a cell.
  public let verb: String
  /// What was done with it.
  public let past: String

  /// Creates the words.
  public init(cell: String, results: String, counted: String, verb: String, past: String) {
    (self.cell, self.results, self.counted) = (cell, results, counted)
    (self.verb, self.past) = (verb, past)
  }
}

/// What a run would cost.
public protocol Foretold: Sendable {
  /// A table with a sum below.
  var text: String { get }
  /// The same for programs.
  var json: JSONValue { get }
}

/// What the rows of a run say together.
public struct KindFindings: Sendable {
  /// For people, up to the line that names the report.
  public let text: String
  /// The same for programs.
  public let comparison: JSONValue
  /// Pictures that stand beside the results; `nil`: this kind draws none.
  public let plots: JSONValue?
  /// What makes the rows doubtful.
  public let warning: String?

  /// Creates findings.
  public init(text: String, comparison: JSONValue, plots: JSONValue? = nil, warning: String? = nil) {
    (self.text, self.comparison, self.plots, self.warning) = (text, comparison, plots, warning)
  }
}
