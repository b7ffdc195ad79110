import Tensors

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
