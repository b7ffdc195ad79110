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
  package func write(to path: String) async throws {
    switch URL(fileURLWithPath: path).pathExtension {
    case "npy": try array.write(to: path)
    case "svg", "png": try await picture.write(to: path)
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
  /// YlGnBu. The square root of a weight is shown, so that weights of some percent can be seen; in 64 steps.
  private static func colour(_ weight: Float) -> CellPicture.Colour {
    let anchors: [SIMD3<Double>] = [
      [255, 255, 255], [199, 233, 180], [65, 182, 196], [34, 94, 168], [8, 29, 88],
    ]
    let share = (min(1, max(0, Double(weight))).squareRoot() * 64).rounded() / 64
    let place = share * Double(anchors.count - 1)
    let first = min(anchors.count - 2, Int(place))
    let mixed = anchors[first] + (place - Double(first)) * (anchors[first + 1] - anchors[first])
    return CellPicture.Colour(clamping: SIMD3<Int>(mixed, rounding: .toNearestOrEven))
  }

  /// A row of panels a layer, a panel a head, and what the colours mean.
  package var picture: CellPicture {
    let side = 120.0, gap = 14.0, left = 78.0, top = 58.0
    let scale = side / Double(max(cellRows, cellColumns))
    let title = "attention weights, \(rows) queries (down) × \(keys) keys (across)"
    let legend: [Float] = [0, 0.01, 0.1, 0.3, 1]
    let step = 56.0
    let width = max(
      left + Double(heads) * (side + gap) + 10, 24 + CellPicture.letter * Double(title.count),
      left + step * Double(legend.count))
    let height = top + Double(names.count) * (side + gap) + 34
    var picture = CellPicture(width: width, height: height)
    picture.add(title, x: 12, y: 20, .start)
    for head in 0..<heads {
      picture.add("head \(head)", x: left + Double(head) * (side + gap) + side / 2, y: top - 8, .middle)
    }
    for layer in names.indices {
      let y = top + Double(layer) * (side + gap)
      picture.add("layer \(layer)", x: left - 8, y: y + side / 2 + 4, .end)
      for head in 0..<heads {
        picture.add(
          CellPicture.Grid(
            x: left + Double(head) * (side + gap), y: y, side: scale, rows: cellRows, columns: cellColumns,
            colours: cells(layer: layer, head: head).map(Self.colour)))
      }
    }
    for (place, weight) in legend.enumerated() {
      let x = left + Double(place) * step
      picture.add(
        CellPicture.Grid(x: x, y: height - 24, side: 14, rows: 1, columns: 1, colours: [Self.colour(weight)]))
      let word = weight == 0 || weight == 1 ? "\(Int(weight))" : "\(weight)"
      picture.add(word, x: x + 19, y: height - 13, .start)
    }
    return picture
  }
}
