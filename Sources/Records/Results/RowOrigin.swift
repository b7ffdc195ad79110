import Basics
import Foundation

/// A row that says where it was made.
public protocol Traceable: Record {
  /// The kind of machine: rows of different ones are never mixed.
  var machine: String { get set }
  /// The computer's name.
  var host: String { get set }
  /// The commit of the sources.
  var commit: String { get set }
  /// The hash of the program's file.
  var program: String { get set }
  /// When it began, ISO 8601, UTC.
  var startedAt: String { get }
  /// The file that it was read from together with others; no column.
  var source: String { get set }
}

extension Traceable {
  /// The columns that say where a row was made: the same in every table, the last ones of the schema.
  static var originFields: [Field<Self>] {
    [
      .field(
        "machine", \.machine, .text, .shape, phrase: "%", "processor, number of processors, instruction set"),
      .field("host", \.host, .text, .origin, phrase: "host %", "the name of the computer"),
      .field(
        "commit", \.commit, .text, .origin, phrase: "commit %",
        "the commit of the sources, with + when files differ from it"),
      .field("program", \.program, .text, .record, "a hash of the program's file"),
    ]
  }
}

/// What `environment.json` says of the rows beside it, for rows from before they said it themselves.
package struct RowOrigin {
  private let machine: String?
  /// Starts of the run with their commits, earliest first.
  private let sessions: [(startedAt: String, commit: String)]

  /// Reads the record beside a file; one that is missing or is no record says nothing.
  package init(beside file: String) {
    let folder = URL(fileURLWithPath: file).deletingLastPathComponent().path
    guard let record = try? RunFolder.record(in: folder) else {
      (machine, sessions) = (nil, [])
      return
    }
    machine = Machine.kind(record["machine"])
    let found = record["sessions"].arrayValue.compactMap { session -> (String, String)? in
      guard let start = session["started_at"].stringValue, let commit = session["commit"].stringValue else {
        return nil
      }
      return (start, commit)
    }
    // A record without sessions, as of peers, has one commit.
    sessions = found.isEmpty ? record["commit"].stringValue.map { [("", $0)] } ?? [] : found
  }

  /// Rows with what they do not say themselves.
  package func filled<Row: Traceable>(_ rows: [Row]) -> [Row] {
    rows.map { row in
      guard row.machine.isEmpty, let machine else { return row }
      var row = row
      row.machine = machine
      if row.commit.isEmpty {
        row.commit = (sessions.last { $0.startedAt <= row.startedAt } ?? sessions.first)?.commit ?? ""
      }
      return row
    }
  }
}

extension Traceable {
  /// The rows of several files, each with where it was made: as the row says, else as the `environment.json` beside the
  /// file says, else, of several files, the file's name.
  package static func gather(
    _ files: [String], read: (String) throws(UsageError) -> [Self]
  ) throws(UsageError) -> [Self] {
    var all: [Self] = []
    for file in files {
      let found = try read(file)
      guard !found.isEmpty else { throw UsageError("\(file): there are no rows in it") }
      all += RowOrigin(beside: file).filled(found).map { row in
        var row = row
        if files.count > 1 { row.source = file }
        if files.count > 1, row.machine.isEmpty { row.machine = "machine of \(file)" }
        return row
      }
    }
    return all
  }
}
