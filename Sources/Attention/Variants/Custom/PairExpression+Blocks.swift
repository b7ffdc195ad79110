import AttentionCore
import Basics
import Settings

/// The values of an expression for the blocks of one head, a row of up to 64 keys at once.
///
/// A part that does not read `i` is worked out once a block. Where a pair has no value its bit is kept beside the numbers, so that
/// `&&` and `||` need not look which pairs ask for their right side.
/// - Complexity: O(parts · pairs).
struct ExpressionCounts: PairCounting {
  private let expression: PairExpression
  private let head: Int, keys: Int
  /// 64 numbers a part.
  private var values: [Int]
  /// The keys without a value, a word a part.
  private var missing: [UInt64]
  /// Parts that change from row to row of a block.
  private let readsRow: [Bool]

  init(_ expression: PairExpression, head: Int, keys: Int) {
    self.expression = expression
    self.head = head
    self.keys = keys
    values = [Int](repeating: 0, count: expression.parts.count * PairBlock.width)
    missing = [UInt64](repeating: 0, count: expression.parts.count)
    var reads: [Bool] = []
    for part in expression.parts {
      switch part {
      case .number: reads.append(false)
      case .variable(let variable): reads.append(variable == .i)
      case .absolute(let a), .not(let a): reads.append(reads[a])
      case .binary(_, let a, let b): reads.append(reads[a] || reads[b])
      }
    }
    readsRow = reads
  }

  /// The value that all pairs of a block have, where bounds say so.
  func commonCount(queries: ClosedRange<Int>, keys range: Range<Int>) -> Int? {
    let bounds = expression.bounds(
      over: .init(i: queries, j: range.lowerBound...range.upperBound - 1, h: head, n: keys))
    guard let bounds, bounds.lowerBound == bounds.upperBound, (0...255).contains(bounds.lowerBound) else {
      return nil
    }
    return bounds.lowerBound
  }

  /// Works out a block row by row.
  /// - Throws: `ConfigurationError` with the first pair that has no count.
  mutating func fill(_ block: inout PairBlock) throws(ConfigurationError) {
    evaluated += block.rows * block.keys.count
    guard evaluated <= Self.limit else {
      throw ConfigurationError(
        field: "expression", value: "\(shown(expression.text, limit: 100)) at \(keys) keys",
        allowed: "one that needs less than 2^32 pairs looked at singly, such as a band, or fewer keys")
    }
    for lane in 0..<block.rows {
      let asked = block.keys(of: lane)
      guard !asked.isEmpty else { continue }
      let position = block.position(lane)
      for part in expression.parts.indices where lane == 0 || readsRow[part] || !isFilled {
        evaluate(part, position, block.keys)
      }
      isFilled = true
      let whole = expression.parts.count - 1
      for t in 0..<asked.count {
        let value = values[whole * PairBlock.width + t]
        guard missing[whole] >> UInt64(t) & 1 == 0, let count = UInt8(exactly: value) else {
          // The same pair by itself says what is wrong with it.
          let pair = PairExpression.Pair(i: position, j: block.keys.lowerBound + t, h: head, n: keys)
          block.counts[lane * PairBlock.width + t] = UInt8(try expression.count(at: pair))
          continue
        }
        block.counts[lane * PairBlock.width + t] = count
      }
    }
    isFilled = false
  }
  private var isFilled = false
  /// Pairs that were looked at.
  var evaluated = 0
  /// Masks take a bit for each pair: half a GiB, and planning takes minutes.
  private static let limit = 1 << 32

  private mutating func evaluate(_ part: Int, _ position: Int, _ range: Range<Int>) {
    let base = part * PairBlock.width, count = range.count
    switch expression.parts[part] {
    case .number(let number): for t in 0..<count { values[base + t] = number }
    case .variable(let variable):
      for t in 0..<count {
        values[base + t] =
          switch variable {
          case .i: position
          case .j: range.lowerBound + t
          case .h: head
          case .n: keys
          }
      }
    case .absolute(let a):
      var failed = missing[a]
      for t in 0..<count {
        let value = PairExpression.magnitude(values[a * PairBlock.width + t])
        if value == nil { failed |= 1 << UInt64(t) }
        values[base + t] = value ?? 0
      }
      missing[part] = failed
    case .not(let a):
      for t in 0..<count { values[base + t] = values[a * PairBlock.width + t] == 0 ? 1 : 0 }
      missing[part] = missing[a]
    case .binary(let op, let a, let b): evaluate(part, op, a, b, count)
    }
  }

  private mutating func evaluate(
    _ part: Int, _ op: PairExpression.Operator, _ a: Int, _ b: Int, _ count: Int
  ) {
    let base = part * PairBlock.width
    // The keys for which the right side is asked.
    var asking = UInt64.max
    var failed: UInt64 = 0
    if op == .and || op == .or {
      for t in 0..<count where (values[a * PairBlock.width + t] != 0) == (op == .or) {
        asking &= ~(1 << UInt64(t))
      }
    }
    for t in 0..<count {
      let value = op.apply(values[a * PairBlock.width + t], values[b * PairBlock.width + t])
      if value == nil { failed |= 1 << UInt64(t) }
      values[base + t] = value ?? 0
    }
    missing[part] = missing[a] | missing[b] & asking | failed
  }
}
