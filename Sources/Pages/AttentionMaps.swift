import ArrayFiles
import AttentionCore
import Basics
import Figures
import Foundation
import Measuring
import Tensors

/// The attention weights of a trained model on tokens, layer by layer and head by head: `forward --attention`.
///
/// They come from the definitions of the layers' variants, `w_ij = m_ij e^{s_ij} / Σ_j m_ij e^{s_ij}`, pair by pair in double
/// precision. What goes to a sink, or to a key that is none of the sequence's, is missing from a row's sum.
package struct AttentionMaps {
  private let names: [String]
  private let batch: Int
  private let heads: Int
  private let rows: Int
  private let keys: Int
  /// `[layers, batch, heads, rows, keys]`.
  private let weights: [Float]

  /// The most weights that are computed.
  private static let most = 1 << 28

  /// Computes all weights.
  /// - Parameter heard: what the layers' attention read.
  /// - Throws: `UsageError` for layers of different sizes, which no array holds, and for too many weights; what definitions
  ///   throw.
  /// - Complexity: O(layers · batch · heads · rows · keys · width).
  package init(_ heard: [HeardAttention]) throws {
    guard let shape = heard.first?.variant.shape else {
      throw UsageError("--attention: the model has no attention on these tokens")
    }
    func size(_ shape: AttentionShape) -> [Int] {
      [shape.batch, shape.queryHeads, shape.queryLength, shape.keyLength]
    }
    if let other = heard.first(where: { size($0.variant.shape) != size(shape) }) {
      throw UsageError(
        "--attention: \(heard[0].layer) and \(other.layer) have maps \(size(shape)) and \(size(other.variant.shape)): "
          + "one array cannot hold both")
    }
    let count = size(shape).reduce(heard.count) { $0.multipliedReportingOverflow(by: $1).partialValue }
    guard (1...Self.most).contains(count) else {
      throw UsageError(
        "--attention: \(heard.count) layers of \(size(shape)) are more than \(Self.most) weights; give fewer tokens"
      )
    }
    names = heard.map(\.layer)
    (batch, heads, rows, keys) = (shape.batch, shape.queryHeads, shape.queryLength, shape.keyLength)
    var weights = [Float](repeating: 0, count: count), start = 0
    for attention in heard {
      guard let definition = try attention.variant.definition(of: attention.inputs) as? any PairDefinition
      else {
        throw UsageError("--attention: \(attention.layer) is a recurrence: it has no weights of pairs")
      }
      let inputs = DefinitionInputs(attention.inputs, lazily: true)
      for row in shape.definitionRows {
        let sum = definition.forward(inputs, rows: [row]).lse[0]
        for pair in definition.pairs(of: row, inputs) {
          guard let key = pair.key else { continue }
          weights[start + key] += Float(pair.count * exp(pair.score - sum) * pair.factor)
        }
        start += keys
      }
    }
    self.weights = weights
  }

  /// The weights, `[layers, batch, heads, rows, keys]`.
  package var array: NpyArray { NpyArray(weights, shape: [names.count, batch, heads, rows, keys]) }

  /// Writes an array or a picture, as the file's ending says.
  /// - Parameter path: `.npy`, `.svg` or `.png`.
  /// - Throws: `UsageError` for another ending; `FileFailure`, `NpyError` when it cannot be written.
  package func write(to path: String) throws {
    switch URL(fileURLWithPath: path).pathExtension {
    case "npy": try array.write(to: path)
    case "svg": try AtomicFile.write(Array(svg.utf8), to: path)
    case "png": try AtomicFile.write(png, to: path)
    default: throw UsageError("--attention \(path): it takes a name that ends in .npy, .svg or .png")
    }
  }
}

/// Heat maps of the first sequence: a row of panels a layer, a panel a head.
extension AttentionMaps {
  /// The most cells of a panel on a side; of more tokens a cell shows its largest weight.
  private static let mostCells = 96

  private var cellSize: Int { (max(rows, keys) + Self.mostCells - 1) / Self.mostCells }
  private var cellRows: Int { (rows + cellSize - 1) / cellSize }
  private var cellColumns: Int { (keys + cellSize - 1) / cellSize }

  /// The cells of a panel, in 0 … 1.
  private func cells(layer: Int, head: Int) -> [Float] {
    var cells = [Float](repeating: 0, count: cellRows * cellColumns)
    let start = (layer * batch * heads + head) * rows * keys
    for row in 0..<rows {
      for key in 0..<keys {
        let cell = row / cellSize * cellColumns + key / cellSize
        cells[cell] = max(cells[cell], weights[start + row * keys + key])
      }
    }
    return cells
  }

  /// From pale to dark with falling lightness, told apart with every kind of colour vision and in print: anchors of ColorBrewer's
  /// YlGnBu. The square root of a weight is shown, so that weights of some percent can be seen.
  private static func colour(_ weight: Float) -> [UInt8] {
    let anchors: [[Double]] = [
      [255, 255, 255], [199, 233, 180], [65, 182, 196], [34, 94, 168], [8, 29, 88],
    ]
    let place = min(1, max(0, Double(weight))).squareRoot() * Double(anchors.count - 1)
    let first = min(anchors.count - 2, Int(place)), share = place - Double(first)
    return zip(anchors[first], anchors[first + 1]).map { UInt8(($0 + share * ($1 - $0)).rounded()) }
  }

