import Basics
import Settings
import Tensors

/// Common words: which words of a long list occur more often than all others?
///
/// A list has K common words, R times each, and as many other words, r times each, as the length leaves room for; their order is
/// random. What is left of the length are fillers at the beginning. Then come the mark `?` and the common words by rising token; scored
/// are these. There is no place to look at: every word must be counted, so that a window knows only its own part.
///
/// Tokens: 0 padding, 1 the mark, 2 the filler, then words.
///
/// Source: Hsieh et al. 2024, RULER (arXiv:2404.06654), `common_words_extraction` (K = 10, R = 30, r = 3), whose answers may come in
/// any order; here they have one, so that there is one answer to score.
public struct CommonWords: GeneratedTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Tokens of an example.
    public var length = 128
    /// K.
    public var common = 3
    /// R.
    public var repeats = 10
    /// r.
    public var others = 2
    /// Words.
    public var words = 128

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("length", \.length, in: 2...(1 << 24), unit: "tokens", help: "tokens of an example"),
      .integer("common", \.common, in: 1...(1 << 16), help: "common words, which are asked for"),
      .integer("repeats", \.repeats, in: 2...(1 << 16), help: "how often a common word occurs"),
      .integer(
        "others", \.others, in: 1...(1 << 16), help: "how often any other word occurs; less than repeats"),
      .integer("words", \.words, in: 1...(1 << 20), help: "words of the vocabulary"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "common-words", title: "Common words",
    paper: "Hsieh et al. 2024, RULER: what's the real context size of your long-context language models?",
    idea: "which words of a long list are the most common: every token counts, none can be looked up")

  /// The mark of the question.
  static let mark: Int32 = 1

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey

  /// Creates the task.
  /// - Parameters:
  ///   - configuration: the settings.
  ///   - key: the root of all draws.
  /// - Throws: `ConfigurationError` when words or places are too few.
  public init(_ configuration: Configuration, key: RandomKey) throws(ConfigurationError) {
    let c = configuration
    guard c.others < c.repeats else {
      throw ConfigurationError(
        field: "others", value: "\(c.others)", allowed: "less than repeats = \(c.repeats)")
    }
    let least = c.common * (c.repeats + 1)
    guard c.length >= least else {
      throw ConfigurationError(
        field: "length", value: "\(c.length)",
        allowed: "at least \(least) tokens for the common words and the answer")
    }
    let words = c.common + (c.length - least) / c.others
    guard c.words >= words else {
      throw ConfigurationError(
        field: "words", value: "\(c.words)", allowed: "at least \(words), which \(c.length) tokens hold")
    }
    self.configuration = c
    self.key = key
  }

  /// The common words at the end.
  public var kind: TaskKind { .languageModel }
  /// Padding, the mark, the filler, words.
  public var vocabularySize: Int { 3 + configuration.words }
  /// Tokens of an example.
  public var length: Int { configuration.length }

  /// Draws one example.
  /// - Parameter generator: where the draws come from.
  /// - Returns: the example.
  /// - Complexity: O(length).
  public func example(_ generator: inout RandomGenerator) -> Example {
    let c = configuration, room = c.length - c.common
    let others = (room - c.common * c.repeats) / c.others
    let words = distinct(c.common + others, in: 3..<3 + c.words, &generator).map(Int32.init)
    var list = words.prefix(c.common).flatMap { [Int32](repeating: $0, count: c.repeats) }
    list += words.dropFirst(c.common).flatMap { [Int32](repeating: $0, count: c.others) }
    list.shuffle(using: &generator)
    let answer = words.prefix(c.common).sorted()
    let fillers = [Int32](repeating: 2, count: room - list.count)
    let inputs = fillers + list + [Self.mark] + answer.dropLast()
    let targets = [Int32](repeating: TaskBatch.ignored, count: room) + answer
    return Example(inputs: inputs, targets: targets)
  }
}
