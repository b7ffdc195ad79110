import Basics
import Settings
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension Conformance {
  /// Scores, norms and weights at the ends of single precision: legal ones give the softmax that they define, a score that
  /// single precision does not hold is refused.
  func extremes(_ settings: [String: ParameterValue]) -> [ConformanceCheck] {
    do {
      return try ExtremeCase.all().flatMap { item in
        let shape = item.shape.with(precision: precision)
        do {
          let variant = try type.make(settings: settings, shape: shape, key: key("variant"))
          return extremes(variant, ExtremeCase(kind: item.kind, shape: shape))
        } catch {
          return [skipped(item.kind.rawValue, shape.summary, error)]
        }
      }
    } catch {
      return [failure("extremes", type.card.id, error)]
    }
  }

  private func extremes(_ variant: any AttentionVariant, _ item: ExtremeCase) -> [ConformanceCheck] {
    let group = item.kind.rawValue, subject = subject(variant)
    do {
      let inputs = try item.inputs(key("extremes"), of: variant)
      let definition = try variant.definition(of: inputs)
      guard let pairs = definition as? any PairDefinition else {
        return [
          ConformanceCheck(
            group: group, quantity: "runs", subject: subject, error: 0, bound: 0, verdict: .skipped,
            detail: "it has no scores")
        ]
      }
      if [.hugeNorms, .hugeProducts, .tinyNorms].contains(item.kind) {
        return try compare(variant, definition, inputs, subject, group: group)
      }
      let expected = ExtremeRows(pairs, inputs)
      return try contexts.flatMap { set, context in
        try extreme(variant, inputs, expected, group: group, "\(subject); \(set)", context)
      }
    } catch {
      return [failure(group, subject, error)]
    }
  }

  private func extreme(
    _ variant: any AttentionVariant, _ inputs: Operands, _ expected: ExtremeRows, group: String,
    _ subject: String,
    _ context: ExecutionContext
  ) throws -> [ConformanceCheck] {
    func refusal(_ wrong: Int, _ detail: String) -> ConformanceCheck {
      ConformanceCheck(
        group: group, quantity: "refusal", subject: subject, error: Double(wrong), bound: 0, detail: detail)
    }
    let forward: Forward
    do { forward = try variant.attend(inputs, in: context) } catch {
      guard expected.fit != false else { return [refusal(0, "")] }
      return [refusal(1, "threw: \(error); every score that counts is finite")]
    }
    guard expected.fit != false else {
      return [refusal(1, "a score beyond single precision was accepted")]
    }
    guard expected.fit == true else { return [] }
    var checks: [ConformanceCheck] = []
    func add(_ quantity: String, _ ratio: Double?) {
      guard let ratio else { return }
      checks.append(
        ConformanceCheck(group: group, quantity: quantity, subject: subject, error: ratio, bound: 1))
    }
    add("output", expected.worstOutput(forward.output.array()))
    if let lse = forward.lse { add("lse", expected.worstLSE(lse.array())) }
    guard let winners = expected.winners else { return checks }
    let outputGradient = try gradientOfOutput(variant.shape)
    let gradient = try forward.backward(outputGradient, in: context)
    add("dv", expected.worstValueGradient(gradient.value.array(), outputGradient.array(), winners))
    for name in gradient.names where name != .value {
      guard let tensor = gradient[name] else { continue }
      add("d\(name) finite", Double(tensor.array().count { !$0.isFinite }) * 2)
    }
    return checks
  }
}

/// What rows with extreme scores have to give. A rounding of scores of 10³¹ is more than any exponential bears, so a row
/// is compared where its scores are moderate, or where one key leads all others by more than any rounding.
struct ExtremeRows {
  /// Whether single precision holds all scores that count: `nil` when it is a matter of rounding.
  let fit: Bool?
  /// The key, as a row of v, that every row with keys gives all its weight in the backward pass too; `nil` when some row
  /// has no such key.
  let winners: [Int?]?
  private let shape: AttentionShape
  private let rows: [Row]

  private struct Row {
    var output: [Double]
    /// What the output may be off by.
    var bounds: [Double]
    var lse: Double
    var lseBound: Double
    var isComparable: Bool
    /// The value row that has all the weight, and what that is multiplied by after the softmax.
    var winner: Int?, factor = 1.0
  }

  init(_ definition: any PairDefinition, _ inputs: Operands) {
    let wide = DefinitionInputs(inputs)
    shape = definition.shape
    let largest = Double(Float.greatestFiniteMagnitude), scale = min(1, shape.effectiveScale.magnitude)
    var rows: [Row] = []
    var overflows = false, isDoubtful = false
    for pairs in definition.pairs(of: shape.definitionRows, wide) {
      overflows = overflows || pairs.contains { $0.uncapped.magnitude > 1.01 * largest }
      isDoubtful = isDoubtful || pairs.contains { $0.magnitude > 0.3 * largest * scale }
      rows.append(ExtremeRows.row(definition, pairs))
    }
    self.rows = rows
    fit = overflows ? false : isDoubtful ? nil : true
    winners =
      rows.allSatisfy { $0.winner != nil || $0.lse == -.infinity } && rows.contains { $0.winner != nil }
      ? rows.map(\.winner) : nil
  }

