import Basics
import Settings

/// What the user says of a pair of query and key, as a tree of whole numbers: how often it counts.
///
/// Names: `i`, the position of the query; `j`, that of the key; `h`, the query head; `n`, the keys of the sequence. All are
/// counted from 0 but `n`. `+ - *` are those of 64 bits; `/` and `//` round down and `%` has the sign of its divisor, as in
/// Python. A comparison is 1 or 0; several in a row hold together, as in `0 <= i - j < 10`. `&&`, `||` and `!` take what is not 0 as
/// true, give 1 or 0, and do not look at their right side when the left one decides. `abs(x)`, `min(x, y, …)`, `max(x, y, …)`.
struct PairExpression: Hashable, Sendable {
  /// A name.
  enum Variable: String, CaseIterable {
    case i, j, h, n
  }

  /// What makes a number of two.
  enum Operator: Hashable, Sendable {
    case add, subtract, multiply, divide, remainder
    case less, lessEqual, greater, greaterEqual, equal, notEqual
    case and, or, min, max
  }

  /// A part of the tree; parts are named by their places in `parts`.
  enum Part: Hashable, Sendable {
    case number(Int)
    case variable(Variable)
    case absolute(Int)
    case not(Int)
    case binary(Operator, Int, Int)
  }

  /// The values of the names.
  struct Pair: Hashable {
    var i: Int, j: Int, h: Int, n: Int

    func value(_ variable: Variable) -> Int {
      switch variable {
      case .i: i
      case .j: j
      case .h: h
      case .n: n
      }
    }
  }

  /// What has no value.
  struct Problem: Error, Hashable {
    /// The part.
    var part: Int
  }

  /// As the user wrote it.
  let text: String
  /// The parts, each behind those that it is made of; the last is the whole.
  private(set) var parts: [Part] = []
  /// Where in the text parts begin, from 1.
  private(set) var columns: [Int] = []

  init(text: String) { self.text = text }

  /// Adds a part that is made of those before it.
  mutating func add(_ part: Part, column: Int) -> Int {
    parts.append(part)
    columns.append(column)
    return parts.count - 1
  }

  /// Whether a name occurs.
  func reads(_ variable: Variable) -> Bool { parts.contains(.variable(variable)) }

  // MARK: - The value of one pair

  /// The value at a pair.
  /// - Throws: `Problem` where it divides by 0 or passes 64 bits.
  /// - Complexity: O(parts).
  func value(at pair: Pair) throws(Problem) -> Int {
    var scratch = Scratch(parts: parts.count)
    return try value(at: pair, &scratch)
  }

  /// The numbers of all parts at a pair, for who asks for many pairs.
  struct Scratch {
    fileprivate var values: [Int]
    /// The part that has no value and is why this one has none; −1: it has one.
    fileprivate var problems: [Int]

    init(parts: Int) {
      values = [Int](repeating: 0, count: parts)
      problems = [Int](repeating: -1, count: parts)
    }
  }

  /// The value at a pair, part by part, never by recursion: the middle of a chain of comparisons belongs to two of them.
  /// - Throws: `Problem`.
  func value(at pair: Pair, _ scratch: inout Scratch) throws(Problem) -> Int {
    for index in parts.indices {
      var value: Int?
      // Whose problem it is where there is no value.
      var problem = index
      switch parts[index] {
      case .number(let number): value = number
      case .variable(let variable): value = pair.value(variable)
      case .absolute(let a):
        if scratch.problems[a] >= 0 {
          problem = scratch.problems[a]
        } else {
          value = PairExpression.magnitude(scratch.values[a])
        }
      case .not(let a):
        if scratch.problems[a] >= 0 {
          problem = scratch.problems[a]
        } else {
          value = scratch.values[a] == 0 ? 1 : 0
        }
      case .binary(let op, let a, let b):
        if scratch.problems[a] >= 0 {
          problem = scratch.problems[a]
        } else if op.isDecided(by: scratch.values[a]) {
          value = op == .or ? 1 : 0
        } else if scratch.problems[b] >= 0 {
          problem = scratch.problems[b]
        } else {
          value = op.apply(scratch.values[a], scratch.values[b])
        }
      }
      scratch.values[index] = value ?? 0
      scratch.problems[index] = value == nil ? problem : -1
    }
    guard let last = parts.indices.last, scratch.problems[last] < 0 else {
      throw Problem(part: scratch.problems.last ?? 0)
    }
    return scratch.values[last]
  }

