import Basics
import Foundation

/// A picture of cells that are coloured one by one: the pairs of a pattern, the weights of attention. One layout is drawn as SVG,
/// by us, and as PNG, by gnuplot, so that both show the same.
///
/// Places and sizes are in pixels, from the left and from the top. The ground is white: the picture stays readable on a dark page.
package struct CellPicture: Sendable {
  /// Red, green and blue.
  package typealias Colour = SIMD3<UInt8>

  /// A rectangle of square cells in a thin frame.
  package struct Grid: Sendable {
    let x: Double, y: Double
    /// The side of a cell.
    package let side: Double
    package let rows: Int, columns: Int
    /// Row by row, from the top.
    let colours: [Colour]

    /// Places cells.
    /// - Precondition: there are `rows · columns` colours.
    package init(x: Double, y: Double, side: Double, rows: Int, columns: Int, colours: [Colour]) {
      precondition(colours.count == rows * columns)
      (self.x, self.y, self.side) = (x, y, side)
      (self.rows, self.columns, self.colours) = (rows, columns, colours)
    }
  }

  /// Which end of a text stands at its place.
  package enum Anchor: String, Sendable {
    case start, middle, end
  }

  private struct Text {
    let x: Double, y: Double
    let anchor: Anchor
    let text: String
  }

  /// The size of the whole.
  package let width: Double, height: Double
  private var grids: [Grid] = []
  private var texts: [Text] = []

  /// A white picture.
  package init(width: Double, height: Double) { (self.width, self.height) = (width, height) }

  /// The pixels that a letter takes, on average.
  package static let letter = 6.6

  /// Adds cells.
  package mutating func add(_ grid: Grid) { grids.append(grid) }

  /// Adds a line of text.
  /// - Parameter y: the line on which letters stand.
  package mutating func add(_ text: String, x: Double, y: Double, _ anchor: Anchor) {
    texts.append(Text(x: x, y: y, anchor: anchor, text: oneLine(text)))
  }
}

/// As SVG.
extension CellPicture {
  /// A whole file.
  package var svg: String {
    let size = "width=\"\(Self.short(width))\" height=\"\(Self.short(height))\""
    return """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Self.short(width)) \(Self.short(height))" \(size) \
      font-family="sans-serif" font-size="12">
      <rect width="100%" height="100%" fill="#ffffff"/>
      \(texts.map(svg).joined())\(grids.map(Self.svg).joined())</svg>

      """
  }

  /// Numbers as short as a picture needs them.
  private static func short(_ value: Double) -> String { String(format: "%.5g", value) }

  private func svg(_ text: Text) -> String {
    "<text x=\"\(Self.short(text.x))\" y=\"\(Self.short(text.y))\" text-anchor=\"\(text.anchor.rawValue)\">\(html(text.text))</text>\n"
  }

  /// A path for every colour but white, of a box for every run of equal cells in a row.
  private static func svg(_ grid: Grid) -> String {
    var boxes: [Colour: String] = [:], order: [Colour] = []
    for row in 0..<grid.rows {
      var column = 0
      while column < grid.columns {
        let colour = grid.colours[row * grid.columns + column]
        var end = column + 1
        while end < grid.columns, grid.colours[row * grid.columns + end] == colour { end += 1 }
        if colour != white {
          if boxes[colour] == nil { order.append(colour) }
          boxes[colour, default: ""] += "M\(column) \(row)h\(end - column)v1H\(column)z"
        }
        column = end
      }
    }
    let paths = order.map { "<path fill=\"\(hex($0))\" d=\"\(boxes[$0] ?? "")\"/>\n" }.joined()
    let place = "translate(\(short(grid.x)) \(short(grid.y))) scale(\(short(grid.side)))"
    let frame =
      "x=\"\(short(grid.x))\" y=\"\(short(grid.y))\" width=\"\(short(grid.side * Double(grid.columns)))\""
      + " height=\"\(short(grid.side * Double(grid.rows)))\""
    return "<g transform=\"\(place)\" shape-rendering=\"crispEdges\">\n\(paths)</g>\n"
      + "<rect \(frame) fill=\"none\" stroke=\"#666666\"/>\n"
  }

