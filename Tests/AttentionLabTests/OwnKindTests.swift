import Attention
import AttentionCore
import AttentionLab
import Basics
import Figures
import Foundation
import LabTestSupport
import Presets
import Records
import Testing

/// A kind of experiment that the program does not have: what subcommands do with it they do through the kind.
@Suite struct OwnKindTests {
  private static func attnlab(_ arguments: String...) async -> Int32 {
    await run(arguments, .standard + [Squaring.self])
  }

  /// A command blocks its thread while it waits, so it has one that no other test waits for.
  private static func run(_ arguments: [String], _ kinds: ExperimentCatalog = .standard) async -> Int32 {
    await withCheckedContinuation { done in
      Thread.detachNewThread {
        done.resume(returning: AttentionLab.run(arguments: arguments, catalog: .standard, kinds: kinds))
      }
    }
  }

  @Test("a preset runs, goes on, is compared, drawn and reported")
  func everySubcommand() async throws {
    let scratch = try Scratch(), folder = scratch("out")
    let preset = try scratch.write("p.yaml", "experiment: squaring\nnumber: [2, 3]\n")
    #expect(await Self.attnlab("run", preset, "--out", folder, "--dry-run") == 0)
    #expect(!FileManager.default.fileExists(atPath: folder))
    for _ in 0..<2 { #expect(await Self.attnlab("run", preset, "--out", folder, "--json") == 0) }
    let rows = try Squaring.rows(of: [folder])
    #expect(rows.map(\.square) == [4, 9])
    #expect(await Self.attnlab("compare", folder) == 0)
    #expect(await Self.attnlab("compare", folder + "/squares.csv", "--json") == 0)
    #expect(await Self.attnlab("compare", folder, "--metric", "memory") == 2)
    #expect(await Self.attnlab("compare", folder, "--against", folder) == 2)
    #expect(await Self.attnlab("report", folder) == 0)
    #expect(try String(contentsOfFile: folder + "/report.html", encoding: .utf8).contains("two squares"))
    #expect(
      await Self.attnlab("fit", folder + "/squares.csv", "--x", "number", "--y", "square", "--form", "linear")
        == 2)
    if FileManager.default.isExecutableFile(atPath: "/usr/bin/gnuplot") {
      #expect(await Self.attnlab("plot", folder) == 0)
      #expect(FileManager.default.fileExists(atPath: folder + "/squares.svg"))
    }
  }

  @Test("it is listed: its columns, its name in the schema")
  func listed() async {
    #expect(await Self.attnlab("list", "columns") == 0)
    #expect(await Self.attnlab("list", "schema") == 0)
  }

  @Test("without it the preset is refused, and a folder of its results holds none")
  func unknownToOthers() async throws {
    let scratch = try Scratch(), folder = scratch("out")
    let preset = try scratch.write("p.yaml", "experiment: squaring\nnumber: 2\n")
    #expect(await Self.run(["run", preset]) == 2)
    #expect(await Self.attnlab("run", preset, "--out", folder) == 0)
    #expect(await Self.run(["compare", folder]) == 2)
  }

  @Test("results of another kind in the folder are kept from it")
  func anotherKindInTheFolder() async throws {
    let scratch = try Scratch(), folder = scratch("out")
    let preset = try scratch.write("p.yaml", "experiment: squaring\nnumber: 2\n")
    #expect(await Self.attnlab("run", preset, "--out", folder) == 0)
    let other = try scratch.write("m.yaml", "variants: full\nn: 8\n")
    #expect(await Self.attnlab("run", other, "--out", folder) == 2)
    #expect(await Self.attnlab("train", "induction", "--steps", "1", "--checkpoint", folder) == 2)
    #expect(await Self.attnlab("run", preset, "--out", folder, "--fresh") == 0)
    #expect(FileManager.default.fileExists(atPath: folder + ".1/squares.csv"))
  }
}

/// `experiment: squaring`: the squares of numbers.
private enum Squaring: ExperimentKind {
  struct Plan: Sendable { let numbers: [Int] }

