import Basics
import Figures

/// A head's pattern as a picture: rows are queries from the top, columns are keys from the left.
package struct PatternPicture {
  private let counts: PatternCounts
  private let head: Int

  package init(counts: PatternCounts, head: Int) {
    self.counts = counts
    self.head = head
  }

  /// One character pair a cell: blank for nothing, a full block for all, shades between; a digit counts twice or more.
  /// - Parameter columns: the most columns of a line; of a longer pattern a cell stands for several pairs.
  package func terminal(columns: Int = Screen.columns()) -> String {
    let limit = min(64, max(1, (columns - 2) / 2))
    let height = min(counts.rows, limit)
    let width = min(counts.columns, limit)
    let isExact = height == counts.rows && width == counts.columns
    let cells = counts.cells(head: head, height: height, width: width)
    let shades = [" ", "░", "▒", "▓", "█"]
    var lines: [String] = ["┌" + String(repeating: "──", count: width) + "┐"]
    for y in 0..<height {
      var line = "│"
      for x in 0..<width {
        let cell = cells[y * width + x]
        let shade = cell.mean == 0 ? 0 : min(4, max(1, Int((cell.mean * 4).rounded())))
        line += isExact && cell.largest > 1 ? "\(cell.largest)\(cell.largest)" : shades[shade] + shades[shade]
      }
      lines.append(line + "│")
    }
    lines.append("└" + String(repeating: "──", count: width) + "┘")
    return lines.joined(separator: "\n")
  }

  /// The most cells of a file's picture on a side, and of a small picture in a page.
  private static let most = 512, few = 48

  /// Blue from white by density, in sixteen steps; orange where a pair counts more than once.
  private static func colour(_ cell: (mean: Double, largest: UInt8)) -> CellPicture.Colour {
    let full: SIMD3<Double> = cell.largest > 1 ? [214, 107, 0] : [31, 78, 140]
    let share = cell.mean == 0 ? 0 : max(1, (cell.mean * 16).rounded()) / 16
    let mixed = SIMD3(repeating: 255) + share * (full - SIMD3(repeating: 255))
    return CellPicture.Colour(clamping: SIMD3<Int>(mixed, rounding: .toNearestOrEven))
  }

  /// The cells: exact up to a number of them on a side, else means.
  private func grid(most: Int, x: Double, y: Double, size: Double) -> CellPicture.Grid {
    let (height, width) = (min(counts.rows, most), min(counts.columns, most))
    let cells = counts.cells(head: head, height: height, width: width)
    return CellPicture.Grid(
      x: x, y: y, side: size / Double(max(height, width)), rows: height, columns: width,
      colours: cells.map(Self.colour))
  }

  /// The picture of a file, some 512 pixels wide, with axes: positions of the first and the last key and query.
  /// - Parameter title: what is shown; it goes over several lines where one does not hold it.
  package func picture(title: String) -> CellPicture {
    let size = 512.0, left = 56.0, gap = 16.0
    let letters = Int((left + size + gap - 24) / CellPicture.letter)
    let lines = wrapped(title, first: letters, others: letters, cutsWords: true)
    let top = 44.0 + 16 * Double(lines.count - 1)
    let grid = grid(most: Self.most, x: left, y: top, size: size)
    let (width, height) = (grid.side * Double(grid.columns), grid.side * Double(grid.rows))
    var picture = CellPicture(width: left + size + gap, height: top + height + gap)
    for (number, line) in lines.enumerated() {
      picture.add(line, x: 12, y: 18 + 16 * Double(number), .start)
    }
    picture.add("0", x: left, y: top - 6, .start)
    picture.add("key", x: left + width / 2, y: top - 6, .middle)
    picture.add("\(counts.columns - 1)", x: left + width, y: top - 6, .end)
    picture.add("0", x: left - 6, y: top + 11, .end)
    picture.add("query", x: left - 6, y: top + height / 2 + 4, .end)
    picture.add("\(counts.rows - 1)", x: left - 6, y: top + height, .end)
    picture.add(grid)
    return picture
  }

  /// A small picture without words, for a page that says beside it what is shown.
  package var thumbnail: String {
    let size = 96.0, cells = grid(most: Self.few, x: 1, y: 1, size: size)
    var picture = CellPicture(
      width: cells.side * Double(cells.columns) + 2, height: cells.side * Double(cells.rows) + 2)
    picture.add(cells)
    return picture.svg
  }
}
