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
    let array: [Double]
    /// Of key 0 in `array`, and in the operand.
    let offset: Int, start: Int
    let perKey: Int
    let count: Int

    func vector(_ key: Int) -> DefinitionVector {
      DefinitionVector(array, from: offset + key * perKey, count: count)
    }
    /// Where it lies in the operand.
    func place(_ key: Int) -> Int { start + key * perKey }
  }

  private let definition: SoftmaxDefinition
  private let inputs: DefinitionInputs
  /// The stretch of an operand that was up-converted or derived last.
  private var kept: [Operand.Name: (start: Int, part: DefinitionVector)] = [:]

  init(_ definition: SoftmaxDefinition, _ inputs: DefinitionInputs) {
    self.definition = definition
    self.inputs = inputs
  }

  /// The rows of an operand for a query row.
  mutating func rows(of name: Operand.Name, _ row: DefinitionRow) -> Rows {
    let shape = definition.shape
    guard let operand = definition.declared[name] else {
      preconditionFailure("the definition reads \(name), which is not declared")
    }
    let extents = operand.extents(at: shape)
    let strides = Tensor.rowMajorStrides(extents)
    var start = 0, perKey = 0, count = 1
    for (axis, stride) in zip(operand.axes, strides) {
      switch axis {
      case .batch: start += row.batch * stride
      case .queryHeads: start += row.head * stride
      case .keyHeads: start += shape.keyHead(of: row.head) * stride
      case .queries: start += row.query * stride
      case .keys: perKey = stride
      case .headDim, .valueDim, .width, .fixed, .any: break
      }
    }
    switch operand.axes.last {
    case .headDim?, .valueDim?, .width?, .fixed?: count = extents[extents.count - 1]
    default: break
    }
    let length = perKey * (perKey > 0 ? shape.keyLength - 1 : 0) + count
    let part = part(of: name, from: start, count: length)
    return Rows(array: part.array, offset: part.start, start: start, perKey: perKey, count: count)
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

  /// The pairs of a row that count, with their scores: those of the sequence's keys, then the one that all rows have.
  mutating func pairs(_ row: DefinitionRow) -> [DefinitionPair] {
    ownPairs(row) + (definition.extraKey.map { [extraPair($0, row)] } ?? [])
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

  private mutating func ownPairs(_ row: DefinitionRow) -> [DefinitionPair] {
    let shape = definition.shape
    var pairs: [DefinitionPair] = []
    let name = definition.value(row)
    let values = rows(of: name, row)
    for key in 0..<shape.validKeys(batch: row.batch) {
      let count = definition.multiplicity(row.batch, row.head, row.query, key)
      guard count > 0 else { continue }
      pairs.append(
        DefinitionPair(
          key: key, count: Double(count), score: 0, magnitude: 0, valueOperand: name,
          valuePlace: values.place(key), value: values.vector(key)))
    }
    guard !pairs.isEmpty else { return [] }
    let keys = pairs.compactMap(\.key)
    for term in definition.summands(row) {
      switch term {
      case .product(let a, let b, let factor):
        let (left, right) = (rows(of: a, row), rows(of: b, row))
        for index in pairs.indices {
          let key = keys[index]
          let product = left.vector(key).dot(right.vector(key))
          pairs[index].score += factor * product.sum
          pairs[index].magnitude += factor.magnitude * product.magnitude
        }
      case .transformed(let transform):
        for index in pairs.indices {
          let value = self.value(of: transform, row, keys[index])
          pairs[index].score += value.score
          pairs[index].magnitude += value.magnitude
        }
      case .own(let term):
        let own = term.row(row, inputs)
        for index in pairs.indices {
          let value = own.value(key: keys[index])
          pairs[index].score += value.sum
          pairs[index].magnitude += value.magnitude
        }
      case .constant(let number):
        for index in pairs.indices {
          let bias = number(keys[index])
          pairs[index].score += bias
          pairs[index].magnitude += bias.magnitude
        }
      }
    }
    let factors = definition.factor?.row(row, inputs)
    for index in pairs.indices {
      if let factors { pairs[index].factor = factors.value(key: keys[index]).sum }
      pairs[index].uncapped = pairs[index].score
      (pairs[index].score, pairs[index].slope) = shape.capped(pairs[index].score)
    }
    return pairs
  }
}
