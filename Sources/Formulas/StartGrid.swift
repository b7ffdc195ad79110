import Basics
import LeastSquares

/// Where the nonlinear parameters of a formula may lie, read from their places in it and from the data.
///
/// - In an exponent, the usual exponents.
/// - Beside a term of the data in a sum, as m in x − m or k in x² + k·x: where the two cancel, all through the data, a
///   little beyond it, and where the response is extreme.
/// - As a factor of data, as b in exp(−b·x): around one over the size and over the span of what it multiplies.
/// - Dividing data, as s in (x − m)/s: parts of the span, and the sizes themselves.
/// - Inside a sine, so that whole and half periods lie within the data.
struct StartGrid {
  private let parameters: Set<String>
  private let rows: [[String: Double]]
  private let response: [Double]
  private var found: [String: [Double]] = [:]

  /// Complexity O(size of the formula × rows); at most 200 rows, evenly through the data, are looked at.
  init(_ law: FormulaExpression, variables: [String], nonlinear: [String], data: FitData) {
    let sample = data.thinned(to: 200)
    parameters = Set(law.names).subtracting(variables)
    rows = (0..<sample.count).map { i in
      Dictionary(uniqueKeysWithValues: variables.indices.map { (variables[$0], sample.columns[$0][i]) })
    }
    response = sample.response
    for name in nonlinear { found[name] = [] }
    visit(law, isPeriodic: false)
  }

  /// The values to try for a parameter, without repetitions.
  func values(of name: String) -> [Double] {
    let all = (found[name] ?? []).filter(\.isFinite).sorted()
    var kept: [Double] = []
    for value in all {
      if let last = kept.last, abs(value - last) <= 0.02 * max(abs(value), abs(last)) { continue }
      kept.append(value)
    }
    return kept.isEmpty ? StartGrid.plain : kept
  }

  private static let plain = [-10, -3, -1, -0.3, 0.1, 0.3, 1, 3, 10]
  private static let exponents = [0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3].flatMap { [$0, -$0] }

  private mutating func add(_ name: String, _ values: [Double]) { found[name]?.append(contentsOf: values) }

  // MARK: - Places

  private mutating func visit(_ e: FormulaExpression, isPeriodic: Bool) {
    switch e {
    case .number, .text, .name: break
    case .call(.negate, _), .binary(.add, _, _), .binary(.subtract, _, _), .binary(.multiply, _, _),
      .binary(.divide, _, _):
      sum(e, isPeriodic: isPeriodic)
    case .call(let function, let a):
      let isWave = function == .sin || function == .cos || function == .tan
      sum(a, isPeriodic: isWave)
    case .binary(.power, let base, let exponent):
      for name in exponent.names { add(name, StartGrid.exponents) }
      if case .name(let name) = base { power(of: name, exponent) } else { visit(base, isPeriodic: false) }
      visit(exponent, isPeriodic: false)
    case .binary(_, let a, let b):
      visit(a, isPeriodic: false)
      visit(b, isPeriodic: false)
    }
  }

  /// b^x: so that ln b·x is of the order of one.
  private mutating func power(of name: String, _ exponent: FormulaExpression) {
    guard let (_, span) = sizes(evaluate(exponent)) else { return }
    add(name, [-3, -1, -0.3, 0.3, 1, 3].map { exponential($0 / span) })
  }

  private mutating func sum(_ e: FormulaExpression, isPeriodic: Bool) {
    let terms = Term.sum(of: e)
    let data = terms.filter { isData($0.expression) }
    for term in terms {
      for name in term.names where found[name] != nil {
        if term.numerator.contains(.name(name)) {
          factor(name, of: term, beside: data, isPeriodic: isPeriodic, isAlone: terms.count == 1)
        } else if let power = term.denominatorPower(of: name) {
          divisor(name, power, of: term, isPeriodic: isPeriodic)
        }
      }
      for part in term.numerator + term.denominator { visit(part, isPeriodic: false) }
    }
  }

  private func isData(_ e: FormulaExpression) -> Bool {
    !e.names.isEmpty && !e.names.contains(where: parameters.contains)
  }

  /// sign·name·g in a sum with terms h of the data.
  private mutating func factor(
    _ name: String, of term: Term, beside data: [Term], isPeriodic: Bool, isAlone: Bool
  ) {
    let own = term.numerator.filter { $0 != .name(name) && isFree($0) }
    let below = term.denominator.filter(isFree)
    let g = rows.indices.map { i in product(own, i) / product(below, i) * term.sign }
    let sized = sizes(g)
    if !data.isEmpty {
      let cancel = rows.indices.map { i in -data.map { $0.sign * value($0.expression, i) }.sum() / g[i] }
      add(name, StartGrid.places(cancel, response))
    }
    if let (size, span) = sized {
      if isPeriodic {
        add(name, StartGrid.cycles.map { 2 * Double.pi * $0 / span })
      } else {
        let scales = size > 2 * span || span > 2 * size ? [size, span] : [size]
        add(name, scales.flatMap { s in [0.1, 0.3, 1, 3, 10].flatMap { [$0 / s, -$0 / s] } })
      }
    } else if isPeriodic {
      add(name, [-1.5, 0, 1.5, 3])
    } else if data.isEmpty {
      add(name, isAlone ? StartGrid.plain : StartGrid.plain + [0])
    }
  }

