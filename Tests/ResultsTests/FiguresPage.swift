import Basics
import Foundation
import Records

/// The tables of `Reference/figures.md` that are made from rows, one column a folder: the rows of the table of targets.
struct FiguresPage {
  /// On how many threads a line's figures are.
  enum Threads { case one, all, oneAndAll }

  /// A line of a table: what it says, and its cell in a column.
  struct Line {
    let label: String
    let cell: (FiguresColumn) -> String
  }

  /// A table under a heading.
  struct Table {
    let title: String
    let note: String
    let lines: [Line]
  }

  /// What stands in a column: a folder's rows, or cells as the page has them where the rows are not at hand.
  enum Source {
    case column(FiguresColumn)
    case kept(head: String, cells: [String: [String: String]])
  }

  /// The columns whose folders are committed, then the others.
  let committed: [FiguresColumn]
  let references: [Source]

  /// The newest of the committed builds: what is of an older commit says so.
  private var newest: (startedAt: String, commit: String) {
    committed.map { ($0.startedAt, $0.commit) }.max { $0.0 < $1.0 } ?? ("", "")
  }

  /// Name, date and commit of a column.
  func head(_ column: FiguresColumn, isCommitted: Bool) -> String {
    let isEarlier = column.commit != newest.commit && column.startedAt < newest.startedAt
    return "`\(column.name)`" + (isCommitted ? "" : " (not in the repository)") + ", "
      + (isEarlier ? "an earlier build" : "the build") + " of \(column.date) (\(column.commit))"
  }

  /// All tables in Markdown.
  var text: String {
    let heads =
      committed.map { head($0, isCommitted: true) }
      + references.map { source in
        switch source {
        case .column(let column): head(column, isCommitted: false)
        case .kept(let head, _): head
        }
      }
    return Self.tables.map { table in
      var text = "### \(table.title)\n\n" + (table.note.isEmpty ? "" : table.note + "\n\n")
      text += "| | " + heads.joined(separator: " | ") + " |\n"
      text += "| --- |" + String(repeating: " --- |", count: heads.count) + "\n"
      for line in table.lines {
        let cells = committed.map(line.cell) + references.map { cell(line, in: table, $0) }
        text += "| \(line.label) |" + cells.map { $0.isEmpty ? " |" : " \($0) |" }.joined() + "\n"
      }
      return text
    }.joined(separator: "\n")
  }

  private func cell(_ line: Line, in table: Table, _ source: Source) -> String {
    switch source {
    case .column(let column): line.cell(column)
    case .kept(_, let cells): cells[table.title]?[line.label] ?? ""
    }
  }

  /// A column of a page as it stands there.
  /// - Parameters:
  ///   - name: the folder's name, with which the head begins.
  ///   - text: the tables.
  /// - Returns: `nil` where the page has no such column.
  static func kept(_ name: String, in text: String) -> Source? {
    var title = "", place: Int?, head = "", cells: [String: [String: String]] = [:]
    for line in text.split(separator: "\n") {
      if line.hasPrefix("### ") {
        (title, place) = (String(line.dropFirst(4)), nil)
      } else if line.hasPrefix("|") {
        let fields = line.split(separator: "|", omittingEmptySubsequences: false).map { $0.trimmed }
        if let own = fields.firstIndex(where: { $0.hasPrefix("`\(name)`") }) {
          (place, head) = (own, fields[own])
        } else if let place, fields.count > place {
          cells[title, default: [:]][fields[1]] = fields[place]
        }
      }
    }
    return head.isEmpty ? nil : .kept(head: head, cells: cells)
  }
}