  private static let white = Colour(255, 255, 255)

  private static func hex(_ colour: Colour) -> String {
    "#" + [colour.x, colour.y, colour.z].map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}

/// As PNG, with twice as many pixels on a side.
extension CellPicture {
  /// Writes a file of SVG, or of PNG where its name ends so.
  /// - Throws: `UsageError` when gnuplot is missing or cannot draw; `FileFailure` when the file cannot be written.
  package func write(to path: String) async throws {
    let isPNG = path.lowercased().hasSuffix(".png")
    try AtomicFile.write(isPNG ? try await png() : Array(svg.utf8), to: path)
  }

  /// Draws it with gnuplot.
  /// - Returns: the bytes of a PNG file.
  /// - Throws: `UsageError` when gnuplot is missing or cannot draw.
  package func png() async throws -> [UInt8] {
    try await Gnuplot.picture(data: pixels, canvas: .png) { output, data, _ in
      script(output: output, data: data)
    }
  }

  private static let zoom = 2.0
  private var pixelWidth: Int { Int((width * Self.zoom).rounded(.up)) }
  private var pixelHeight: Int { Int((height * Self.zoom).rounded(.up)) }

  /// Cells and frames: three bytes a pixel, row by row.
  private var pixels: [UInt8] {
    let (wide, high) = (pixelWidth, pixelHeight)
    var bytes = [UInt8](repeating: 255, count: wide * high * 3)
    func set(_ x: Int, _ y: Int, _ colour: Colour) {
      guard (0..<wide).contains(x), (0..<high).contains(y) else { return }
      for channel in 0..<3 { bytes[(y * wide + x) * 3 + channel] = colour[channel] }
    }
    for grid in grids {
      let side = grid.side * Self.zoom
      let left = Int((grid.x * Self.zoom).rounded()), top = Int((grid.y * Self.zoom).rounded())
      let right = left + Int((side * Double(grid.columns)).rounded())
      let bottom = top + Int((side * Double(grid.rows)).rounded())
      for y in top - 1...bottom {
        for x in left - 1...right {
          guard (left..<right).contains(x), (top..<bottom).contains(y) else {
            set(x, y, Colour(102, 102, 102))
            continue
          }
          let row = min(grid.rows - 1, Int(Double(y - top) / side))
          let column = min(grid.columns - 1, Int(Double(x - left) / side))
          set(x, y, grid.colours[row * grid.columns + column])
        }
      }
    }
    return bytes
  }

  private func script(output: String, data: String) -> String {
    let (wide, high) = (pixelWidth, pixelHeight)
    var lines = [
      "set terminal pngcairo size \(wide),\(high) noenhanced font \"DejaVu Sans,9\" fontscale 2 background rgb \"white\"",
      "set output \(quoted(output))", "unset border", "unset tics", "unset key",
      "set lmargin at screen 0", "set rmargin at screen 1", "set bmargin at screen 0",
      "set tmargin at screen 1",
      "set xrange [-0.5:\(Double(wide) - 0.5)]", "set yrange [\(Double(high) - 0.5):-0.5]",
    ]
    for text in texts {
      let side = [Anchor.start: "left", .middle: "center", .end: "right"][text.anchor] ?? "left"
      // A label's middle stands at its place, the line of letters some four pixels below.
      lines.append(
        "set label \(quoted(text.text)) at \(text.x * Self.zoom),\((text.y - 4) * Self.zoom) \(side) front")
    }
    lines.append(
      "plot \(quoted(data)) binary array=(\(wide),\(high)) format=\"%uchar\" using 1:2:3 with rgbimage")
    return lines.joined(separator: "\n") + "\n"
  }
}
