import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Finds what the terms of a definition name, row by row.
struct DefinitionReader {
  /// The rows of an operand that one query row meets: one a key, or the same for all keys.
  struct Rows {
    let rows: DoubleVectors.Rows
    /// Where the row of key 0 begins in the operand.
    let start: Int

    func vector(_ key: Int) -> DefinitionVector {
      DefinitionVector(rows.array, from: rows.start + key * rows.step, count: rows.count)
    }
    /// Where it lies in the operand.
    func place(_ key: Int) -> Int { start + key * rows.step }
  }

  /// How far apart the rows of an operand lie along every axis.
  private struct Layout {
    var batch = 0, queryHead = 0, keyHead = 0, query = 0, key = 0, count = 1

    init(_ operand: Operand, _ shape: AttentionShape) {
      let extents = operand.extents(at: shape)
      for (axis, stride) in zip(operand.axes, Tensor.rowMajorStrides(extents)) {
        switch axis {
        case .batch: batch = stride
        case .queryHeads: queryHead = stride
        case .keyHeads: keyHead = stride
        case .queries: query = stride
        case .keys: key = stride
        case .headDim, .valueDim, .width, .fixed, .any: break
        }
      }
      switch operand.axes.last {
      case .headDim?, .valueDim?, .width?, .fixed?: count = extents[extents.count - 1]
      default: break
      }
    }
  }

  private let definition: SoftmaxDefinition
  private let inputs: DefinitionInputs
  /// The stretch of an operand that was up-converted or derived last.
  private var kept: [Operand.Name: (start: Int, part: DefinitionVector)] = [:]
  private var layouts: [Operand.Name: Layout] = [:]

  init(_ definition: SoftmaxDefinition, _ inputs: DefinitionInputs) {
    self.definition = definition
    self.inputs = inputs
  }

  /// The rows of an operand for a query row.
  mutating func rows(of name: Operand.Name, _ row: DefinitionRow) -> Rows {
    let shape = definition.shape, layout = layout(of: name)
    let start =
      row.batch * layout.batch + row.head * layout.queryHead
      + shape.keyHead(of: row.head) * layout.keyHead + row.query * layout.query
    let length = layout.key * (layout.key > 0 ? shape.keyLength - 1 : 0) + layout.count
    let part = part(of: name, from: start, count: length)
    return Rows(
      rows: DoubleVectors.Rows(part.array, from: part.start, step: layout.key, count: layout.count),
      start: start)
  }

  private mutating func layout(of name: Operand.Name) -> Layout {
    if let known = layouts[name] { return known }
    guard let operand = definition.declared[name] else {
      preconditionFailure("the definition reads \(name), which is not declared")
    }
    let layout = Layout(operand, definition.shape)
    layouts[name] = layout
    return layout
  }

  private mutating func part(of name: Operand.Name, from start: Int, count: Int) -> DefinitionVector {
    if let kept = kept[name], kept.start == start, kept.part.count == count { return kept.part }
    let part: DefinitionVector
    if let source = definition.normalized[name] {
      let given = inputs.part(of: source, from: start, count: count)
      part = DefinitionVector(
        DefinitionReader.normalized(given, dim: definition.shape.headDim), from: 0, count: count)
    } else {
      part = inputs.part(of: name, from: start, count: count)
    }
    kept[name] = (start, part)
    return part
  }

  /// Rows divided by their Euclidean norm; a row of zeros stays zero.
  static func normalized(_ rows: DefinitionVector, dim: Int) -> [Double] {
    var result = Array(rows.array[rows.start..<rows.start + rows.count])
    for start in stride(from: 0, to: result.count, by: dim) {
      let norm = DoubleVectors.dot(result, start, result, start, count: dim).sum.squareRoot()
      for t in start..<start + dim { result[t] = norm > 0 ? result[t] / norm : 0 }
    }
    return result
  }

  /// The pairs of a row that count, with their scores.
  mutating func pairs(_ row: DefinitionRow) -> DefinitionPairs {
    let name = definition.value(row)
    var keys: [Int] = [], counts: [Double] = []
    for key in 0..<definition.shape.validKeys(batch: row.batch) {
      let count = definition.multiplicity(row.batch, row.head, row.query, key)
      guard count > 0 else { continue }
      keys.append(key)
      counts.append(Double(count))
    }
    var pairs = DefinitionPairs(
      keys: keys, counts: counts, valueOperand: name, values: rows(of: name, row))
    if !keys.isEmpty {
      for term in definition.summands(row) { add(term, row, to: &pairs) }
      pairs.uncapped = pairs.scores
      if definition.shape.softcap != nil {
        for index in keys.indices {
          (pairs.scores[index], pairs.slopes[index]) = definition.shape.capped(pairs.uncapped[index])
        }
      }
      if let factors = definition.factor?.row(row, inputs) {
        pairs.factors = keys.map { factors.value(key: $0).sum }
      }
    }
    if let extraKey = definition.extraKey { pairs.extra = extraPair(extraKey, row) }
    return pairs
  }

  /// The pair of a key that all rows have.
  private mutating func extraPair(_ extra: SoftmaxDefinition.ExtraKey, _ row: DefinitionRow) -> DefinitionPair
  {
    let dim = definition.shape.valueDim
    let value = extra.value.map { rows(of: $0, row) }
    var pair = DefinitionPair(
      key: nil, count: 1, score: 0, magnitude: 0, valueOperand: extra.value,
      valuePlace: value?.place(0) ?? 0,
      value: value?.vector(0) ?? DefinitionVector([Double](repeating: 0, count: dim), from: 0, count: dim))
    switch extra.score {
    case .logit(let name):
      pair.score = rows(of: name, row).vector(0)[0]
      (pair.uncapped, pair.magnitude) = (pair.score, pair.score.magnitude)
    case .product(let a, let b, let factor):
      let (left, right) = (rows(of: a, row), rows(of: b, row))
      let product = left.vector(0).dot(right.vector(0))
      pair.magnitude = factor.magnitude * product.magnitude
      pair.uncapped = factor * product.sum
      (pair.score, pair.slope) = definition.shape.capped(pair.uncapped)
    }
    return pair
  }

  /// Adds a summand to the scores of a row.
  private mutating func add(
    _ term: SoftmaxDefinition.Term, _ row: DefinitionRow, to pairs: inout DefinitionPairs
  ) {
    let keys = pairs.keys
    switch term {
    case .product(let a, let b, let factor):
      DoubleVectors.addDots(
        factor, rows(of: a, row).rows, rows(of: b, row).rows, keys, to: &pairs.scores, &pairs.magnitudes)
    case .transformed(let transform):
      let own = TransformedRow(transform, row, &self)
      for index in keys.indices {
        let value = own.value(keys[index])
        pairs.scores[index] += value.score
        pairs.magnitudes[index] += value.magnitude
      }
    case .own(let term):
      let own = term.row(row, inputs)
      for index in keys.indices {
        let value = own.value(key: keys[index])
        pairs.scores[index] += value.sum
        pairs.magnitudes[index] += value.magnitude
      }
    case .constant(let number):
      for index in keys.indices {
        let bias = number(keys[index])
        pairs.scores[index] += bias
        pairs.magnitudes[index] += bias.magnitude
      }
    }
  }
}
