import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The tokens of one key head, as the recurrence reads them, and the way back to the operands.
struct TokenReader {
  private let shape: AttentionShape, recurrence: Recurrence
  private let inputs: DefinitionInputs
  private let batch: Int, keyHead: Int

  init(_ definition: RecurrentDefinition, _ inputs: DefinitionInputs, batch: Int, keyHead: Int) {
    (shape, recurrence, self.inputs) = (definition.shape, definition.recurrence, inputs)
    (self.batch, self.keyHead) = (batch, keyHead)
  }

  /// What the gate reads at a key for a channel, and makes of it.
  private struct Step {
    var z: Double, rate: Double, size: Double
  }

  private func steps(_ gate: Recurrence.Gate, _ key: Int) -> [Step] {
    let count = gate.isByChannel ? shape.headDim : 1
    let x = inputs.part(of: gate.input, from: place(key) * count, count: count)
    let bias = inputs.part(of: gate.bias, from: keyHead * count, count: count)
    var rate = 0.0
    switch gate.rate {
    case .fixed(let number): rate = number
    case .learned(let name): rate = exp(inputs.part(of: name, from: keyHead, count: 1)[0])
    }
    return (0..<count).map { channel in
      let z = (gate.isNegated ? -1 : 1) * (x[channel] + bias[channel])
      return Step(z: z, rate: rate, size: max(z, 0) + log1p(exp(-z.magnitude)))
    }
  }

  /// What the state fades by before a key, and how strongly that is written.
  private func fading(_ key: Int) -> (factors: [Double], strength: Double) {
    func same(_ factor: Double) -> [Double] { [Double](repeating: factor, count: shape.headDim) }
    switch recurrence.decay {
    case .none: return (same(1), 1)
    case .fixed(let logs): return (same(exp(logs[keyHead])), 1)
    case .gated(let gate):
      let steps = steps(gate, key), factors = steps.map { exp(-$0.rate * $0.size) }
      return (gate.isByChannel ? factors : same(factors[0]), strength(gate, key) ?? steps[0].size)
    }
  }

  /// β of a key; `nil`: it is the step.
  private func strength(_ gate: Recurrence.Gate, _ key: Int) -> Double? {
    switch gate.strength {
    case .step: nil
    case .one: 1
    case .sigmoid(let name): 1 / (1 + exp(-inputs.part(of: name, from: place(key), count: 1)[0]))
    }
  }

  /// The way back through the gate.
  private func addGate(
    _ found: DoubleState.TokenGradient, of key: Int, to gradient: inout some DefinitionGradientCollector
  ) {
    guard let gate = recurrence.gate else { return }
    let steps = steps(gate, key), count = steps.count
    func add(_ name: Operand.Name, _ place: Int, _ value: Double, _ size: Double) {
      gradient.add(to: name, at: place, 1, DefinitionVector([value], from: 0, count: 1))
      gradient.addMagnitude(to: name, at: place, 1, DefinitionVector([size], from: 0, count: 1))
    }
    var (own, ownSize) = (0.0, 0.0)
    switch gate.strength {
    case .step: (own, ownSize) = (found.strength.values[0], found.strength.sizes[0])
    case .one: break
    case .sigmoid(let name):
      let strength = strength(gate, key) ?? 0, slope = strength * (1 - strength)
      add(name, place(key), slope * found.strength.values[0], slope * found.strength.sizes[0])
    }
    let log = found.logDecay.values, logSize = found.logDecay.sizes
    for (channel, step) in steps.enumerated() {
      let log = gate.isByChannel ? log[channel] : log.reduce(0, +)
      let logSize = gate.isByChannel ? logSize[channel] : logSize.reduce(0, +)
      let slope = (gate.isNegated ? -1 : 1) / (1 + exp(-step.z))
      let d = slope * (own - step.rate * log), size = slope.magnitude * (ownSize + step.rate * logSize)
      add(gate.input, place(key) * count + channel, d, size)
      add(gate.bias, keyHead * count + channel, d, size)
      if case .learned(let name) = gate.rate {
        add(name, keyHead, -step.rate * step.size * log, step.rate * step.size * logSize)
      }
    }
  }

  // MARK: - What passes by the state

  /// D of a query's head and the place of the value at its own position; `nil`: nothing passes.
  private func skip(of row: DefinitionRow) -> (factor: Double, place: Int)? {
    let key = row.query + shape.queryOffset
    guard let name = recurrence.skip, key >= 0, key < shape.validKeys(batch: batch) else { return nil }
    return (inputs.part(of: name, from: row.head, count: 1)[0], place(key) * shape.valueDim)
  }

  func addSkip(of row: DefinitionRow, to read: inout DoubleState.Sums) {
    guard let skip = skip(of: row) else { return }
    let value = inputs.part(of: .value, from: skip.place, count: shape.valueDim)
    for t in 0..<shape.valueDim {
      read.values[t] += skip.factor * value[t]
      read.sizes[t] += (skip.factor * value[t]).magnitude
    }
  }

  func addSkipGradient(
    _ outputGradient: [Double], of row: DefinitionRow, to gradient: inout some DefinitionGradientCollector
  ) {
    guard let name = recurrence.skip, let skip = skip(of: row) else { return }
    let d = DefinitionVector(outputGradient, from: 0, count: shape.valueDim)
    let value = inputs.part(of: .value, from: skip.place, count: shape.valueDim), along = d.dot(value)
    gradient.add(to: .value, at: skip.place, skip.factor, d)
    gradient.addMagnitude(to: .value, at: skip.place, skip.factor.magnitude, d)
    gradient.add(to: name, at: row.head, along.sum, DefinitionVector([1], from: 0, count: 1))
    gradient.addMagnitude(to: name, at: row.head, along.magnitude, DefinitionVector([1], from: 0, count: 1))
  }

