import Basics
import LeastSquares

/// An expression as a list of operations, evaluated over blocks of rows, with exact derivatives backwards.
///
/// Equal subexpressions are computed once. Reverse mode: one sweep gives the derivative in every parameter, so a
/// gradient costs a small multiple of a value. Complexity O(rows × operations).
struct Tape: Sendable {
  private enum Operation: Hashable {
    case constant(Double)
    case variable(Int)
    case parameter(Int)
    case call(FormulaExpression.Function, Int)
    case binary(FormulaExpression.Operator, Int, Int)
  }

  private var operations: [Operation] = []
  /// Whether an operation depends on a parameter, so that derivatives must pass through it.
  private var active: [Bool] = []
  private static let block = 64

  init(_ expression: FormulaExpression, variables: [String], parameters: [String]) throws(FitError) {
    var known: [Operation: Int] = [:]
    _ = try append(expression, variables, parameters, &known)
  }

  private mutating func append(
    _ expression: FormulaExpression, _ variables: [String], _ parameters: [String],
    _ known: inout [Operation: Int]
  ) throws(FitError) -> Int {
    let operation: Operation
    var isActive = false
    switch expression {
    case .number(let value): operation = .constant(value)
    case .text(let text): throw FitError(.badFormula, "the text '\(shown(text))' cannot stand in a law")
    case .name(let name):
      if let index = variables.firstIndex(of: name) {
        operation = .variable(index)
      } else if let index = parameters.firstIndex(of: name) {
        operation = .parameter(index)
        isActive = true
      } else {
        throw FitError(.badFormula, "'\(shown(name))' is neither a column nor a parameter")
      }
    case .call(let function, let a):
      let x = try append(a, variables, parameters, &known)
      if case .constant(let value) = operations[x] {
        operation = .constant(function.apply(value))
      } else {
        operation = .call(function, x)
        isActive = active[x]
      }
    case .binary(let op, let a, let b):
      guard !op.isLogical else { throw FitError(.badFormula, "'\(op.rawValue)' cannot stand in a law") }
      let x = try append(a, variables, parameters, &known)
      let y = try append(b, variables, parameters, &known)
      if case .constant(let l) = operations[x], case .constant(let r) = operations[y] {
        operation = .constant(op.apply(l, r))
      } else {
        operation = .binary(op, x, y)
        isActive = active[x] || active[y]
      }
    }
    if let index = known[operation] { return index }
    operations.append(operation)
    active.append(isActive)
    known[operation] = operations.count - 1
    return operations.count - 1
  }

  /// Values at all rows and, when `gradient` is not empty, derivatives `[rows, parameters]`.
  func evaluate(_ theta: [Double], _ columns: [[Double]], values: inout [Double], gradient: inout [Double]) {
    let size = Tape.block
    var work = [Double](repeating: 0, count: operations.count * size)
    var back = gradient.isEmpty ? [] : work
    var first = 0
    while first < values.count {
      let count = min(size, values.count - first)
      forward(theta, columns, first, count, &work)
      let last = (operations.count - 1) * size
      for i in 0..<count { values[first + i] = work[last + i] }
      if !gradient.isEmpty {
        backward(theta.count, first, count, work, &back, &gradient)
      }
      first += count
    }
  }

  private func forward(
    _ theta: [Double], _ columns: [[Double]], _ first: Int, _ count: Int, _ work: inout [Double]
  ) {
    let size = Tape.block
    for (k, operation) in operations.enumerated() {
      let o = k * size
      switch operation {
      case .constant(let value): for i in 0..<count { work[o + i] = value }
      case .variable(let j): for i in 0..<count { work[o + i] = columns[j][first + i] }
      case .parameter(let j): for i in 0..<count { work[o + i] = theta[j] }
      case .call(let function, let x):
        for i in 0..<count { work[o + i] = function.apply(work[x * size + i]) }
      case .binary(.add, let x, let y):
        for i in 0..<count { work[o + i] = work[x * size + i] + work[y * size + i] }
      case .binary(.multiply, let x, let y):
        for i in 0..<count { work[o + i] = work[x * size + i] * work[y * size + i] }
      case .binary(let op, let x, let y):
        for i in 0..<count { work[o + i] = op.apply(work[x * size + i], work[y * size + i]) }
      }
    }
  }

  private func backward(
    _ p: Int, _ first: Int, _ count: Int, _ work: [Double], _ back: inout [Double], _ gradient: inout [Double]
  ) {
    let size = Tape.block
    for k in back.indices { back[k] = 0 }
    for i in (first * p)..<((first + count) * p) { gradient[i] = 0 }
    for i in 0..<count { back[(operations.count - 1) * size + i] = 1 }
    for k in operations.indices.reversed() where active[k] {
      let o = k * size
      switch operations[k] {
      case .constant, .variable: break
      case .parameter(let j): for i in 0..<count { gradient[(first + i) * p + j] += back[o + i] }
      case .call(let function, let x):
        let a = x * size
        for i in 0..<count where back[o + i] != 0 {
          back[a + i] += back[o + i] * function.derivative(work[a + i], work[o + i])
        }
      case .binary(let op, let x, let y):
        let (a, b) = (x * size, y * size)
        let (needsA, needsB) = (active[x], active[y])
        for i in 0..<count where back[o + i] != 0 {
          let (da, db) = Tape.derivatives(op, work[a + i], work[b + i], work[o + i], needsB)
          if needsA { back[a + i] += back[o + i] * da }
          if needsB { back[b + i] += back[o + i] * db }
        }
      }
    }
  }

  private static func derivatives(
    _ op: FormulaExpression.Operator, _ a: Double, _ b: Double, _ value: Double, _ needsB: Bool
  ) -> (Double, Double) {
    switch op {
    case .add: (1, 1)
    case .subtract: (1, -1)
    case .multiply: (b, a)
    case .divide: (1 / b, -value / b)
    case .power:
      // At a = 0 the limit a^b ln a is 0 for b > 0.
      (
        b == 2 ? 2 * a : a == 0 ? (b == 1 ? 1 : b > 1 ? 0 : .infinity) : b * value / a,
        needsB ? (a > 0 ? value * logarithm(a) : a == 0 && b > 0 ? 0 : .nan) : 0
      )
    case .min: a <= b ? (1, 0) : (0, 1)
    case .max: a >= b ? (1, 0) : (0, 1)
    default: (0, 0)
    }
  }
}
