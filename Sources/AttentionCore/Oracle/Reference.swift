import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The naive attention that defines correctness: Double, all pairs, no tiles; fast code never calls it.
///
/// Beside every result it returns the *magnitude*: the same sum with every term replaced by its absolute value. A
/// float32 implementation can be wrong by a small multiple of `2^-24` times this magnitude and no more, whatever
/// cancels; `ErrorBudget` derives the multiple.
/// - Complexity: O(batch · heads · queryLength · keyLength) calls of the multiplicity, times the head dim where it is
///   not 0.
public struct Reference: Sendable {
  /// The definition.
  public let oracle: Oracle
  /// The inputs.
  public let inputs: ReferenceInputs

  let shape: AttentionShape
  /// `q_j / ‖q_j‖` of every row when the keys are the normalised queries.
  let normalized: [Double]

  /// Creates a reference.
  /// - Precondition: the inputs have the sizes of the oracle's shape.
  public init(_ oracle: Oracle, _ inputs: ReferenceInputs) {
    self.oracle = oracle
    self.inputs = inputs
    shape = oracle.shape
    let shape = oracle.shape
    precondition(
      inputs.local.query.count == shape.queryShape.reduce(1, *), "q has another size than \(shape)")
    precondition(
      inputs.local.value.count == shape.valueShape.reduce(1, *), "v has another size than \(shape)")
    normalized =
      oracle.keySource == .normalizedQueries
      ? Reference.normalize(inputs.local.query, dim: shape.headDim) : []
  }

  /// The result of the forward pass.
  public struct Forward: Sendable {
    /// `[batch, queryHeads, queryLength, valueDim]`.
    public var output: [Double]
    /// `Σ_j p_ij |v_j|`, as `output`.
    public var outputMagnitude: [Double]
    /// `[batch, queryHeads, queryLength]`; −∞ in rows without keys.
    public var lse: [Double]
    /// The largest `scale · Σ_t |q_it k_jt| + |bias|` of all counted pairs.
    public var scoreMagnitude: Double
    /// The most counted pairs of a row.
    public var mostKeys: Int
    /// The largest `|s_ij|` of a row's counted pairs, as `lse`.
    public var largestScores: [Double]

    /// What a variant in single precision has to return for `lse`: NaN in rows with a score that it does not hold.
    public var singlePrecisionLSE: [Float] {
      zip(lse, largestScores).map { $1 <= ScoreOverflow.limit ? Float($0) : .nan }
    }
  }

  /// A pair that counts, with its score.
  struct Pair {
    var key: Int
    var count: Double
    var score: Double
    var magnitude: Double
  }

  /// Where a row's inputs lie.
  struct Row {
    let batch: Int, head: Int, query: Int
    let isGlobal: Bool
    /// Offsets of q_i and of the first key and value row of its head.
    let queryStart: Int, keyStart: Int, valueStart: Int, outputStart: Int
    let index: Int
  }

  func row(_ batch: Int, _ head: Int, _ query: Int) -> Row {
    let index = (batch * shape.queryHeads + head) * shape.queryLength + query
    let keyHead = batch * shape.keyHeads + shape.keyHead(of: head)
    let keyRows =
      oracle.keySource == .normalizedQueries ? batch * shape.queryHeads + head : keyHead
    return Row(
      batch: batch, head: head, query: query,
      isGlobal: inputs.global != nil && (oracle.isGlobalRow?(query) ?? false),
      queryStart: index * shape.headDim, keyStart: keyRows * shape.keyLength * shape.headDim,
      valueStart: keyHead * shape.keyLength * shape.valueDim, outputStart: index * shape.valueDim,
      index: index)
  }

  func projections(_ row: Row) -> ReferenceInputs.Projections {
    if row.isGlobal, let global = inputs.global { return global }
    return inputs.local
  }

  func keys(_ row: Row) -> [Double] {
    oracle.keySource == .normalizedQueries ? normalized : projections(row).key
  }

  /// The pairs of a row that count, with their scores.
  func pairs(_ row: Row) -> [Pair] {
    let query = projections(row).query
    let keys = keys(row)
    var pairs: [Pair] = []
    for key in 0..<shape.validKeys(batch: row.batch) {
      let count = oracle.multiplicity(row.batch, row.head, row.query, key)
      guard count > 0 else { continue }
      let dot = DoubleVectors.dot(
        query, row.queryStart, keys, row.keyStart + key * shape.headDim, count: shape.headDim)
      let bias = oracle.bias?(row.batch, row.head, row.query, key) ?? 0
      pairs.append(
        Pair(
          key: key, count: Double(count), score: oracle.scale * dot.sum + bias,
          magnitude: oracle.scale.magnitude * dot.magnitude + bias.magnitude))
    }
    return pairs
  }

  /// `log Σ m exp(s)`; −∞ of nothing.
  static func logSumExp(_ pairs: [Pair]) -> Double {
    guard let largest = pairs.map(\.score).max() else { return -.infinity }
    return largest + log(pairs.reduce(0) { $0 + $1.count * exp($1.score - largest) })
  }

  static func normalize(_ rows: [Double], dim: Int) -> [Double] {
    var result = rows
    for start in stride(from: 0, to: rows.count, by: dim) {
      let norm = DoubleVectors.dot(rows, start, rows, start, count: dim).sum.squareRoot()
      for t in start..<start + dim { result[t] = norm > 0 ? rows[t] / norm : 0 }
    }
    return result
  }

  /// Computes output and LSE.
  public func forward() -> Forward {
    let size = shape.outputShape.reduce(1, *)
    var result = Forward(
      output: [Double](repeating: 0, count: size), outputMagnitude: [Double](repeating: 0, count: size),
      lse: [Double](repeating: -.infinity, count: shape.lseShape.reduce(1, *)), scoreMagnitude: 0,
      mostKeys: 0,
      largestScores: [Double](repeating: 0, count: shape.lseShape.reduce(1, *)))
    forEachRow { row in
      let pairs = pairs(row)
      let lse = Reference.logSumExp(pairs)
      result.lse[row.index] = lse
      result.mostKeys = max(result.mostKeys, pairs.count)
      let values = projections(row).value
      for pair in pairs {
        result.scoreMagnitude = max(result.scoreMagnitude, pair.magnitude)
        result.largestScores[row.index] = max(result.largestScores[row.index], pair.score.magnitude)
        let weight = pair.count * exp(pair.score - lse)
        let start = row.valueStart + pair.key * shape.valueDim
        DoubleVectors.add(
          weight, values, start, to: &result.output, row.outputStart, count: shape.valueDim)
        DoubleVectors.add(
          weight, values, start, to: &result.outputMagnitude, row.outputStart, count: shape.valueDim,
          absolute: true)
      }
    }
    return result
  }

  func forEachRow(_ body: (Row) -> Void) {
    for batch in 0..<shape.batch {
      for head in 0..<shape.queryHeads {
        for query in 0..<shape.queryLength { body(row(batch, head, query)) }
      }
    }
  }
}
