import AttentionCore
import Basics

/// Where a variant is wrong, as a few lines for a terminal: rows downwards, elements or keys to the right.
struct DifferencePicture {
  private let difference: ConformanceDifference
  private static let (mostRows, mostColumns) = (20, 60)

  init(_ difference: ConformanceDifference) { self.difference = difference }

  /// The (batch, head) with the first wrong element, around that one where it is large.
  var text: String {
    guard let first = difference.wrong.first else { return "" }
    let (rows, columns) = (difference.rows, difference.columns)
    let place = first / (rows * columns), row = first / columns % rows, column = first % columns
    let window = (
      rows: Self.window(row, rows, Self.mostRows), columns: Self.window(column, columns, Self.mostColumns)
    )
    var lines = legend
    if difference.found.count > rows * columns {
      lines.append("  \(difference.place(first, rowsToo: false)) alone")
    }
    for row in window.rows {
      let cells = window.columns.map { cell(place * rows * columns + row * columns + $0) }
      let name = "\(row)"
      lines.append(
        "  " + String(repeating: " ", count: max(0, 4 - name.count)) + name + " " + cells.joined())
    }
    if window.rows.count < rows || window.columns.count < columns {
      lines.append(
        "  rows \(Self.words(window.rows)) of \(rows), columns \(Self.words(window.columns)) of \(columns)")
    }
    return lines.joined(separator: "\n")
  }

  /// Short enough for a screen of 80 columns, since the picture below must not be wrapped.
  private var legend: [String] {
    difference.quantity == "pairs"
      ? [
        "  queries down, keys across: # in both, + in the tiles only,",
        "  - in the definition only, . in neither, * counted otherwise",
      ]
      : ["  rows down, elements across: x is wrong, . is right"]
  }

  private func cell(_ index: Int) -> String {
    let (found, expected) = (difference.found[index], difference.expected[index])
    guard difference.quantity == "pairs" else { return difference.isWrong(index) ? "x" : "." }
    if found == expected { return found > 0 ? "#" : "." }
    return expected == 0 ? "+" : found == 0 ? "-" : "*"
  }

  /// At most so many places around one.
  private static func window(_ place: Int, _ count: Int, _ most: Int) -> Range<Int> {
    let start = max(0, min(place - most / 4, count - most))
    return start..<min(count, start + most)
  }

  private static func words(_ range: Range<Int>) -> String {
    "\(range.lowerBound) to \(range.upperBound - 1)"
  }
}

extension ConformanceDifference {
  /// The last axis but one, where there are that many; else the last.
  var rows: Int { shape.count >= 4 ? shape[shape.count - 2] : shape.last ?? 1 }
  /// The last axis of four, else 1.
  var columns: Int { shape.count >= 4 ? shape[shape.count - 1] : 1 }

  /// The element that is farthest off, in what it may be off.
  var worst: Int? {
    wrong.max {
      func ratio(_ index: Int) -> Double {
        let error = (found[index] - expected[index]).magnitude
        return error.isFinite && allowed[index] > 0 ? error / allowed[index] : .infinity
      }
      return ratio($0) < ratio($1)
    }
  }

  /// An element by the names of its axes.
  func place(_ index: Int, rowsToo: Bool = true) -> String {
    let names = ["sequence", "head", quantity == "dk" || quantity == "dv" ? "key" : "query", "element"]
    guard shape.count >= 3, shape.count <= 4 else { return "element \(index)" }
    var rest = index
    var words: [String] = []
    for axis in shape.indices.reversed() {
      if rowsToo || axis < 2 { words.insert("\(names[axis]) \(rest % shape[axis])", at: 0) }
      rest /= shape[axis]
    }
    return words.joined(separator: ", ")
  }
}
