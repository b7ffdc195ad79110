import Basics
import Settings
import Tensors

/// ListOps: the value of a nested expression of MIN, MAX, MED and SM over digits, as one of ten classes.
///
/// A node at depth d < D is an operator with probability 0.25, else a digit; at depth D it is a digit; the root has
/// depth 1. An operator, drawn uniformly, has 2 to 10 arguments, drawn uniformly. MED is the median rounded down, SM
/// the sum modulo 10. An expression is kept when minimum < length < maximum, where an operator counts two tokens (its
/// opening and its closing). Tokens: 0 padding, 1–10 the digits 0–9, 11 `[MIN`, 12 `[MAX`, 13 `[MED`, 14 `[SM`, 15 `]`.
///
/// Source: Nangia and Bowman 2018 (arXiv:1804.06028); Tay et al. 2020, Long Range Arena (arXiv:2011.04006); the rules
/// are those of `listops.py` in github.com/google-research/long-range-arena (its parentheses carry nothing, and its
/// tokenizer drops them).
public struct ListOps: GeneratedTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Lengths are above this.
    public var minimum = 500
    /// Lengths are below this.
    public var maximum = 2000
    /// The depth at which every node is a digit.
    public var depth = 10
    /// The most arguments of an operator.
    public var arguments = 10

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer(
        "minimum", \.minimum, in: 0...(1 << 20), unit: "tokens", help: "expressions are longer than this"),
      .integer(
        "maximum", \.maximum, in: 2...(1 << 20), unit: "tokens", help: "expressions are shorter than this"),
      .integer(
        "depth", \.depth, in: 1...64, help: "depth at which every node is a digit; the root has depth 1"),
      .integer(
        "arguments", \.arguments, in: 2...64, help: "the most arguments of an operator; the least is 2"),
    ]
  }

  /// The operators.
  enum Operator: Int, CaseIterable {
    case minimum, maximum, median, sumModuloTen

    var token: Int32 { Int32(11 + rawValue) }

    func value(_ arguments: [Int]) -> Int {
      let sorted = arguments.sorted()
      switch self {
      case .minimum: return sorted[0]
      case .maximum: return sorted[sorted.count - 1]
      case .median: return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
      case .sumModuloTen: return arguments.reduce(0, +) % 10
      }
    }
  }

  static let close: Int32 = 15

  /// What the task is.
  public static let card = TaskCard(
    id: "listops", title: "ListOps",
    paper: "Tay et al. 2020, Long Range Arena: a benchmark for efficient Transformers",
    idea: "the value of a long nested expression of MIN, MAX, MED and SM: ten classes")

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey

  /// Creates the task.
  /// - Throws: `ConfigurationError` when no length is allowed.
  public init(_ configuration: Configuration, key: RandomKey) throws(ConfigurationError) {
    guard configuration.maximum > configuration.minimum + 1 else {
      throw ConfigurationError(
        field: "maximum", value: "\(configuration.maximum)",
        allowed: "at least minimum + 2 = \(configuration.minimum + 2) tokens")
    }
    self.configuration = configuration
    self.key = key
  }

  /// One of ten values.
  public var kind: TaskKind { .classification }
  /// Padding, ten digits, four operators, one closing bracket.
  public var vocabularySize: Int { 16 }
  /// The longest expression, exclusive.
  public var length: Int { configuration.maximum }
  /// The digits.
  public var classCount: Int { 10 }

  /// Draws expressions until one has an allowed length.
  /// - Throws: `ConfigurationError` when none of 100 000 has.
  public func example(_ generator: inout RandomGenerator) throws(ConfigurationError) -> Example {
    for _ in 0..<100_000 {
      var tokens: [Int32] = []
      guard let value = expression(depth: 1, &tokens, &generator), tokens.count > configuration.minimum else {
        continue
      }
      return Example(inputs: tokens, label: Int32(value))
    }
    throw ConfigurationError(
      field: "minimum", value: "\(configuration.minimum)",
      allowed: "a length that depth \(configuration.depth) and \(configuration.arguments) arguments reach")
  }

  /// Appends a random expression and returns its value; nothing when it grew too long.
  private func expression(depth: Int, _ tokens: inout [Int32], _ generator: inout RandomGenerator) -> Int? {
    guard depth < configuration.depth, generator.uniform() < 0.25 else {
      let digit = generator.integer(below: 10)
      tokens.append(Int32(1 + digit))
      return tokens.count < configuration.maximum ? digit : nil
    }
    let count = 2 + generator.integer(below: configuration.arguments - 1)
    let chosen = Operator.allCases[generator.integer(below: Operator.allCases.count)]
    tokens.append(chosen.token)
    var values: [Int] = []
    for _ in 0..<count {
      guard let value = expression(depth: depth + 1, &tokens, &generator) else { return nil }
      values.append(value)
    }
    tokens.append(ListOps.close)
    return tokens.count < configuration.maximum ? chosen.value(values) : nil
  }
}
