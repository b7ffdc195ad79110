import Basics
import Settings
import Tensors

/// Variable tracking: chains of assignments `x₀ = value`, `x₁ = x₀`, …, strewn over fillers; what does a variable hold, or who
/// holds a value?
///
/// C chains of H + 1 assignments each, all variables and all values distinct. An assignment is two tokens, the variable that is set
/// and what it is set to. The chains are interleaved at random, each in its own order, at slots drawn uniformly; a chain may only
/// look back. All other slots hold fillers. At the end comes the question:
/// - `value`: for every chain, in random order, the mark `?` and the chain's last variable; scored is its value, H + 1 look-ups away.
/// - `variables` (RULER): the mark, the value of the first chain, and its variables in order; scored are the variables, one look-up
///   each for who reads the answer as it grows.
///
/// Tokens: 0 padding, 1 the mark, then fillers, variables, values.
///
/// Source: Hsieh et al. 2024, RULER (arXiv:2404.06654), whose text this is in tokens; `value` asks what its answers hide, the hops.
public struct VariableTracking: GeneratedTask {
  /// What is asked.
  public enum Question: String, CaseIterable, Sendable {
    /// The value of every chain's last variable.
    case value
    /// The variables that hold the first chain's value.
    case variables
  }

  /// The settings.
  public struct Configuration: ParameterSet {
    /// Tokens of an example.
    public var length = 128
    /// C.
    public var chains = 2
    /// H.
    public var hops = 2
    /// What is asked.
    public var ask = Question.value
    /// Variables, and as many values.
    public var variables = 64
    /// Filler tokens.
    public var fillers = 16

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("length", \.length, in: 4...(1 << 24), unit: "tokens", help: "tokens of an example"),
      .integer(
        "chains", \.chains, in: 1...(1 << 16), help: "chains of assignments, each with a value of its own"),
      .integer("hops", \.hops, in: 0...(1 << 16), help: "assignments of a chain behind its first"),
      .choice(
        "ask", \.ask,
        help: "the value of every chain's last variable, or the variables of the first value (RULER)"),
      .integer("variables", \.variables, in: 1...(1 << 19), help: "names of variables, and as many values"),
      .integer("fillers", \.fillers, in: 1...(1 << 16), unit: "tokens", help: "tokens that say nothing"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "variable-tracking", title: "Variable tracking",
    paper: "Hsieh et al. 2024, RULER: what's the real context size of your long-context language models?",
    idea: "chains of assignments among fillers: what a variable holds, several look-ups away")

  /// The mark of a question.
  static let mark: Int32 = 1

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey

  /// Creates the task.
  /// - Parameters:
  ///   - configuration: the settings.
  ///   - key: the root of all draws.
  /// - Throws: `ConfigurationError` when names or places are too few.
  public init(_ configuration: Configuration, key: RandomKey) throws(ConfigurationError) {
    let c = configuration, names = c.chains * (c.hops + 1)
    guard names <= c.variables else {
      throw ConfigurationError(
        field: "variables", value: "\(c.variables)",
        allowed: "at least \(names) for \(c.chains) chains of \(c.hops + 1) assignments")
    }
    let least = 2 * names + Self.questionLength(c)
    guard c.length >= least else {
      throw ConfigurationError(
        field: "length", value: "\(c.length)", allowed: "at least \(least) tokens for these chains and hops")
    }
    self.configuration = c
    self.key = key
  }

  private static func questionLength(_ c: Configuration) -> Int {
    c.ask == .value ? 2 * c.chains : 2 + c.hops
  }

  /// An answer at the marked places.
  public var kind: TaskKind { .languageModel }
  /// Padding, the mark, fillers, variables, values.
  public var vocabularySize: Int { 2 + configuration.fillers + 2 * configuration.variables }
  /// Tokens of an example.
  public var length: Int { configuration.length }

  /// Draws one example.
  /// - Parameter generator: where the draws come from.
  /// - Returns: the example.
  /// - Complexity: O(length).
  public func example(_ generator: inout RandomGenerator) -> Example {
    let c = configuration, firstVariable = 2 + c.fillers, firstValue = firstVariable + c.variables
    let depth = c.hops + 1, count = c.chains * depth
    let variables = distinct(count, in: firstVariable..<firstValue, &generator).map(Int32.init)
    let values = distinct(c.chains, in: firstValue..<firstValue + c.variables, &generator).map(Int32.init)
    var inputs = (0..<c.length).map { _ in Int32(2 + generator.integer(below: c.fillers)) }
    var targets = [Int32](repeating: TaskBatch.ignored, count: c.length)
    let asked = c.length - Self.questionLength(c)
    var next = [Int](repeating: 0, count: c.chains)
    // The order of chains, each as often as it has assignments: every interleaving is as likely.
    var turns = (0..<count).map { $0 / depth }
    turns.shuffle(using: &generator)
    for (slot, chain) in zip(distinct(count, in: 0..<asked / 2, &generator).sorted(), turns) {
      let step = next[chain]
      next[chain] += 1
      inputs[2 * slot] = variables[chain * depth + step]
      inputs[2 * slot + 1] = step == 0 ? values[chain] : variables[chain * depth + step - 1]
    }
    switch c.ask {
    case .value:
      for (number, chain) in distinct(c.chains, in: 0..<c.chains, &generator).enumerated() {
        inputs[asked + 2 * number] = Self.mark
        inputs[asked + 2 * number + 1] = variables[chain * depth + c.hops]
        targets[asked + 2 * number + 1] = values[chain]
      }
    case .variables:
      inputs[asked] = Self.mark
      inputs[asked + 1] = values[0]
      for step in 0..<depth {
        targets[asked + 1 + step] = variables[step]
        if step + 1 < depth { inputs[asked + 2 + step] = variables[step] }
      }
    }
    return Example(inputs: inputs, targets: targets)
  }
}