  /// A vector picture on white, which stays readable on a dark page.
  package var svg: String {
    let side = 120.0, gap = 14.0, left = 78.0, top = 58.0
    let scale = side / Double(max(cellRows, cellColumns))
    let width = left + Double(heads) * (side + gap) + 10
    let height = top + Double(names.count) * (side + gap) + 34
    func text(_ x: Double, _ y: Double, _ anchor: String, _ text: String) -> String {
      "<text x=\"\(Self.short(x))\" y=\"\(Self.short(y))\" text-anchor=\"\(anchor)\">\(html(text))</text>\n"
    }
    var shapes = text(12, 20, "start", "attention weights, \(rows) queries (down) × \(keys) keys (across)")
    for head in 0..<heads {
      shapes += text(left + Double(head) * (side + gap) + side / 2, top - 8, "middle", "head \(head)")
    }
    for layer in names.indices {
      let y = top + Double(layer) * (side + gap)
      shapes += text(left - 8, y + side / 2 + 4, "end", "layer \(layer)")
      for head in 0..<heads {
        shapes += panel(layer, head, left + Double(head) * (side + gap), y, side, scale)
      }
    }
    shapes += legend(left, height - 24)
    return """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Self.short(width)) \(Self.short(height))" \
      width="\(Self.short(width))" height="\(Self.short(height))" font-family="sans-serif" font-size="12">
      <rect width="100%" height="100%" fill="#ffffff"/>
      \(shapes)</svg>

      """
  }

  private static func short(_ value: Double) -> String { Quantity.significant(value, 5) }

  /// One rectangle a run of equal cells.
  private func panel(
    _ layer: Int, _ head: Int, _ x: Double, _ y: Double, _ side: Double, _ scale: Double
  ) -> String {
    let cells = cells(layer: layer, head: head)
    var shapes = ""
    for row in 0..<cellRows {
      var column = 0
      while column < cellColumns {
        let colour = Self.colour(cells[row * cellColumns + column])
        var end = column + 1
        while end < cellColumns, Self.colour(cells[row * cellColumns + end]) == colour { end += 1 }
        if colour != [255, 255, 255] {
          shapes +=
            "<rect x=\"\(column)\" y=\"\(row)\" width=\"\(end - column)\" height=\"1\" fill=\"\(Self.hex(colour))\"/>\n"
        }
        column = end
      }
    }
    let (width, height) = (scale * Double(cellColumns), scale * Double(cellRows))
    return
      "<g transform=\"translate(\(Self.short(x)) \(Self.short(y))) scale(\(Self.short(scale)))\" shape-rendering=\"crispEdges\">\n"
      + shapes
      + "</g>\n<rect x=\"\(Self.short(x))\" y=\"\(Self.short(y))\" width=\"\(Self.short(width))\" height=\"\(Self.short(height))\" fill=\"none\" stroke=\"#888888\"/>\n"
  }

  private static func hex(_ colour: [UInt8]) -> String {
    "#" + colour.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  /// Five weights with their colours.
  private func legend(_ left: Double, _ y: Double) -> String {
    let weights: [Float] = [0, 0.01, 0.1, 0.3, 1]
    return weights.enumerated().map { place, weight in
      let x = left + Double(place) * 56
      return
        "<rect x=\"\(Self.short(x))\" y=\"\(Self.short(y))\" width=\"14\" height=\"14\" fill=\"\(Self.hex(Self.colour(weight)))\" stroke=\"#888888\"/>"
        + "<text x=\"\(Self.short(x + 19))\" y=\"\(Self.short(y + 11))\">\(weight == 0 || weight == 1 ? "\(Int(weight))" : "\(weight)")</text>\n"
    }.joined()
  }

  /// A raster picture of the panels alone.
  package var png: [UInt8] {
    let zoom = max(1, 96 / max(cellRows, cellColumns)), gap = 6
    let width = gap + heads * (cellColumns * zoom + gap)
    let height = gap + names.count * (cellRows * zoom + gap)
    var pixels = [UInt8](repeating: 200, count: height * (width * 3 + 1))
    for row in 0..<height { pixels[row * (width * 3 + 1)] = 0 }
    for layer in names.indices {
      for head in 0..<heads {
        let cells = cells(layer: layer, head: head)
        let top = gap + layer * (cellRows * zoom + gap), left = gap + head * (cellColumns * zoom + gap)
        for y in 0..<cellRows * zoom {
          for x in 0..<cellColumns * zoom {
            let place = (top + y) * (width * 3 + 1) + 1 + (left + x) * 3
            pixels.replaceSubrange(
              place..<place + 3, with: Self.colour(cells[y / zoom * cellColumns + x / zoom]))
          }
        }
      }
    }
    return PNGFile(width: width, height: height, filteredRows: pixels).bytes
  }
}