  struct Cell: ExperimentCell {
    let number: Int
    var id: String { "square-\(number)" }
  }

  struct Row: ResultRow {
    var cellID = "", number: Int?, square: Int?
    var machine = "", host = "", commit = "", program = "", startedAt = "", source = ""
    static let idColumn = "cell_id"
    static let schema: [Field<Row>] = [
      .field("cell_id", \.cellID, .text, .contender, "the cell"),
      .optional("number", \.number, .count(), .length, "what is squared"),
      .optional("square", \.square, .count(), .quantity, "its square"),
      .field("started_at", \.startedAt, .text, .record, "when it began"),
      .field("machine", \.machine, .text, .shape, "the machine"),
      .field("host", \.host, .text, .origin, "the computer"),
      .field("commit", \.commit, .text, .origin, "the sources"),
      .field("program", \.program, .text, .record, "the program"),
    ]
    var ending: RowEnding { .done }
    static func isHeader(_ header: [String]) -> Bool { header.contains("square") }
    static func read(_ path: String, dialect: CSVDialect) throws(UsageError) -> [Row] {
      try rows(of: CSVTable(contentsOf: path, dialect: dialect))
    }
  }

  struct Costs: Foretold {
    let text = "nothing"
    let json = JSONValue.null
  }

  struct Here: Executor {
    func rows(
      of cells: [Cell], in folder: RunFolder
    ) -> AsyncThrowingStream<FinishedCell<Squaring>, any Error> {
      AsyncThrowingStream { stream in
        for cell in cells {
          var row = Row()
          (row.cellID, row.number, row.square) = (cell.id, cell.number, cell.number * cell.number)
          stream.yield(FinishedCell(cell, [row]))
        }
        stream.finish()
      }
    }
  }

  static let id = "squaring", table = "squares.csv"
  static let words = KindWords(
    cell: "square", results: "squares", counted: "square", verb: "squares", past: "squared")
  static let tables = [ResultTable(table, Row.self, "one square")]

  static func plan(_ reader: inout FieldReader, _ context: PlanContext) throws(UsageError) -> Plan {
    let plan = Plan(numbers: try reader.sweep("number", .count(), default: []))
    try reader.finish()
    return plan
  }
  static func cells(of plan: Plan, preset: String, experiment: String) -> [Cell] {
    plan.numbers.map { Cell(number: $0) }
  }
  static func inputs(of cell: Cell) -> [String] { [] }
  static func variants(of cell: Cell, in catalog: Catalog) -> Set<String> { [] }
  static func names(of cells: [Cell]) -> @Sendable (Cell) -> String { { "\($0.number)" } }
  static func forecast(_ cells: [Cell], catalog: Catalog, memoryLimit: Int?) -> any Foretold { Costs() }
  static func means(for cells: [Cell], in setting: RunSetting) -> RunMeans { RunMeans() }
  static func executor(of session: RunSession<Self>) -> any Executor<Self> { Here() }
  static func summary(of row: Row) -> String { row["square"] }
  static func description(of row: Row) -> String { row["number"] }
  static func findings(_ rows: [Row], folder: String, pictures: [String]) -> KindFindings {
    KindFindings(text: "\(rows.count) squares", comparison: .int(rows.count))
  }
  static func section(in folder: String, variants: Catalog) -> ReportSection {
    ReportSection(count: "two squares", source: table)
  }
  static func pictureNames(_ question: ResultsQuestion) -> [String] { ["squares"] }
  static func pictures(of rows: [Row], in file: String, _ question: ResultsQuestion) -> [ReportSection
    .Picture]
  {
    let points = rows.compactMap { row in
      row.number.flatMap { x in row.square.map { Figure.Point(x: Double(x), y: Double($0)) } }
    }
    let panel = Figure.Panel(
      x: .init("number", .linear), y: .init("square", .linear),
      curves: [.init(label: "square", points: points, style: 0)])
    return [.init(Figure(title: "", panels: [panel]), caption: "squares", name: "squares")]
  }
}
