#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The pairs of a query row that count, a column for each of their numbers: what is done for all keys of a row is one loop.
struct DefinitionPairs {
  /// The rows of k and v.
  let keys: [Int]
  /// How often each counts.
  let counts: [Double]
  /// What their values are.
  let valueOperand: Operand.Name
  let values: DefinitionReader.Rows
  /// Their scores, and the sums of absolute terms before any soft cap.
  var scores: [Double], magnitudes: [Double]
  /// The scores before any soft cap, and their derivatives by that.
  var uncapped: [Double], slopes: [Double]
  /// What weights are multiplied by after the softmax; `nil`: nothing.
  var factors: [Double]?
  /// The key that all rows see.
  var extra: DefinitionPair?

  init(keys: [Int], counts: [Double], valueOperand: Operand.Name, values: DefinitionReader.Rows) {
    (self.keys, self.counts, self.valueOperand, self.values) = (keys, counts, valueOperand, values)
    scores = [Double](repeating: 0, count: keys.count)
    (magnitudes, uncapped) = (scores, scores)
    slopes = [Double](repeating: 1, count: keys.count)
  }

  var isEmpty: Bool { keys.isEmpty && extra == nil }
  /// Pairs, the one that all rows have counted.
  var count: Int { keys.count + (extra == nil ? 0 : 1) }

  /// `log Σ m exp(s)`; −∞ of nothing.
  var logSumExp: Double {
    var largest = extra?.score ?? -.infinity
    for score in scores { largest = max(largest, score) }
    guard !isEmpty else { return -.infinity }
    var sum = extra.map { $0.count * exp($0.score - largest) } ?? 0
    for index in keys.indices { sum += counts[index] * exp(scores[index] - largest) }
    return largest + log(sum)
  }

  /// `m exp(s − lse)` of the keys, without the factors.
  func weights(_ lse: Double) -> [Double] {
    var weights = counts
    for index in keys.indices { weights[index] *= exp(scores[index] - lse) }
    return weights
  }

  /// Numbers of the keys times their factors.
  func factored(_ numbers: [Double]) -> [Double] {
    guard let factors else { return numbers }
    var result = numbers
    for index in keys.indices { result[index] *= factors[index] }
    return result
  }

  /// One by one, that of all rows last.
  var list: [DefinitionPair] {
    var list: [DefinitionPair] = []
    list.reserveCapacity(count)
    for (index, key) in keys.enumerated() {
      var pair = DefinitionPair(
        key: key, count: counts[index], score: scores[index], magnitude: magnitudes[index],
        valueOperand: valueOperand, valuePlace: values.place(key), value: values.vector(key))
      pair.uncapped = uncapped[index]
      pair.slope = slopes[index]
      if let factors { pair.factor = factors[index] }
      list.append(pair)
    }
    if let extra { list.append(extra) }
    return list
  }
}

extension [DefinitionPair] {
  /// `log Σ m exp(s)`; −∞ of nothing.
  var logSumExp: Double {
    guard let largest = self.map(\.score).max() else { return -.infinity }
    return largest + log(reduce(0) { $0 + $1.count * exp($1.score - largest) })
  }
}