  /// The magnitude, if 64 bits hold it.
  static func magnitude(_ a: Int) -> Int? { a == .min ? nil : a.magnitude == 0 ? 0 : a < 0 ? -a : a }
}

extension PairExpression.Operator {
  /// Whether the left side decides, so that the right one is not asked.
  func isDecided(by left: Int) -> Bool { self == .and ? left == 0 : self == .or && left != 0 }

  /// The value; `nil`: there is none.
  func apply(_ a: Int, _ b: Int) -> Int? {
    func checked(_ result: (partialValue: Int, overflow: Bool)) -> Int? {
      result.overflow ? nil : result.partialValue
    }
    switch self {
    case .add: return checked(a.addingReportingOverflow(b))
    case .subtract: return checked(a.subtractingReportingOverflow(b))
    case .multiply: return checked(a.multipliedReportingOverflow(by: b))
    case .divide:
      guard b != 0, let quotient = checked(a.dividedReportingOverflow(by: b)) else { return nil }
      return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient
    case .remainder:
      if b == 0 { return nil }
      if b == -1 { return 0 }
      let rest = a % b
      return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest
    case .less: return a < b ? 1 : 0
    case .lessEqual: return a <= b ? 1 : 0
    case .greater: return a > b ? 1 : 0
    case .greaterEqual: return a >= b ? 1 : 0
    case .equal: return a == b ? 1 : 0
    case .notEqual: return a != b ? 1 : 0
    case .and: return a != 0 && b != 0 ? 1 : 0
    case .or: return a != 0 || b != 0 ? 1 : 0
    case .min: return Swift.min(a, b)
    case .max: return Swift.max(a, b)
    }
  }
}

extension PairExpression {
  /// What may be written.
  static let allowed =
    "i (query), j (key), h (head), n (keys), whole numbers, + - * / %, < <= > >= == !=, && || !, ( ), abs, min, max"

  /// The line for a mistake in the text.
  static func mistake(_ text: String, column: Int, _ what: String) -> ConfigurationError {
    ConfigurationError(
      field: "expression", value: "\(shown(text, limit: 100)), column \(column): \(what),",
      allowed: allowed)
  }

  /// How often a pair counts.
  /// - Throws: `ConfigurationError` with the pair where there is no value, or none from 0 to 255.
  func count(at pair: Pair) throws(ConfigurationError) -> Int {
    var scratch = Scratch(parts: parts.count)
    return try count(at: pair, &scratch)
  }

  /// The same for who asks for many pairs.
  /// - Throws: `ConfigurationError`.
  func count(at pair: Pair, _ scratch: inout Scratch) throws(ConfigurationError) -> Int {
    var place: String { "i = \(pair.i), j = \(pair.j), h = \(pair.h), n = \(pair.n)" }
    let value: Int
    do throws(Problem) { value = try self.value(at: pair, &scratch) } catch { throw complaint(error, place) }
    guard (0...255).contains(value) else {
      throw ConfigurationError(
        field: "expression", value: "\(shown(text, limit: 100)) (it is \(value) at \(place))",
        allowed: "how often the pair counts, 0 to 255, everywhere; a comparison is 1 or 0")
    }
    return value
  }

  private func complaint(_ problem: Problem, _ place: String) -> ConfigurationError {
    var what = "a number beyond 64 bits"
    if case .binary(let op, _, _) = parts[problem.part], op == .divide || op == .remainder {
      what = "a division by 0"
    }
    return ConfigurationError(
      field: "expression",
      value: "\(shown(text, limit: 100)), column \(columns[problem.part]): \(what) at \(place),",
      allowed: "what has a value at every pair, such as j > 0 && i % j == 0")
  }
}
