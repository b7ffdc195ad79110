import LeastSquares
import RealModule

/// A formula as a tree: what the parser makes, what the tape and the row filter read.
public indirect enum FormulaExpression: Sendable, Hashable {
  /// A number.
  case number(Double)
  /// A text in quotes, for comparisons with text columns.
  case text(String)
  /// A column or a parameter.
  case name(String)
  /// A function of one value.
  case call(Function, FormulaExpression)
  /// Two values and an operator.
  case binary(Operator, FormulaExpression, FormulaExpression)

  /// Functions of one value.
  public enum Function: String, Sendable, CaseIterable {
    /// e^x.
    case exp
    /// Natural logarithm; `ln` is the same.
    case log
    /// Logarithm to base 2.
    case log2
    /// Logarithm to base 10.
    case log10
    /// Square root.
    case sqrt
    /// Absolute value.
    case abs
    /// Sine.
    case sin
    /// Cosine.
    case cos
    /// Tangent.
    case tan
    /// Arc tangent; `arctan` is the same.
    case atan
    /// Hyperbolic tangent.
    case tanh
    /// Change of sign.
    case negate = "-"
    /// Logical not.
    case not = "!"
  }

  /// Operators and functions of two values.
  public enum Operator: String, Sendable {
    /// Sum.
    case add = "+"
    /// Difference.
    case subtract = "-"
    /// Product.
    case multiply = "*"
    /// Quotient.
    case divide = "/"
    /// Power.
    case power = "^"
    /// The smaller.
    case min
    /// The larger.
    case max
    /// Less.
    case less = "<"
    /// Less or equal.
    case lessEqual = "<="
    /// Greater.
    case greater = ">"
    /// Greater or equal.
    case greaterEqual = ">="
    /// Equal.
    case equal = "=="
    /// Not equal.
    case notEqual = "!="
    /// Both.
    case and = "&&"
    /// Either.
    case or = "||"

    /// Whether it belongs to row filters rather than to laws.
    var isLogical: Bool {
      switch self {
      case .add, .subtract, .multiply, .divide, .power, .min, .max: false
      default: true
      }
    }
  }

  /// The names in order of first appearance.
  public var names: [String] {
    var found: [String] = []
    collect(&found)
    return found
  }

  private func collect(_ found: inout [String]) {
    switch self {
    case .number, .text: break
    case .name(let name): if !found.contains(name) { found.append(name) }
    case .call(_, let a): a.collect(&found)
    case .binary(_, let a, let b):
      a.collect(&found)
      b.collect(&found)
    }
  }

  /// The polynomial degree in a set of names taken together: 0, 1, or 2 for anything beyond.
  func degree(in set: Set<String>) -> Int {
    switch self {
    case .number, .text: return 0
    case .name(let name): return set.contains(name) ? 1 : 0
    case .call(.negate, let a): return a.degree(in: set)
    case .call(_, let a): return a.degree(in: set) == 0 ? 0 : 2
    case .binary(let op, let a, let b):
      let (da, db) = (a.degree(in: set), b.degree(in: set))
      switch op {
      case .add, .subtract: return Swift.max(da, db)
      case .multiply: return Swift.min(2, da + db)
      case .divide: return db == 0 ? da : 2
      default: return da == 0 && db == 0 ? 0 : 2
      }
    }
  }

  /// The value with names looked up; logical operators give 1 or 0.
  public func value(_ lookup: (String) throws -> Double) rethrows -> Double {
    switch self {
    case .number(let value): return value
    case .text: return .nan
    case .name(let name): return try lookup(name)
    case .call(let function, let a): return function.apply(try a.value(lookup))
    case .binary(let op, let a, let b): return op.apply(try a.value(lookup), try b.value(lookup))
    }
  }
}

extension FormulaExpression.Function {
  func apply(_ x: Double) -> Double {
    switch self {
    case .exp: Double.exp(x)
    case .log: Double.log(x)
    case .log2: Double.log2(x)
    case .log10: Double.log10(x)
    case .sqrt: x.squareRoot()
    case .abs: Swift.abs(x)
    case .sin: Double.sin(x)
    case .cos: Double.cos(x)
    case .tan: Double.tan(x)
    case .atan: Double.atan(x)
    case .tanh: Double.tanh(x)
    case .negate: -x
    case .not: x == 0 ? 1 : 0
    }
  }

  /// The derivative at `x`, where the function has the value `y`.
  func derivative(_ x: Double, _ y: Double) -> Double {
    switch self {
    case .exp: y
    case .log: 1 / x
    case .log2: 1 / (x * Double.log(2))
    case .log10: 1 / (x * Double.log(10))
    case .sqrt: 0.5 / y
    case .abs: x > 0 ? 1 : x < 0 ? -1 : 0
    case .sin: Double.cos(x)
    case .cos: -Double.sin(x)
    case .tan: 1 + y * y
    case .atan: 1 / (1 + x * x)
    case .tanh: 1 - y * y
    case .negate: -1
    case .not: 0
    }
  }
}

extension FormulaExpression.Operator {
  func apply(_ a: Double, _ b: Double) -> Double {
    switch self {
    case .add: a + b
    case .subtract: a - b
    case .multiply: a * b
    case .divide: a / b
    case .power: b == 2 ? a * a : realPower(a, b)
    case .min: Swift.min(a, b)
    case .max: Swift.max(a, b)
    case .less: a < b ? 1 : 0
    case .lessEqual: a <= b ? 1 : 0
    case .greater: a > b ? 1 : 0
    case .greaterEqual: a >= b ? 1 : 0
    case .equal: a == b ? 1 : 0
    case .notEqual: a != b ? 1 : 0
    case .and: a != 0 && b != 0 ? 1 : 0
    case .or: a != 0 || b != 0 ? 1 : 0
    }
  }
}
