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

  /// The cells of a file: exact up to 512 on a side, else means.
  private var grid: (height: Int, width: Int, cells: [(mean: Double, largest: UInt8)]) {
    let (height, width) = (min(counts.rows, 512), min(counts.columns, 512))
    return (height, width, counts.cells(head: head, height: height, width: width))
  }

  /// Blue from white by density; orange where a pair counts more than once.
  private static func color(_ cell: (mean: Double, largest: UInt8)) -> [UInt8] {
    let full: [Double] = cell.largest > 1 ? [214, 107, 0] : [31, 78, 140]
    return full.map { UInt8((255 + cell.mean * ($0 - 255)).rounded()) }
  }

  /// A vector picture: one rectangle a run of equal cells, axes with the positions of the first and the last token.
  package func svg(title: String) -> String {
    let (height, width, cells) = grid
    let scale = 512.0 / Double(max(height, width))
    let (left, top) = (48.0, 40.0)
    var shapes = ""
    for y in 0..<height {
      var x = 0
      while x < width {
        let color = Self.color(cells[y * width + x])
        var end = x + 1
        while end < width, Self.color(cells[y * width + end]) == color { end += 1 }
        if color != [255, 255, 255] {
          let hex = color.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
          shapes += "<rect x=\"\(x)\" y=\"\(y)\" width=\"\(end - x)\" height=\"1\" fill=\"#\(hex)\"/>\n"
        }
        x = end
      }
    }
    let (w, h) = (Double(width) * scale, Double(height) * scale)
    func text(_ x: Double, _ y: Double, _ anchor: String, _ text: String) -> String {
      "<text x=\"\(x)\" y=\"\(y)\" text-anchor=\"\(anchor)\">\(text)</text>\n"
    }
    return """
      <svg xmlns="http://www.w3.org/2000/svg" width="\(w + left + 16)" height="\(h + top + 40)" \
      font-family="sans-serif" font-size="12">
      <rect width="100%" height="100%" fill="#ffffff"/>
      \(text(left, 16, "start", html(title)))\
      \(text(left, top - 6, "start", "0"))\(text(left + w, top - 6, "end", "\(counts.columns - 1)"))\
      \(text(left + w / 2, top - 6, "middle", "key"))\
      \(text(left - 6, top + 12, "end", "0"))\(text(left - 6, top + h, "end", "\(counts.rows - 1)"))\
      \(text(left - 6, top + h / 2, "end", "query"))\
      <g transform="translate(\(left) \(top)) scale(\(scale))" shape-rendering="crispEdges">
      \(shapes)</g>
      <rect x="\(left)" y="\(top)" width="\(w)" height="\(h)" fill="none" stroke="#444444"/>
      </svg>

      """
  }

  /// A raster picture of about 512 pixels.
  package func png() -> [UInt8] {
    let (height, width, cells) = grid
    let zoom = max(1, 512 / max(height, width))
    var pixels: [UInt8] = []
    pixels.reserveCapacity(height * zoom * (width * zoom * 3 + 1))
    for y in 0..<height {
      let row = (0..<width).flatMap { x in
        Array(repeating: Self.color(cells[y * width + x]), count: zoom).flatMap(\.self)
      }
      for _ in 0..<zoom { pixels += [0] + row }
    }
    return PNGFile(width: width * zoom, height: height * zoom, filteredRows: pixels).bytes
  }
}
