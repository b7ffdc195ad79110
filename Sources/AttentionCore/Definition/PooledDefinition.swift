import Tensors

/// A definition that takes a further key in every row, such as a sink.
public protocol ExtensibleDefinition: PairDefinition {
  /// The same with a key more in every row.
  /// - Parameters:
  ///   - key: the further key.
  ///   - operands: what it reads.
  func adding(_ key: SoftmaxDefinition.ExtraKey, reading operands: [Operand]) -> Self
}

extension SoftmaxDefinition: ExtensibleDefinition {}

/// The definition of a softmax over groups of neighbouring keys: a group has the mean of its keys and of its values, and counts as
/// often as it has keys.
///
/// `s_ig = scale · q_i·k̄_g`, `o_i = Σ_g c_g e^{s_ig} v̄_g / Σ_g c_g e^{s_ig}` over the groups that row i sees; keys behind the end of
/// a sequence are in no group. Every key of a group gets a c-th of its gradient.
public struct PooledDefinition: ExtensibleDefinition {
  /// The sizes of the keys themselves, including key padding.
  public let shape: AttentionShape
  /// All groups; a group of one key is that key.
  let groups: [Range<Int>]
  /// A group counts at its first key, as often as it has keys.
  public let multiplicity: @Sendable (Int, Int, Int, Int) -> Int
  /// The same softmax over groups as if they were keys.
  private var pooled: SoftmaxDefinition

  /// Creates a definition.
  /// - Parameters:
  ///   - shape: the sizes of the keys themselves.
  ///   - groups: all that some row of some sequence may see.
  ///   - sees: whether `(batch, query row, group)` count; a group without valid keys never does.
  public init(
    shape: AttentionShape, groups: [Range<Int>],
    sees: @escaping @Sendable (_ batch: Int, _ query: Int, _ group: Range<Int>) -> Bool
  ) {
    self.shape = shape
    self.groups = groups
    var whole = shape
    (whole.isCausal, whole.keyLength, whole.keyLengths) = (false, groups.count, nil)
    pooled = SoftmaxDefinition(shape: whole) { batch, _, query, group in
      let valid = PooledDefinition.valid(groups[group], shape, batch)
      return valid.isEmpty || !sees(batch, query, groups[group]) ? 0 : valid.count
    }
    let byFirst = Dictionary(grouping: groups.indices, by: { groups[$0].lowerBound })
    let count = pooled.multiplicity
    multiplicity = { batch, head, query, key in
      (byFirst[key] ?? []).reduce(0) { $0 + count(batch, head, query, $1) }
    }
  }

  private static func valid(_ group: Range<Int>, _ shape: AttentionShape, _ batch: Int) -> Range<Int> {
    let end = shape.validKeys(batch: batch)
    return min(group.lowerBound, end)..<min(group.upperBound, end)
  }

  /// The groups that the row sees.
  public func pairCount(of row: DefinitionRow) -> Int {
    groups.indices.count { pooled.multiplicity(row.batch, row.head, row.query, $0) > 0 }
  }

  /// The same with a key more in every row.
  public func adding(_ key: SoftmaxDefinition.ExtraKey, reading operands: [Operand]) -> PooledDefinition {
    var result = self
    result.pooled = pooled.adding(key, reading: operands)
    return result
  }

  /// The inputs with means for keys and values.
  /// - Parameter absolute: means of absolute values, which bound the rounding of means.
  private func means(_ inputs: DefinitionInputs, absolute: Bool = false) -> DefinitionInputs {
    var result = inputs
    for (name, dim) in [(Operand.Name.key, shape.headDim), (.value, shape.valueDim)] {
      let rows = inputs[name]
      var means = [Double](repeating: 0, count: shape.batch * shape.keyHeads * groups.count * dim)
      for head in 0..<shape.batch * shape.keyHeads {
        for (index, group) in groups.enumerated() {
          let valid = PooledDefinition.valid(group, shape, head / shape.keyHeads)
          let share = [Double](repeating: 1 / Double(max(1, valid.count)), count: valid.count)
          DoubleVectors.addRows(
            share, .init(rows, from: head * shape.keyLength * dim, step: dim, count: dim), Array(valid),
            to: &means, from: (head * groups.count + index) * dim, step: 0, absolute: absolute)
        }
      }
      result[name] = means
    }
    return result
  }

  /// Output and LSE of some rows.
  public func forward(_ inputs: DefinitionInputs, rows: [DefinitionRow]) -> DefinitionResult {
    let means = means(inputs)
    var result = pooled.forward(means, rows: rows), terms = means
    terms[.value] = self.means(inputs, absolute: true)[.value]
    result.outputMagnitude = pooled.forward(terms, rows: rows).outputMagnitude
    return result
  }

