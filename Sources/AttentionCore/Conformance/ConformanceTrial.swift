import Settings
import Tensors

/// What a check was made on: enough to make it again, and to make it on a smaller shape.
public struct ConformanceTrial: Hashable, Sendable {
  /// What is made.
  public enum Kind: Hashable, Sendable {
    /// The comparison with the definition.
    case definition
    /// What must hold to the last bit.
    case invariants
  }

  /// What is made.
  public var kind: Kind
  /// On which shape.
  public var item: ConformanceCase
  /// Of the variant.
  public var settings: [String: ParameterValue]

  init(_ kind: Kind, _ item: ConformanceCase, _ settings: [String: ParameterValue]) {
    (self.kind, self.item, self.settings) = (kind, item, settings)
  }

  /// The same on smaller shapes, the smallest first: one sequence, one head, fewer rows, fewer dimensions, nothing special.
  fileprivate var smaller: [ConformanceTrial] {
    var found: [ConformanceTrial] = []
    func add(_ change: (inout AttentionShape) -> Void) {
      var shape = item.shape
      change(&shape)
      guard shape != item.shape, (try? shape.validate()) != nil else { return }
      var trial = self
      trial.item = ConformanceCase(item.group, shape, inputScale: item.inputScale)
      found.append(trial)
    }
    if item.inputScale != 1 {
      var trial = self
      trial.item.inputScale = 1
      found.append(trial)
    }
    add { ($0.batch, $0.keyLengths) = (1, $0.keyLengths.map { [$0[0]] }) }
    add { $0.keyLengths = nil }
    add { $0.scale = nil }
    add { ($0.queryHeads, $0.keyHeads) = (1, 1) }
    add { ($0.queryHeads, $0.keyHeads) = ($0.groupSize, 1) }
    for divisor in [8, 4, 2] {
      add { ($0.queryLength, $0.keyLength) = ($0.queryLength / divisor, $0.keyLength / divisor) }
      add { $0.queryLength /= divisor }
      add { $0.keyLength /= divisor }
    }
    add { $0.headDim = 1 }
    add { $0.valueDim = 1 }
    add { $0.headDim /= 2 }
    add { $0.valueDim /= 2 }
    add { ($0.queryLength, $0.keyLength) = ($0.queryLength - 1, $0.keyLength - 1) }
    add { $0.queryLength -= 1 }
    add { $0.keyLength -= 1 }
    add { $0.headDim -= 1 }
    add { $0.valueDim -= 1 }
    add { $0.isCausal = false }
    return found
  }
}

extension [ConformanceCheck] {
  /// The same checks with what they were made on.
  func on(_ trial: ConformanceTrial) -> [ConformanceCheck] {
    map { check in
      var check = check
      check.trial = trial
      return check
    }
  }
}

extension Conformance {
  /// Every check that one shape allows, with given settings: what reproduces a failure.
  /// - Parameters:
  ///   - shape: the sizes.
  ///   - settings: those of the variant.
  ///   - level: quick: without what must hold to the last bit.
  /// - Returns: the checks; those of a shape that the variant does not take are skipped ones.
  public func run(
    on shape: AttentionShape, settings: [String: ParameterValue], _ level: Level
  ) -> ConformanceReport {
    let shape = shape.with(precision: precision)
    let checks = run(ConformanceCase("given shape", shape), settings, thorough: level == .full)
    return ConformanceReport(
      variant: type.card.id, checks: checks + (level == .full ? invariants(settings, at: shape) : []))
  }

  /// A failure on the smallest shape on which the same result fails; `nil` where it cannot be made again.
  ///
  /// Sizes are halved and counted down as long as the failure stays: a local minimum.
  /// - Parameter check: a check that failed.
  /// - Returns: the check of the same result on the smallest shape found, with its own trial.
  /// - Complexity: at most 300 trials, of ever smaller shapes.
  public func smallest(_ check: ConformanceCheck) -> ConformanceCheck? {
    guard let trial = check.trial, var best = failure(like: check, on: trial) else { return nil }
    var trials = 0
    var isSmaller = true
    while isSmaller {
      isSmaller = false
      for next in best.trial?.smaller ?? [] where trials < 300 {
        trials += 1
        guard let found = failure(like: check, on: next) else { continue }
        (best, isSmaller) = (found, true)
        break
      }
    }
    return best
  }

