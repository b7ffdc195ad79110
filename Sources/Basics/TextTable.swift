import Foundation

/// A table of text with aligned columns; numbers to the right, words to the left. Control characters, which a
/// cell may have from a file, are written out.
public struct TextTable: Sendable {
  private(set) var rows: [[String]] = []
  let header: [String]

  /// Creates a table.
  public init(_ header: [String]) { self.header = header.map { visible($0) } }

  /// Adds a row.
  /// - Precondition: as many cells as the header.
  public mutating func add(_ cells: [String]) {
    precondition(cells.count == header.count, "\(cells.count) cells for \(header.count) columns")
    rows.append(cells.map { visible($0) })
  }

  /// The table as the screen has room for it.
  public var text: String { text(width: Screen.columns()) }

  /// The table in lines of at most a width, with two spaces between columns, without trailing spaces.
  ///
  /// Columns of words give way first: their cells are broken into lines. Columns that there is no room for stand in a
  /// block of their own below, each behind the first column again.
  /// - Parameter width: the most columns of a line.
  /// - Returns: lines, without a line break at the end.
  public func text(width: Int) -> String {
    let natural = header.indices.map { column in ([header] + rows).map { $0[column].count }.max() ?? 0 }
    let numeric = isNumeric
    if natural.reduce(-2, { $0 + $1 + 2 }) <= width {
      return block(Array(header.indices), natural, numeric)
    }
    let least = header.indices.map { leastWidth($0, natural[$0], isNumeric: numeric[$0], of: width) }
    return blocks(least, width).map { columns in
      var widths = natural
      for (column, found) in zip(columns, shared(columns.map { (least[$0], natural[$0]) }, width)) {
        widths[column] = found
      }
      return block(columns, widths, numeric)
    }.joined(separator: "\n\n")
  }

  /// Whether a column holds numbers, which stand to the right.
  var isNumeric: [Bool] {
    header.indices.map { column in !rows.isEmpty && rows.allSatisfy { Self.isNumber($0[column]) } }
  }

  /// Whether a cell is a number with at most a unit behind it: `1×2 heads, 64×64, causal` begins as one, and is words.
  private static func isNumber(_ cell: String) -> Bool {
    guard let first = cell.first else { return true }
    guard first.isNumber || "-–+<>∞≈×±~*".contains(first) else { return false }
    return cell.split { !$0.isLetter }.count { $0.count > 3 } < 2
  }

  /// The columns of each block.
  private func blocks(_ least: [Int], _ width: Int) -> [[Int]] {
    var blocks: [[Int]] = []
    var columns = [0], used = least[0]
    for column in header.indices.dropFirst() {
      if used + 2 + least[column] > width, columns.count > 1 {
        blocks.append(columns)
        (columns, used) = ([0], least[0])
      }
      columns.append(column)
      used += 2 + least[column]
    }
    return blocks + [columns]
  }

  /// How narrow a column may become: numbers keep their digits, words keep a width in which they can be read.
  private func leastWidth(_ column: Int, _ natural: Int, isNumeric: Bool, of width: Int) -> Int {
    func longestWord(_ text: String) -> Int { text.split(separator: " ").map(\.count).max() ?? 0 }
    let title = longestWord(header[column])
    if isNumeric { return max(title, rows.map { $0[column].count }.max() ?? 0) }
    let word = rows.map { longestWord($0[column]) }.max() ?? 0
    let readable = min(natural, max(title, min(word, 28), 16))
    // So that the first column and any other stand side by side.
    return min(readable, (width - 2) / 2)
  }

  /// Widths for columns: what is left beyond the least goes to the narrowest of those that want more.
  private func shared(_ columns: [(least: Int, natural: Int)], _ width: Int) -> [Int] {
    var widths = columns.map(\.least)
    var left = width - widths.reduce(-2) { $0 + $1 + 2 }
    while left > 0 {
      let wanting = widths.indices.filter { widths[$0] < columns[$0].natural }
      guard let narrowest = wanting.min(by: { widths[$0] < widths[$1] }) else { break }
      widths[narrowest] += 1
      left -= 1
    }
    return widths
  }

  private func block(_ columns: [Int], _ widths: [Int], _ numeric: [Bool]) -> String {
    ([header] + rows).map { row in
      let cells = columns.map { column in
        // What goes on in the first column is set in, so that rows are told apart.
        let inset = column == 0 && widths[0] > 8 && row[0].count > widths[0] ? 2 : 0
        return wrapped(row[column], first: widths[column], others: widths[column] - inset, cutsWords: true)
          .enumerated().map {
            ($0.offset == 0 ? "" : String(repeating: " ", count: inset)) + $0.element
          }
      }
      return (0..<(cells.map(\.count).max() ?? 1)).map { index in
        zip(columns, cells).map { column, lines in
          let cell = index < lines.count ? lines[index] : ""
          let padding = String(repeating: " ", count: max(0, widths[column] - cell.count))
          return numeric[column] ? padding + cell : cell + padding
        }.joined(separator: "  ").trimmingSuffix(" ")
      }.joined(separator: "\n")
    }.joined(separator: "\n")
  }

  /// The table in Markdown. The cells of the columns in `code`, whose words are typed as they stand, are set as code.
  public func markdown(code: Set<Int> = []) -> String {
    func line(_ cells: [String]) -> String { "| \(cells.joined(separator: " | ")) |" }
    let body = rows.map { row in
      line(
        row.indices.map { column in
          let cell = row[column].replacingScalars(["|": "\\|"])
          return code.contains(column) && !cell.isEmpty ? "`\(cell)`" : cell
        })
    }
    return ([line(header), line(header.map { _ in "---" })] + body).joined(separator: "\n")
  }
}