  private static func row(_ definition: any PairDefinition, _ pairs: [DefinitionPair]) -> Row {
    let dim = definition.shape.valueDim
    let zeros = [Double](repeating: 0, count: dim)
    guard let top = pairs.max(by: { $0.score < $1.score }) else {
      return Row(output: zeros, bounds: zeros, lse: -.infinity, lseBound: 0, isComparable: true)
    }
    let budget = definition.budget(
      scoreMagnitude: pairs.map(\.magnitude).max() ?? 0, mostKeys: pairs.count)
    let lse = pairs.logSumExp
    var result = Row(output: zeros, bounds: zeros, lse: lse, lseBound: budget.lse, isComparable: false)
    let second = pairs.lazy.filter { $0.key != top.key }.map(\.score).max() ?? -.infinity
    if top.score - second > 4 * budget.score + 200 {
      // Between, a weight that is recomputed from the LSE is good to some percent.
      // Rows that read another operand than v give it nothing.
      if (budget.lse < 0.1 || lse.magnitude > 1e9) && top.valueOperand == .value {
        (result.winner, result.factor) = (top.valuePlace / dim, top.factor)
      }
      result.isComparable = true
      for t in 0..<dim {
        result.output[t] = top.factor * top.value[t]
        result.bounds[t] = 0x1p-18 * top.factor.magnitude * top.valueMagnitude(t)
      }
    } else if budget.output < 0.05 {
      result.isComparable = true
      for pair in pairs {
        let weight = pair.factor * pair.count * exp(pair.score - lse)
        // A weight far below the largest may be taken for 0.
        let allowed = budget.output + (pair.score < top.score - 60 ? 1 : 0)
        for t in 0..<dim {
          result.output[t] += weight * pair.value[t]
          result.bounds[t] += allowed * weight * pair.valueMagnitude(t)
        }
      }
    }
    return result
  }

  /// The largest error of an output relative to its bound; `nil` when no row can be compared.
  func worstOutput(_ output: [Float]) -> Double? {
    let dim = shape.valueDim
    guard output.count == rows.count * dim else { return .infinity }
    return worst { index, row in
      (0..<dim).reduce(0.0) { worst, t in
        max(worst, Self.ratio(Double(output[index * dim + t]) - row.output[t], row.bounds[t]))
      }
    }
  }

  /// The same of an LSE.
  func worstLSE(_ lse: [Float]) -> Double? {
    guard lse.count == rows.count else { return .infinity }
    return worst { index, row in
      Double(lse[index]) == row.lse ? 0 : Self.ratio(Double(lse[index]) - row.lse, row.lseBound)
    }
  }

  /// The same of ∂L/∂v where every row gives one key all its weight: sums of rows of ∂L/∂output.
  func worstValueGradient(_ gradient: [Float], _ outputGradient: [Float], _ winners: [Int?]) -> Double {
    let dim = shape.valueDim
    guard gradient.count == shape.valueShape.reduce(1, *) else { return .infinity }
    var exact = [Double](repeating: 0, count: gradient.count), sizes = exact
    for (row, winner) in winners.enumerated() {
      guard let winner else { continue }
      // A weight may be recomputed from the LSE, where that is good for it.
      let allowed = rows[row].lseBound < 0.1 ? 2 * rows[row].lseBound : 0
      for t in 0..<dim {
        let part = rows[row].factor * Double(outputGradient[row * dim + t])
        exact[winner * dim + t] += part
        sizes[winner * dim + t] += part.magnitude * (0x1p-18 + allowed)
      }
    }
    return gradient.indices.reduce(0.0) {
      max($0, Self.ratio(Double(gradient[$1]) - exact[$1], sizes[$1]))
    }
  }

  private func worst(_ ratio: (Int, Row) -> Double) -> Double? {
    guard rows.contains(where: { $0.isComparable && $0.lse > -.infinity }) else { return nil }
    return rows.enumerated().reduce(0.0) { worst, item in
      item.element.isComparable ? max(worst, ratio(item.offset, item.element)) : worst
    }
  }

  /// 0 of no error, infinite of one that nothing allows or that is no number.
  private static func ratio(_ error: Double, _ bound: Double) -> Double {
    if error == 0 { return 0 }
    return error.isFinite && bound > 0 ? error.magnitude / bound : .infinity
  }
}