  /// e / name^power.
  private mutating func divisor(_ name: String, _ power: Double, of term: Term, isPeriodic: Bool) {
    let below = term.denominator.filter(isFree)
    let e = rows.indices.map { i -> Double in
      // Other parameters at zero: what is left of x − m is x.
      let above = term.numerator.map { value($0, i) }.reduce(1, *)
      return realPower(abs(above / product(below, i)), 1 / power)
    }
    guard let (_, span) = sizes(e) else { return }
    if isPeriodic {
      add(name, StartGrid.cycles.map { span / (2 * Double.pi * $0) })
      return
    }
    let sorted = e.sorted()
    let scales =
      [0.02, 0.05, 0.1, 0.2, 0.5, 1, 3].map { $0 * span }
      + [0.1, 0.5, 0.9].map { Quantiles.ofSorted(sorted, $0) }
    add(name, scales.flatMap { [$0, -$0] })
  }

  // MARK: - Values

  private static let cycles = (1...24).map { 0.5 * Double($0) } + (13...40).map(Double.init)

  /// Evenly through the values, beyond both ends, at the extremes of the response; and the same with the other sign.
  private static func places(_ values: [Double], _ response: [Double]) -> [Double] {
    let usable = values.filter(\.isFinite).sorted()
    guard let low = usable.first, let high = usable.last else { return [] }
    let span = high > low ? high - low : max(abs(high), 1e-300)
    var places = (0..<9).map { low + (Double($0) + 0.5) / 9 * (high - low) }
    for f in [0.3, 1, 3] { places += [low - f * span, high + f * span] }
    places += [0.1, 0.25, 0.5, 0.75, 0.9].map { Quantiles.ofSorted(usable, $0) }
    let sorted = response.indices.sorted { response[$0] < response[$1] }
    for i in [sorted.first, sorted.last].compactMap({ $0 }) { places.append(values[i]) }
    return places + [0.1, 0.5, 0.9].map { -Quantiles.ofSorted(usable, $0) }
  }

  private func isFree(_ e: FormulaExpression) -> Bool { !e.names.contains(where: parameters.contains) }

  private func evaluate(_ e: FormulaExpression) -> [Double] { rows.indices.map { value(e, $0) } }

  private func value(_ e: FormulaExpression, _ row: Int) -> Double { e.value { rows[row][$0] ?? 0 } }

  private func product(_ factors: [FormulaExpression], _ row: Int) -> Double {
    factors.map { value($0, row) }.reduce(1, *)
  }

  /// The median size and the span; nil for what does not vary.
  private func sizes(_ values: [Double]) -> (size: Double, span: Double)? {
    let usable = values.filter(\.isFinite)
    guard let low = usable.min(), let high = usable.max(), high > low else { return nil }
    let size = Quantiles.median(usable.map { abs($0) })
    return (size > 0 ? size : high - low, high - low)
  }
}

/// One term of a sum as a sign, factors and divisors.
private struct Term {
  var sign: Double
  let expression: FormulaExpression
  var numerator: [FormulaExpression] = []
  var denominator: [FormulaExpression] = []

  static func sum(of e: FormulaExpression, sign: Double = 1) -> [Term] {
    switch e {
    case .binary(.add, let a, let b): return sum(of: a, sign: sign) + sum(of: b, sign: sign)
    case .binary(.subtract, let a, let b): return sum(of: a, sign: sign) + sum(of: b, sign: -sign)
    case .call(.negate, let a): return sum(of: a, sign: -sign)
    default: return [Term(e, sign: sign)]
    }
  }

  private init(_ e: FormulaExpression, sign: Double) {
    self.sign = sign
    expression = e
    split(e, isBelow: false)
  }

  private mutating func split(_ e: FormulaExpression, isBelow: Bool) {
    switch e {
    case .binary(.multiply, let a, let b):
      split(a, isBelow: isBelow)
      split(b, isBelow: isBelow)
    case .binary(.divide, let a, let b):
      split(a, isBelow: isBelow)
      split(b, isBelow: !isBelow)
    case .call(.negate, let a):
      sign = -sign
      split(a, isBelow: isBelow)
    default:
      if isBelow { denominator.append(e) } else { numerator.append(e) }
    }
  }

  /// The names that are a factor or a divisor by themselves.
  var names: [String] {
    (numerator + denominator).compactMap { part -> String? in
      switch part {
      case .name(let name), .binary(.power, .name(let name), .number): name
      default: nil
      }
    }
  }

  /// k when the term is divided by name^k.
  func denominatorPower(of name: String) -> Double? {
    for part in denominator {
      switch part {
      case .name(name): return 1
      case .binary(.power, .name(name), .number(let k)) where k != 0: return k
      default: continue
      }
    }
    return nil
  }
}
