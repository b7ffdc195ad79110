import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The definition of a recurrence: token by token, in Double.
///
/// A query reads the state behind the last key that it sees: its own position, or without causality the last valid key. Keys behind
/// the end of a sequence leave the state as it is.
/// - Complexity: O(keyLength · headDim · valueDim) a key head; a way back holds O(√keyLength) states.
public struct RecurrentDefinition: Definition {
  /// The sizes, including key padding.
  public let shape: AttentionShape
  /// What is computed.
  public let recurrence: Recurrence

  /// Creates a definition.
  public init(shape: AttentionShape, recurrence: Recurrence) {
    self.shape = shape
    self.recurrence = recurrence
  }

  /// The gradient of a query needs the state that it reads, and nothing of other queries.
  public func hasRowwiseGradient(of operand: Operand.Name) -> Bool { operand == .query }

  /// The bounds of float32.
  public func budget(_ result: DefinitionResult) -> ErrorBudget {
    ErrorBudget(
      recurrenceOf: shape, steps: result.mostKeys, isNormalized: recurrence.normalizer != nil,
      isGated: recurrence.gate != nil)
  }

  /// Output of some rows; there is no log-sum-exp.
  public func forward(_ inputs: DefinitionInputs, rows: [DefinitionRow]) -> DefinitionResult {
    let dim = shape.valueDim
    var result = DefinitionResult(
      output: [Double](repeating: 0, count: rows.count * dim),
      outputMagnitude: [Double](repeating: 0, count: rows.count * dim), lse: [], scoreMagnitude: 0,
      mostKeys: 0, largestScores: [])
    for group in groups(rows) {
      let reader = TokenReader(self, inputs, batch: group.batch, keyHead: group.keyHead)
      var state = reader.empty
      for key in 0..<group.keys {
        state.update(reader.token(key))
        for (index, row) in group.readers[key + 1] ?? [] {
          var read = reader.output(state.read(reader.query(row), times: recurrence.scale))
          reader.addSkip(of: row, to: &read)
          for t in 0..<dim {
            result.output[index * dim + t] = read.values[t]
            result.outputMagnitude[index * dim + t] = read.sizes[t]
          }
        }
      }
      result.mostKeys = max(result.mostKeys, group.keys)
    }
    return result
  }

  /// Adds the gradients of a loss on some rows.
  public func backward(
    _ outputGradient: [Double], _ inputs: DefinitionInputs, rows: [DefinitionRow],
    into gradient: inout some DefinitionGradientCollector
  ) {
    for group in groups(rows) {
      let reader = TokenReader(self, inputs, batch: group.batch, keyHead: group.keyHead)
      if gradient.keeps(.key) || gradient.keeps(.value) {
        backward(outputGradient, group, reader, into: &gradient)
      } else {
        queryGradients(outputGradient, group, reader, into: &gradient)
      }
    }
  }

  /// The gradients of queries alone: forwards through the tokens.
  private func queryGradients(
    _ outputGradient: [Double], _ group: Group, _ reader: TokenReader,
    into gradient: inout some DefinitionGradientCollector
  ) {
    var state = reader.empty
    for key in 0..<group.keys {
      state.update(reader.token(key))
      var unread = reader.empty
      for reading in group.readers[key + 1] ?? [] {
        back(reading, outputGradient, state, reader, into: &gradient, &unread)
      }
    }
  }

  /// All gradients: backwards, from states that were kept now and then.
  private func backward(
    _ outputGradient: [Double], _ group: Group, _ reader: TokenReader,
    into gradient: inout some DefinitionGradientCollector
  ) {
    let step = max(1, Int(Double(group.keys).squareRoot()))
    var kept = [reader.empty], state = reader.empty
    for key in 0..<group.keys {
      state.update(reader.token(key))
      if (key + 1) % step == 0 { kept.append(state) }
    }
    var stateGradient = reader.empty
    for first in stride(from: 0, to: group.keys, by: step).reversed() {
      let keys = first..<min(group.keys, first + step)
      var states = [kept[first / step]]
      for key in keys {
        var next = states[states.count - 1]
        next.update(reader.token(key))
        states.append(next)
      }
      for key in keys.reversed() {
        for reading in group.readers[key + 1] ?? [] {
          back(reading, outputGradient, states[key - first + 1], reader, into: &gradient, &stateGradient)
        }
        let found = states[key - first].back(through: reader.token(key), &stateGradient)
        reader.add(found, of: key, to: &gradient)
      }
    }
  }