  /// Adds the gradients of a loss on some rows.
  public func backward(
    _ outputGradient: [Double], _ inputs: DefinitionInputs, rows: [DefinitionRow],
    into gradient: inout some DefinitionGradientCollector
  ) {
    let means = means(inputs)
    let sizes = means.sizes.filter { PooledDefinition.isPooled($0.key) }
    var collected = Collected(target: gradient, ofGroups: DefinitionGradient(sizes: sizes))
    pooled.backward(outputGradient, means, rows: rows, into: &collected)
    gradient = collected.target
    spread(collected.ofGroups, into: &gradient)
  }

  private static func isPooled(_ operand: Operand.Name) -> Bool { operand == .key || operand == .value }

  /// Gives every key of a group its part of the group's gradient.
  private func spread(
    _ groupGradient: DefinitionGradient, into gradient: inout some DefinitionGradientCollector
  ) {
    for (name, dim) in [(Operand.Name.key, shape.headDim), (.value, shape.valueDim)] {
      let values = groupGradient.values[name] ?? [], magnitudes = groupGradient.magnitudes[name] ?? []
      for row in 0..<values.count / dim {
        let head = row / groups.count
        let valid = PooledDefinition.valid(groups[row % groups.count], shape, head / shape.keyHeads)
        let value = DefinitionVector(values, from: row * dim, count: dim)
        let magnitude = DefinitionVector(magnitudes, from: row * dim, count: dim)
        for key in valid {
          let place = (head * shape.keyLength + key) * dim
          gradient.add(to: name, at: place, 1 / Double(valid.count), value)
          gradient.addMagnitude(to: name, at: place, 1 / Double(valid.count), magnitude)
        }
      }
    }
  }

  /// Keeps the gradients of means apart; all others go where they belong.
  private struct Collected<Target: DefinitionGradientCollector>: DefinitionGradientCollector {
    var target: Target
    var ofGroups: DefinitionGradient

    mutating func add(to operand: Operand.Name, at start: Int, _ factor: Double, _ source: DefinitionVector) {
      if isPooled(operand) {
        ofGroups.add(to: operand, at: start, factor, source)
      } else {
        target.add(to: operand, at: start, factor, source)
      }
    }

    mutating func addMagnitude(
      to operand: Operand.Name, at start: Int, _ factor: Double, _ source: DefinitionVector
    ) {
      if isPooled(operand) {
        ofGroups.addMagnitude(to: operand, at: start, factor, source)
      } else {
        target.addMagnitude(to: operand, at: start, factor, source)
      }
    }

    mutating func add(to operand: Operand.Name, _ terms: DefinitionTerms) {
      if isPooled(operand) { ofGroups.add(to: operand, terms) } else { target.add(to: operand, terms) }
    }
  }

  /// The groups of rows that count; the value of a group of one key is that key's.
  public func pairs(of rows: [DefinitionRow], _ inputs: DefinitionInputs) -> [[DefinitionPair]] {
    let terms = means(inputs, absolute: true)[.value]
    return zip(rows, pooled.pairs(of: rows, means(inputs))).map { row, pairs in
      let head = row.batch * shape.keyHeads + shape.keyHead(of: row.head)
      return pairs.map { own($0, head: head, terms: terms) }
    }
  }

  /// The pair of a group as one of the keys themselves.
  private func own(_ pair: DefinitionPair, head: Int, terms: [Double]) -> DefinitionPair {
    guard let index = pair.key else { return pair }
    let group = groups[index], isKey = group.count == 1
    var own = DefinitionPair(
      key: group.lowerBound, count: pair.count, score: pair.score, magnitude: pair.magnitude,
      valueOperand: isKey ? pair.valueOperand : nil,
      valuePlace: isKey ? (head * shape.keyLength + group.lowerBound) * shape.valueDim : 0,
      value: pair.value)
    (own.factor, own.uncapped, own.slope) = (pair.factor, pair.uncapped, pair.slope)
    own.valueTerms = DefinitionVector(
      terms, from: (head * groups.count + index) * shape.valueDim, count: shape.valueDim)
    return own
  }

  /// As of any softmax.
  public func hasRowwiseGradient(of operand: Operand.Name) -> Bool {
    pooled.hasRowwiseGradient(of: operand)
  }

  /// The bounds of float32: means are made of numbers that are no smaller, with one rounding a level.
  public func budget(scoreMagnitude: Double, mostKeys: Int) -> ErrorBudget {
    pooled.budget(scoreMagnitude: scoreMagnitude, mostKeys: mostKeys)
  }
}