  /// The failure of the same result in a trial, if it fails there.
  private func failure(like check: ConformanceCheck, on trial: ConformanceTrial) -> ConformanceCheck? {
    let checks: [ConformanceCheck]
    switch trial.kind {
    case .definition:
      checks = run(trial.item, trial.settings, thorough: check.group == "finite differences")
    case .invariants: checks = invariants(trial.settings, at: trial.item.shape)
    }
    let isOfGroup = trial.kind == .invariants || check.group == "finite differences"
    return checks.first {
      $0.verdict == .failed && $0.quantity == check.quantity && (!isOfGroup || $0.group == check.group)
    }
  }
}

/// What a variant gave, beside what is right, element by element.
public struct ConformanceDifference: Hashable, Sendable {
  /// Of which result.
  public let quantity: String
  /// The axes of both, such as `[batch, heads, rows, columns]`.
  public let shape: [Int]
  /// What the variant gave.
  public let found: [Double]
  /// What is right.
  public let expected: [Double]
  /// By how much an element may be off.
  public let allowed: [Double]

  /// Whether an element is off by more than it may be.
  /// - Parameter index: its place in `found`.
  /// - Returns: `true` also where it is no number and what is right is one.
  public func isWrong(_ index: Int) -> Bool {
    found[index] != expected[index] && !((found[index] - expected[index]).magnitude <= allowed[index])
  }

  /// The elements that are wrong.
  public var wrong: [Int] { found.indices.filter(isWrong) }
}

extension Conformance {
  /// What a failed comparison with the definition compared: output, LSE, a gradient, or the pairs of the tiles.
  /// - Parameter check: a check that failed.
  /// - Returns: both sides with what is allowed; `nil` for any other check, and where sizes differ.
  /// - Throws: what the variant throws.
  public func difference(of check: ConformanceCheck) throws -> ConformanceDifference? {
    guard let trial = check.trial, trial.kind == .definition else { return nil }
    let variant = try type.make(settings: trial.settings, shape: trial.item.shape, key: key("variant"))
    if check.quantity == "pairs" { return pairDifference(variant) }
    let inputs = try trial.item.inputs(key("inputs"), of: variant)
    for (set, context) in contexts where check.subject.hasSuffix("; \(set)") {
      let reference = try Reference(
        variant.definition(of: inputs), inputs, gradientOfOutput(variant.shape))
      let all = try compared(variant, inputs, with: reference, in: context)
      guard let result = all.first(where: { $0.quantity == check.quantity }),
        result.values.count == result.exact.count
      else { return nil }
      return ConformanceDifference(
        quantity: result.quantity, shape: result.shape, found: result.values.map { Double($0) },
        expected: result.exact,
        allowed: result.magnitudes.map { $0.map { $0 * result.bound } }
          ?? result.exact.map { _ in result.bound })
    }
    return nil
  }

  private func pairDifference(_ variant: any AttentionVariant) -> ConformanceDifference? {
    guard let base = variant as? any PatternVariant else { return nil }
    let shape = variant.shape, size = shape.queryLength * shape.keyLength
    var found: [Double] = [], expected: [Double] = []
    for batch in 0..<shape.batch {
      for head in 0..<shape.queryHeads {
        var counts = [Double](repeating: 0, count: size)
        base.pattern.list(batch: batch, head: head).forEachPair(queryOffset: shape.queryOffset) { row, key in
          guard row >= 0, row < shape.queryLength, key >= 0, key < shape.keyLength else { return }
          counts[row * shape.keyLength + key] += 1
        }
        found += counts
        for place in 0..<size {
          let (query, key) = (place / shape.keyLength, place % shape.keyLength)
          expected.append(Double(base.multiplicity(batch: batch, head: head, query: query, key: key)))
        }
      }
    }
    return ConformanceDifference(
      quantity: "pairs", shape: [shape.batch, shape.queryHeads, shape.queryLength, shape.keyLength],
      found: found, expected: expected, allowed: found.map { _ in 0 })
  }
}