  /// The way back through one reading of a state.
  private func back(
    _ reading: (index: Int, row: DefinitionRow), _ outputGradient: [Double], _ state: DoubleState,
    _ reader: TokenReader, into gradient: inout some DefinitionGradientCollector,
    _ stateGradient: inout DoubleState
  ) {
    let query = reader.query(reading.row)
    let own = Array(outputGradient[reading.index * shape.valueDim..<(reading.index + 1) * shape.valueDim])
    reader.addSkipGradient(own, of: reading.row, to: &gradient)
    guard let read = reader.readGradient(own, state.read(query, times: recurrence.scale)) else { return }
    let found = state.unread(
      query, times: recurrence.scale, outputGradient: read, into: &stateGradient)
    reader.add(found, of: reading.row, to: &gradient)
  }

  // MARK: - Who reads what

  /// The rows that read the states of one key head.
  private struct Group {
    let batch: Int, keyHead: Int
    /// By how many keys are in the state that a row reads.
    var readers: [Int: [(index: Int, row: DefinitionRow)]] = [:]
    /// The most keys that one of them reads.
    var keys = 0
  }

  private func groups(_ rows: [DefinitionRow]) -> [Group] {
    var groups: [Int: Group] = [:]
    for (index, row) in rows.enumerated() {
      let keyHead = shape.keyHead(of: row.head), count = keys(of: row)
      let place = row.batch * shape.keyHeads + keyHead
      guard count > 0 else { continue }
      var group = groups[place] ?? Group(batch: row.batch, keyHead: keyHead)
      group.readers[count, default: []].append((index, row))
      group.keys = max(group.keys, count)
      groups[place] = group
    }
    return groups.keys.sorted().compactMap { groups[$0] }
  }

  /// Keys in the state that a row reads.
  private func keys(of row: DefinitionRow) -> Int {
    let valid = shape.validKeys(batch: row.batch)
    return shape.isCausal ? min(valid, max(0, row.query + shape.queryOffset + 1)) : valid
  }
}

/// The tokens of one key head, as the recurrence reads them, and the way back to the operands.
private struct TokenReader {
  private let shape: AttentionShape, recurrence: Recurrence
  private let inputs: DefinitionInputs
  private let batch: Int, keyHead: Int

  init(_ definition: RecurrentDefinition, _ inputs: DefinitionInputs, batch: Int, keyHead: Int) {
    (shape, recurrence, self.inputs) = (definition.shape, definition.recurrence, inputs)
    (self.batch, self.keyHead) = (batch, keyHead)
  }

  /// What the gate reads at a key, and makes of it.
  private struct Step {
    var z: Double, rate: Double, size: Double
  }

  private func step(_ gate: Recurrence.Gate, _ key: Int) -> Step {
    let z = inputs.part(of: gate.input, from: place(key), count: 1)[0]
    let rate = inputs.part(of: gate.rate, from: keyHead, count: 1)[0]
    let bias = inputs.part(of: gate.bias, from: keyHead, count: 1)[0]
    return Step(z: z + bias, rate: exp(rate), size: max(z + bias, 0) + log1p(exp(-(z + bias).magnitude)))
  }

  /// What the state fades by before a key, and how strongly that is written.
  private func fading(_ key: Int) -> (factor: Double, strength: Double) {
    switch recurrence.decay {
    case .none: return (1, 1)
    case .fixed(let logs): return (exp(logs[keyHead]), 1)
    case .gated(let gate):
      let step = step(gate, key)
      return (exp(-step.rate * step.size), strength(gate, key) ?? step.size)
    }
  }

  /// β of a key; `nil`: it is the step.
  private func strength(_ gate: Recurrence.Gate, _ key: Int) -> Double? {
    gate.strength.map { 1 / (1 + exp(-inputs.part(of: $0, from: place(key), count: 1)[0])) }
  }

  /// The way back through the gate.
  private func addGate(
    _ found: DoubleState.TokenGradient, of key: Int, to gradient: inout some DefinitionGradientCollector
  ) {
    guard let gate = recurrence.gate else { return }
    let step = step(gate, key), slope = 1 / (1 + exp(-step.z))
    let log = found.logDecay.values.reduce(0, +), logSize = found.logDecay.sizes.reduce(0, +)
    func add(_ name: Operand.Name, _ place: Int, _ value: Double, _ size: Double) {
      gradient.add(to: name, at: place, 1, DefinitionVector([value], from: 0, count: 1))
      gradient.addMagnitude(to: name, at: place, 1, DefinitionVector([size], from: 0, count: 1))
    }
    var (own, ownSize) = (found.strength.values[0], found.strength.sizes[0])
    if let name = gate.strength, let strength = strength(gate, key) {
      let slope = strength * (1 - strength)
      add(name, place(key), slope * own, slope * ownSize)
      (own, ownSize) = (0, 0)
    }
    let d = slope * (own - step.rate * log), size = slope * (ownSize + step.rate * logSize)
    add(gate.input, place(key), d, size)
    add(gate.bias, keyHead, d, size)
    add(gate.rate, keyHead, -step.rate * step.size * log, step.rate * step.size * logSize)
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
      decay: [Double](repeating: fading.factor, count: shape.headDim),
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
