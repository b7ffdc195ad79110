import AttentionCore
import Basics
import Foundation
import Tensors

/// A few query rows of a result, and what the definition gives for them: what a result is compared with at lengths where all
/// pairs would take too long.
/// - Complexity: O(rows · keyLength · (headDim + valueDim)).
struct SampledRows {
  let shape: AttentionShape
  let rows: [DefinitionRow]
  private let inputs: DefinitionInputs

  /// Draws up to 64 different rows; fewer at lengths where 64 would take more than a second.
  init(_ inputs: Operands, _ shape: AttentionShape, key: RandomKey) {
    self.shape = shape
    self.inputs = DefinitionInputs(inputs, lazily: true)
    let all = shape.batch * shape.queryHeads * shape.queryLength
    let affordable = (1 << 29) / (shape.keyLength * (shape.headDim + shape.valueDim))
    let count = min(all, max(8, min(64, affordable)))
    var generator = key.generator()
    var chosen: Set<Int> = []
    // The last row sees most keys, the first fewest: both are always among the sample.
    if count >= 2 { chosen = [0, all - 1] }
    while chosen.count < count { chosen.insert(generator.integer(below: all)) }
    rows = chosen.sorted().map { shape.definitionRow($0) }
  }

  /// The definition of full attention at this shape.
  var full: any PairDefinition {
    let offset = shape.queryOffset
    let isCausal = shape.isCausal
    return SoftmaxDefinition(
      shape: shape, multiplicity: { _, _, i, j in !isCausal || j <= i + offset ? 1 : 0 })
  }

  /// The outputs, or with an output gradient the gradients of q, of all sampled rows.
  ///
  /// The gradient of q is that of the rows' own losses: of a definition whose keys are made of queries it is but a part, and
  /// is checked at small sizes by the conformance check instead.
  func compute(_ definition: any Definition, outputGradient: [Float]? = nil) -> [[Double]] {
    guard let outputGradient else {
      return split(definition.forward(inputs, rows: rows).output, shape.valueDim)
    }
    let dim = shape.valueDim
    let own = rows.flatMap { row in
      (0..<dim).map { Double(outputGradient[rowIndex(row) * dim + $0]) }
    }
    var gradient = QueryGradients(rows.map(rowIndex), dim: shape.headDim)
    definition.backward(own, inputs, rows: rows, into: &gradient)
    return split(gradient.values, shape.headDim)
  }

  private func split(_ values: [Double], _ dim: Int) -> [[Double]] {
    rows.indices.map { Array(values[$0 * dim..<($0 + 1) * dim]) }
  }

  /// The sampled rows of a tensor `[batch, queryHeads, queryLength, dim]`.
  func rows(of tensor: Tensor) -> [[Double]] {
    let dim = tensor.shape[3]
    let values = tensor.array()
    return rows.map { row in
      let start = rowIndex(row) * dim
      return (0..<dim).map { Double(values[start + $0]) }
    }
  }

  /// The share of full attention's weights that lies on pairs which a definition sees, the mean over all sampled rows;
  /// `nil`: no row sees a key, or the definition has no pairs.
  func keptMass(by definition: any Definition) -> Double? {
    guard let definition = definition as? any PairDefinition else { return nil }
    let masses = zip(rows, full.pairs(of: rows, inputs)).compactMap { row, pairs -> Double? in
      guard let largest = pairs.map(\.score).max() else { return nil }
      var kept = 0.0, all = 0.0
      for pair in pairs {
        let weight = pair.count * exp(pair.score - largest)
        all += weight
        guard let key = pair.key else { continue }
        if definition.multiplicity(row.batch, row.head, row.query, key) > 0 { kept += weight }
      }
      return kept / all
    }
    return masses.isEmpty ? nil : masses.reduce(0, +) / Double(masses.count)
  }

  /// `‖x − y‖ ÷ ‖y‖` over the sampled rows; infinite when x has a NaN.
  ///
  /// A row whose own norm is below a thousandth of the median row's is what is left of terms that cancel, such as the gradient of a
  /// first row, which sees one key: there x has nothing but rounding. It counts only where it is off by more than a thousandth of
  /// the median row.
  static func relativeError(_ x: [[Double]], _ y: [[Double]]) -> Double {
    func square(_ values: some Sequence<Double>) -> Double { values.reduce(0) { $0 + $1 * $1 } }
    let rows = zip(x, y).map { (off: square(zip($0, $1).map { $0 - $1 }), norm: square($1)) }
    let least = 1e-6 * (rows.map(\.norm).sorted().dropFirst(rows.count / 2).first ?? 0)
    var difference = 0.0, norm = 0.0
    for row in rows where !(row.norm < least && row.off < least) {
      difference += row.off
      norm += row.norm
    }
    guard difference.isFinite else { return .infinity }
    return norm > 0 ? (difference / norm).squareRoot() : difference.squareRoot()
  }

  private func rowIndex(_ row: DefinitionRow) -> Int {
    (row.batch * shape.queryHeads + row.head) * shape.queryLength + row.query
  }
}

/// Collects the gradients of some rows of q, and nothing else.
private struct QueryGradients: DefinitionGradientCollector {
  private(set) var values: [Double]
  private let places: [Int: Int]
  private let dim: Int

  init(_ rows: [Int], dim: Int) {
    self.dim = dim
    values = [Double](repeating: 0, count: rows.count * dim)
    places = Dictionary(uniqueKeysWithValues: rows.enumerated().map { ($1 * dim, $0 * dim) })
  }

  func keeps(_ operand: Operand.Name) -> Bool { operand == .query }

  mutating func add(to operand: Operand.Name, at start: Int, _ factor: Double, _ source: DefinitionVector) {
    guard operand == .query, let place = places[start] else { return }
    DoubleVectors.add(factor, source.array, source.start, to: &values, place, count: dim)
  }

  mutating func addMagnitude(
    to operand: Operand.Name, at start: Int, _ factor: Double, _ source: DefinitionVector
  ) {}
}
