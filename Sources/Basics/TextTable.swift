import Foundation

/// A table of text with aligned columns; numbers to the right, words to the left. Control characters, which a
/// cell may have from a file, are written out.
public struct TextTable: Sendable {
  private var rows: [[String]] = []
  private let header: [String]

  /// Creates a table.
  public init(_ header: [String]) { self.header = header.map { visible($0) } }

  /// Adds a row.
  /// - Precondition: as many cells as the header.
  public mutating func add(_ cells: [String]) {
    precondition(cells.count == header.count, "\(cells.count) cells for \(header.count) columns")
    rows.append(cells.map { visible($0) })
  }

  /// The table with two spaces between columns, without trailing spaces.
  public var text: String {
    let widths = header.indices.map { column in ([header] + rows).map { $0[column].count }.max() ?? 0 }
    let numeric = header.indices.map { column in
      !rows.isEmpty
        && rows.allSatisfy { row in row[column].first.map { $0.isNumber || "-–+<>∞≈×".contains($0) } ?? true }
    }
    return ([header] + rows).map { row in
      let cells = row.indices.map { column in
        let padding = String(repeating: " ", count: widths[column] - row[column].count)
        return numeric[column] ? padding + row[column] : row[column] + padding
      }
      return cells.joined(separator: "  ").trimmingSuffix(" ")
    }.joined(separator: "\n")
  }

  /// The table in Markdown. The cells of the columns in `code`, whose words are typed as they stand, are set as code.
  public func markdown(code: Set<Int> = []) -> String {
    func line(_ cells: [String]) -> String { "| \(cells.joined(separator: " | ")) |" }
    let body = rows.map { row in
      line(
        row.indices.map { column in
          let cell = row[column].replacingOccurrences(of: "|", with: "\\|")
          return code.contains(column) && !cell.isEmpty ? "`\(cell)`" : cell
        })
    }
    return ([line(header), line(header.map { _ in "---" })] + body).joined(separator: "\n")
  }
}

extension String {
  fileprivate func trimmingSuffix(_ character: Character) -> String {
    var end = endIndex
    while end > startIndex, self[index(before: end)] == character { end = index(before: end) }
    return String(self[..<end])
  }
}
