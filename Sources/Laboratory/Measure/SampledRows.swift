import AttentionCore
import Basics
import Foundation
import Tensors

/// Exact attention on a few query rows, in Double: what a result is compared with at lengths where all pairs would take
/// too long.
///
/// `s_ij = scale · q_i·k'_j + bias_ij`, `p_ij = m_ij exp(s_ij) / Σ`, `o_i = Σ p_ij v_j`,
/// `dq_i = scale Σ p_ij (dO_i·v_j − dO_i·o_i) k'_j`.
/// - Complexity: O(rows · keyLength · (headDim + valueDim)).
struct SampledRows {
  /// A query row.
  struct Row: Hashable { let batch: Int, head: Int, query: Int }

  let shape: AttentionShape
  let rows: [Row]
  private let query: [Float], key: [Float], value: [Float]

  /// Draws up to 64 different rows; fewer at lengths where 64 would take more than a second.
  init(_ inputs: QKV, _ shape: AttentionShape, key: RandomKey) {
    self.shape = shape
    let all = shape.batch * shape.queryHeads * shape.queryLength
    let affordable = (1 << 29) / (shape.keyLength * (shape.headDim + shape.valueDim))
    let count = min(all, max(8, min(64, affordable)))
    var generator = key.generator()
    var chosen: Set<Int> = []
    // The last row sees most keys, the first fewest: both are always among the sample.
    if count >= 2 { chosen = [0, all - 1] }
    while chosen.count < count { chosen.insert(generator.integer(below: all)) }
    rows = chosen.sorted().map { index in
      let head = index / shape.queryLength
      return Row(
        batch: head / shape.queryHeads, head: head % shape.queryHeads, query: index % shape.queryLength)
    }
    (query, self.key, value) = (inputs.query.array(), inputs.key.array(), inputs.value.array())
  }

  /// The definition of full attention at this shape.
  var full: Oracle {
    let offset = shape.queryOffset
    let isCausal = shape.isCausal
    return Oracle(shape: shape, multiplicity: { _, _, i, j in !isCausal || j <= i + offset ? 1 : 0 })
  }

  /// The outputs, or with an output gradient the gradients of q, of all sampled rows.
  ///
  /// The gradient of q is that of the scores' query side; a variant whose keys are its queries has a second part,
  /// which needs all rows, and is checked at small sizes by the conformance check instead.
  func compute(_ oracle: Oracle, outputGradient: [Float]? = nil) -> [[Double]] {
    let isShared = oracle.keySource == .normalizedQueries
    let key = isShared ? normalizedQueries() : self.key
    func keyStart(_ row: Row, _ j: Int) -> Int {
      guard isShared else { return keyRow(row, j) * shape.headDim }
      return ((row.batch * shape.queryHeads + row.head) * shape.queryLength + j) * shape.headDim
    }
    return rows.map { row in
      var weights: [(key: Int, weight: Double)] = []
      var largest = -Double.infinity
      for j in 0..<shape.validKeys(batch: row.batch) {
        let count = oracle.multiplicity(row.batch, row.head, row.query, j)
        guard count > 0 else { continue }
        let score =
          oracle.scale * dot(query, queryStart(row), key, keyStart(row, j), shape.headDim)
          + (oracle.bias?(row.batch, row.head, row.query, j) ?? 0)
        largest = max(largest, score)
        weights.append((j, score + log(Double(count))))
      }
      var sum = 0.0
      for index in weights.indices {
        weights[index].weight = exp(weights[index].weight - largest)
        sum += weights[index].weight
      }
      var output = [Double](repeating: 0, count: shape.valueDim)
      for (j, weight) in weights { add(weight / sum, value, valueStart(row, j), to: &output) }
      guard let outputGradient else { return output }
      let start = outputStart(row)
      var mean = 0.0
      for t in 0..<shape.valueDim { mean += Double(outputGradient[start + t]) * output[t] }
      var gradient = [Double](repeating: 0, count: shape.headDim)
      for (j, weight) in weights {
        let product = dot(outputGradient, start, value, valueStart(row, j), shape.valueDim)
        add(oracle.scale * weight / sum * (product - mean), key, keyStart(row, j), to: &gradient)
      }
      return gradient
    }
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

  /// `‖x − y‖ ÷ ‖y‖` over all sampled rows; infinite when x has a NaN.
  static func relativeError(_ x: [[Double]], _ y: [[Double]]) -> Double {
    var difference = 0.0, norm = 0.0
    for (a, b) in zip(x.joined(), y.joined()) {
      difference += (a - b) * (a - b)
      norm += b * b
    }
    guard difference.isFinite else { return .infinity }
    return norm > 0 ? (difference / norm).squareRoot() : difference.squareRoot()
  }

  /// `q_j / ‖q_j‖` of every row.
  private func normalizedQueries() -> [Float] {
    var result = query
    for start in stride(from: 0, to: query.count, by: shape.headDim) {
      let norm = dot(query, start, query, start, shape.headDim).squareRoot()
      for t in start..<start + shape.headDim { result[t] = norm > 0 ? Float(Double(query[t]) / norm) : 0 }
    }
    return result
  }

  private func rowIndex(_ row: Row) -> Int {
    (row.batch * shape.queryHeads + row.head) * shape.queryLength + row.query
  }
  private func queryStart(_ row: Row) -> Int { rowIndex(row) * shape.headDim }
  private func outputStart(_ row: Row) -> Int { rowIndex(row) * shape.valueDim }
  private func keyRow(_ row: Row, _ j: Int) -> Int {
    (row.batch * shape.keyHeads + shape.keyHead(of: row.head)) * shape.keyLength + j
  }
  private func valueStart(_ row: Row, _ j: Int) -> Int { keyRow(row, j) * shape.valueDim }

  private func dot(_ a: [Float], _ i: Int, _ b: [Float], _ j: Int, _ count: Int) -> Double {
    var sum = 0.0
    for t in 0..<count { sum += Double(a[i + t]) * Double(b[j + t]) }
    return sum
  }

  private func add(_ factor: Double, _ a: [Float], _ i: Int, to sum: inout [Double]) {
    for t in sum.indices { sum[t] += factor * Double(a[i + t]) }
  }
}
