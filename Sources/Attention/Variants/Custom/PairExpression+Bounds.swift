extension PairExpression {
  /// Values of the names for a block of pairs.
  struct Ranges {
    var i: ClosedRange<Int>, j: ClosedRange<Int>, h: Int, n: Int

    func range(_ variable: Variable) -> ClosedRange<Int> {
      switch variable {
      case .i: i
      case .j: j
      case .h: h...h
      case .n: n...n
      }
    }
  }

  /// Between what the values of a block's pairs lie; `nil`: not known, or a pair may have none.
  /// - Complexity: O(parts), whatever the block's size.
  func bounds(over ranges: Ranges) -> ClosedRange<Int>? {
    var found: [ClosedRange<Int>?] = []
    found.reserveCapacity(parts.count)
    for index in parts.indices { found.append(bounds(of: index, ranges, found)) }
    return found.last ?? nil
  }

  private func bounds(
    of index: Int, _ ranges: Ranges, _ found: [ClosedRange<Int>?]
  ) -> ClosedRange<Int>? {
    switch parts[index] {
    case .number(let number): return number...number
    case .variable(let variable): return ranges.range(variable)
    case .absolute(let a):
      guard let a = found[a], a.lowerBound > .min else { return nil }
      let (low, high) = (abs(a.lowerBound), abs(a.upperBound))
      return (a.contains(0) ? 0 : min(low, high))...max(low, high)
    case .not(let a):
      guard let truth = found[a].map(PairExpression.truth) else { return nil }
      return 1 - truth.upperBound...1 - truth.lowerBound
    case .binary(.and, let a, let b):
      guard let left = found[a].map(PairExpression.truth) else { return nil }
      if left.upperBound == 0 { return left }
      guard let right = found[b].map(PairExpression.truth) else { return nil }
      return min(left.lowerBound, right.lowerBound)...min(left.upperBound, right.upperBound)
    case .binary(.or, let a, let b):
      guard let left = found[a].map(PairExpression.truth) else { return nil }
      if left.lowerBound == 1 { return left }
      guard let right = found[b].map(PairExpression.truth) else { return nil }
      return max(left.lowerBound, right.lowerBound)...max(left.upperBound, right.upperBound)
    case .binary(let op, let a, let b):
      guard let a = found[a], let b = found[b] else { return nil }
      return op.bounds(a, b)
    }
  }

  /// 1 where no value is 0, 0 where all are, else both.
  private static func truth(_ range: ClosedRange<Int>) -> ClosedRange<Int> {
    if range == 0...0 { return 0...0 }
    return range.contains(0) ? 0...1 : 1...1
  }
}

extension PairExpression.Operator {
  /// Between what the values lie; `nil`: not known, or there may be none.
  fileprivate func bounds(_ a: ClosedRange<Int>, _ b: ClosedRange<Int>) -> ClosedRange<Int>? {
    let (low, high) = (a.lowerBound, a.upperBound)
    func decided(_ yes: Bool, _ no: Bool) -> ClosedRange<Int> { yes ? 1...1 : no ? 0...0 : 0...1 }
    switch self {
    case .add, .min, .max: return ends([(low, b.lowerBound), (high, b.upperBound)])
    case .subtract: return ends([(low, b.upperBound), (high, b.lowerBound)])
    case .multiply: return corners(a, b)
    case .divide: return b.contains(0) ? nil : corners(a, b)
    case .remainder:
      guard b.lowerBound > 0 else { return nil }
      if b.lowerBound == b.upperBound, let first = Self.divide.apply(low, b.lowerBound),
        first == Self.divide.apply(high, b.lowerBound)
      {
        return ends([(low, b.lowerBound), (high, b.lowerBound)])
      }
      return 0...b.upperBound - 1
    case .less: return decided(high < b.lowerBound, low >= b.upperBound)
    case .lessEqual: return decided(high <= b.lowerBound, low > b.upperBound)
    case .greater: return decided(low > b.upperBound, high <= b.lowerBound)
    case .greaterEqual: return decided(low >= b.upperBound, high < b.lowerBound)
    case .equal: return decided(low == high && a == b, !a.overlaps(b))
    case .notEqual: return decided(!a.overlaps(b), low == high && a == b)
    case .and, .or: return 0...1
    }
  }

  private func corners(_ a: ClosedRange<Int>, _ b: ClosedRange<Int>) -> ClosedRange<Int>? {
    ends([
      (a.lowerBound, b.lowerBound), (a.lowerBound, b.upperBound), (a.upperBound, b.lowerBound),
      (a.upperBound, b.upperBound),
    ])
  }

  /// From the smallest to the largest value of some pairs; `nil`: one has none.
  private func ends(_ pairs: [(Int, Int)]) -> ClosedRange<Int>? {
    var result: ClosedRange<Int>?
    for (a, b) in pairs {
      guard let value = apply(a, b) else { return nil }
      result = Swift.min(result?.lowerBound ?? value, value)...Swift.max(result?.upperBound ?? value, value)
    }
    return result
  }
}
