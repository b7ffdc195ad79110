import AttentionCore
import Basics
import Foundation
import Processes
import Records

/// What `attnlab run` says of one kind of experiment at its end.
package protocol FinishedRun {
  /// The kind of experiment, as presets name it.
  var kind: String { get }
  /// The folder of the results.
  var folder: String { get }
  /// The page of the report.
  var report: String { get }
  /// For people.
  var text: String { get }
  /// For programs.
  var json: JSONValue { get }
}

extension [any FinishedRun] {
  /// One JSON value of all: of one kind what it says, of several an object with each by its name.
  package var json: JSONValue {
    count == 1 ? self[0].json : .object(map { JSONValue.Member(key: $0.kind, value: $0.json) })
  }
}

extension [any Foretold] {
  /// One JSON value of all: of several kinds the members of each, and the sum of their seconds.
  package var json: JSONValue {
    if count == 1 { return self[0].json }
    let all = map(\.json), seconds = all.reduce(0) { $0 + ($1["seconds"].numberValue ?? 0) }
    let members = all.flatMap(\.members).filter { $0.key != "seconds" }
    return .object(members + [JSONValue.Member(key: "seconds", value: .double(seconds))])
  }
}

/// Cells of a kind that a run is asked for.
package protocol SelectedCells {
  func forecast(_ catalog: Catalog, memoryLimit: Int?) throws -> any Foretold
  func run(in folder: RunFolder, _ setting: RunSetting) async throws -> any FinishedRows
  /// The rows that others wrote into a folder; `nil`: there are none of this kind.
  func written(in folder: String) throws -> (any FinishedRows)?
}

/// The rows of a kind, all written.
package protocol FinishedRows {
  /// What progress says at the end.
  func notes(_ folder: String) -> [String]
  func finished(_ folder: String, pictures: [String], report: String) throws -> any FinishedRun
}

/// Cells with their kind.
package struct Selection<Kind: ExperimentKind>: SelectedCells {
  private let kind: Kind.Type
  private let cells: [Kind.Cell]

  package init(kind: Kind.Type, cells: [Kind.Cell]) {
    self.kind = kind
    self.cells = cells
  }

  package func forecast(_ catalog: Catalog, memoryLimit: Int?) throws -> any Foretold {
    try Kind.forecast(cells, catalog: catalog, memoryLimit: memoryLimit)
  }

  package func run(in folder: RunFolder, _ setting: RunSetting) async throws -> any FinishedRows {
    KindOutcome<Kind>(outcome: try await Runner(kind, cells, in: folder, setting).run())
  }

  package func written(in folder: String) throws -> (any FinishedRows)? {
    guard FileManager.default.fileExists(atPath: folder + "/" + Kind.table) else { return nil }
    let rows = try Kind.rows(of: [folder])
    let added = Set(rows.map(\.cellID)).count
    return KindOutcome<Kind>(outcome: .init(kept: 0, added: added, replaced: 0, repaired: 0, rows: rows))
  }
}

/// What became of them.
package struct KindOutcome<Kind: ExperimentKind>: FinishedRows {
  fileprivate let outcome: Runner<Kind>.Outcome

  package func notes(_ folder: String) -> [String] {
    var lines: [String] = []
    let words = Kind.words
    if outcome.repaired > 0 {
      lines.append(
        "removed a torn last line (\(counted(outcome.repaired, "byte"))); its \(words.cell) was \(words.past) again"
      )
    }
    if outcome.replaced > 0 {
      lines.append(
        "\(counted(outcome.replaced, words.cell)) that had not ended ok \(outcome.replaced == 1 ? "was" : "were") "
          + "\(words.past) again")
    }
    if outcome.added == 0 {
      lines.append(
        "\(folder) is finished (\(counted(outcome.kept, words.counted))); these are its results, "
          + "--fresh \(words.verb) again")
    }
    return lines
  }

  package func finished(_ folder: String, pictures: [String], report: String) throws -> any FinishedRun {
    let findings = try Kind.findings(outcome.rows, folder: folder, pictures: pictures)
    if let warning = findings.warning { Terminal.note("warning: \(warning)") }
    return KindResults<Kind>(folder: folder, report: report, outcome: outcome, findings: findings)
  }
}

/// What they say.
package struct KindResults<Kind: ExperimentKind>: FinishedRun {
  package var kind: String { Kind.id }
  package let folder: String, report: String
  package let outcome: Runner<Kind>.Outcome
  fileprivate let findings: KindFindings

  package var text: String { findings.text + "\nreport: \(report)" }

  package var json: JSONValue {
    var members: [(String, JSONValue)] = [("folder", .string(folder)), ("report", .string(report))]
    if let plots = findings.plots { members.append(("plots", plots)) }
    members += [
      ("rows", .int(outcome.rows.count)), ("added", .int(outcome.added)),
      ("comparison", findings.comparison),
    ]
    return .object(members.map { JSONValue.Member(key: $0.0, value: $0.1) })
  }
}