  /// A state without tokens: with a normaliser a value has an element more, which is 1 of every token.
  var empty: DoubleState {
    DoubleState(
      keyDim: shape.headDim, valueDim: shape.valueDim + (recurrence.normalizer == nil ? 0 : 1))
  }

  private func place(_ key: Int) -> Int { (batch * shape.keyHeads + keyHead) * shape.keyLength + key }

  private func place(_ row: DefinitionRow) -> Int {
    (row.batch * shape.queryHeads + row.head) * shape.queryLength + row.query
  }

  private func row(_ operand: Operand.Name, _ place: Int, _ dim: Int) -> [Double] {
    let part = inputs.part(of: operand, from: place * dim, count: dim)
    return (0..<dim).map { part[$0] }
  }

  func token(_ key: Int) -> DoubleState.Token {
    let value = row(.value, place(key), shape.valueDim), fading = fading(key)
    return DoubleState.Token(
      decay: fading.factors,
      key: mapped(row(.key, place(key), shape.headDim)),
      value: value + (recurrence.normalizer == nil ? [] : [1]), strength: fading.strength,
      isDelta: recurrence.isDelta)
  }

  func query(_ row: DefinitionRow) -> [Double] { mapped(self.row(.query, place(row), shape.headDim)) }

  /// What was read, over the normaliser.
  func output(_ read: DoubleState.Sums) -> DoubleState.Sums {
    guard let epsilon = recurrence.normalizer, let sum = read.values.last else { return read }
    let factor = sum + epsilon == 0 ? 0 : 1 / (sum + epsilon)
    var result = DoubleState.Sums(count: shape.valueDim)
    for t in 0..<shape.valueDim {
      result.values[t] = factor * read.values[t]
      result.sizes[t] = factor.magnitude * read.sizes[t]
    }
    return result
  }

  /// The gradient of what was read; `nil` where the output does not depend on it.
  func readGradient(_ outputGradient: [Double], _ read: DoubleState.Sums) -> DoubleState.Sums? {
    var result = DoubleState.Sums(count: read.values.count)
    guard let epsilon = recurrence.normalizer, let sum = read.values.last else {
      result.values = outputGradient
      result.sizes = outputGradient.map(\.magnitude)
      return result
    }
    guard sum + epsilon != 0 else { return nil }
    let output = output(read), factor = 1 / (sum + epsilon), last = shape.valueDim
    for (t, d) in outputGradient.enumerated() {
      result.values[t] = factor * d
      result.sizes[t] = (factor * d).magnitude
      result.values[last] -= factor * d * output.values[t]
      result.sizes[last] += (factor * d).magnitude * output.sizes[t]
    }
    return result
  }

  func add(
    _ found: DoubleState.TokenGradient, of key: Int, to gradient: inout some DefinitionGradientCollector
  ) {
    let row = row(.key, place(key), shape.headDim)
    add(unmapped(found.key, at: row), to: .key, at: place(key) * shape.headDim, shape.headDim, &gradient)
    add(found.value, to: .value, at: place(key) * shape.valueDim, shape.valueDim, &gradient)
    addGate(found, of: key, to: &gradient)
  }

  func add(
    _ found: DoubleState.Sums, of row: DefinitionRow, to gradient: inout some DefinitionGradientCollector
  ) {
    let place = place(row), query = self.row(.query, place, shape.headDim)
    add(unmapped(found, at: query), to: .query, at: place * shape.headDim, shape.headDim, &gradient)
  }

  private func add(
    _ sums: DoubleState.Sums, to operand: Operand.Name, at start: Int, _ count: Int,
    _ gradient: inout some DefinitionGradientCollector
  ) {
    gradient.add(to: operand, at: start, 1, DefinitionVector(sums.values, from: 0, count: count))
    gradient.addMagnitude(to: operand, at: start, 1, DefinitionVector(sums.sizes, from: 0, count: count))
  }

  // MARK: - The map of q and k

  private func mapped(_ x: [Double]) -> [Double] {
    switch recurrence.map {
    case .identity: return x
    case .eluPlusOne: return x.map { $0 > 0 ? $0 + 1 : exp($0) }
    case .unit(let epsilon):
      let factor = 1 / (x.reduce(0) { $0 + $1 * $1 } + epsilon).squareRoot()
      return x.map { $0 * factor }
    }
  }

  /// The gradient of x from that of `mapped(x)`.
  private func unmapped(_ gradient: DoubleState.Sums, at x: [Double]) -> DoubleState.Sums {
    var result = gradient
    switch recurrence.map {
    case .identity: break
    case .eluPlusOne:
      for (t, x) in x.enumerated() where x <= 0 {
        result.values[t] *= exp(x)
        result.sizes[t] *= exp(x)
      }
    case .unit(let epsilon):
      let factor = 1 / (x.reduce(0) { $0 + $1 * $1 } + epsilon).squareRoot(), y = x.map { $0 * factor }
      let along = zip(y, gradient.values).reduce(0) { $0 + $1.0 * $1.1 }
      let alongSize = zip(y, gradient.sizes).reduce(0) { $0 + $1.0.magnitude * $1.1 }
      for t in x.indices {
        result.values[t] = factor * (gradient.values[t] - along * y[t])
        result.sizes[t] = factor * (gradient.sizes[t] + alongSize * y[t].magnitude)
      }
    }
    return result
  }
}
