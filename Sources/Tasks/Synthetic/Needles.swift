import Basics
import Settings
import Tensors

/// Several needles: numbers of several keys hidden in filler text, of which some are asked for at the end, in bytes.
///
/// Of K keys each has V numbers, each stated in a sentence of its own, ` The number of blue wolf is 12345. `; the K·V sentences stand at
/// random places of the filler, or those of the keys that are asked for at `depth`. The end asks for Q of the keys,
/// ` What are the numbers of blue wolf, dark crow? They are 12345, 54321`: all numbers of the first key in the order of the text, then
/// those of the next. Scored is the whole answer, commas too. Numbers of an example differ. K > 1 is RULER's multi-key needle, V > 1
/// its multi-value, Q > 1 its multi-query. As with `passkey`, numbers that one split asks for no other asks for.
///
/// Source: Hsieh et al. 2024, RULER (arXiv:2404.06654), `niah_multikey`, `niah_multivalue`, `niah_multiquery`, whose answers may come in
/// any order; here they have one, so that there is one answer to score (`attnlab grade` takes any order).
public struct Needles: GeneratedTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Bytes of an example.
    public var length = 1024
    /// K.
    public var keys = 4
    /// V.
    public var values = 1
    /// Q.
    public var queries = 1
    /// Where the numbers that are asked for are stated: 0 first, 1 last, −1 anywhere.
    public var depth = -1.0

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("length", \.length, in: 1...(1 << 24), unit: "tokens", help: "bytes of an example"),
      .integer("keys", \.keys, in: 1...256, help: "keys that have numbers"),
      .integer("values", \.values, in: 1...64, help: "numbers of a key"),
      .integer("queries", \.queries, in: 1...64, help: "keys that are asked for; at most keys"),
      .real(
        "depth", \.depth, in: -1...1,
        help:
          "where what is asked for is stated, from 0 (first) to 1 (right before the question); -1 draws it"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "needles", title: "Several needles",
    paper: "Hsieh et al. 2024, RULER: what's the real context size of your long-context language models?",
    idea:
      "numbers of several keys hidden in filler text, some asked for at the end: several keys, values, queries"
  )

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey

  /// Creates the task.
  /// - Parameters:
  ///   - configuration: the settings.
  ///   - key: the root of all draws.
  /// - Throws: `ConfigurationError` when more keys are asked for than there are, or sentences and question do not fit.
  public init(_ configuration: Configuration, key: RandomKey) throws(ConfigurationError) {
    let c = configuration
    guard c.queries <= c.keys else {
      throw ConfigurationError(field: "queries", value: "\(c.queries)", allowed: "at most keys = \(c.keys)")
    }
    guard c.depth >= 0 || c.depth == -1 else {
      throw ConfigurationError(field: "depth", value: "\(c.depth)", allowed: "a number from 0 to 1, or -1")
    }
    let least =
      c.keys * c.values * Self.statement(0, 10_000).count
      + Self.question(Array(0..<c.queries)).count + Self.answerCount(c) - 1
    guard c.length >= least else {
      throw ConfigurationError(field: "length", value: "\(c.length)", allowed: "at least \(least) bytes")
    }
    (self.configuration, self.key) = (c, key)
  }

  /// The numbers at the end.
  public var kind: TaskKind { .languageModel }
  /// Bytes.
  public var vocabularySize: Int { 256 }
  /// They are.
  public var readsBytes: Bool { true }
  /// Bytes of an example.
  public var length: Int { configuration.length }
  /// Numbers of an answer stand between these.
  public var answerSeparator: String? { ", " }

  private static let adjectives = [
    "blue", "dark", "cold", "warm", "tall", "tiny", "fast", "slow", "loud", "calm", "bold", "pale", "kind",
    "wild", "soft", "deep",
  ]
  private static let nouns = [
    "wolf", "bear", "deer", "frog", "hawk", "crow", "swan", "duck", "lion", "goat", "mole", "seal", "crab",
    "moth", "newt", "toad",
  ]

  private static func name(_ key: Int) -> String { "\(adjectives[key / 16]) \(nouns[key % 16])" }
  private static func statement(_ key: Int, _ number: Int) -> [UInt8] {
    Array(" The number of \(name(key)) is \(number). ".utf8)
  }
  private static func question(_ keys: [Int]) -> [UInt8] {
    Array(" What are the numbers of \(keys.map(name).joined(separator: ", "))? They are ".utf8)
  }
  private static func answerCount(_ c: Configuration) -> Int { 7 * c.queries * c.values - 2 }

  /// Draws one example.
  /// - Parameter generator: where the draws come from.
  /// - Returns: the example.
  /// - Complexity: O(length).
  public func example(_ generator: inout RandomGenerator) -> Example {
    let c = configuration
    let keys = distinct(c.keys, in: 0..<256, &generator)
    let numbers = distinct(c.keys * c.values, in: 10_000..<100_000, &generator)
    let asked = Array(keys.prefix(c.queries)), question = Self.question(asked)
    let answerCount = Self.answerCount(c)
    let room =
      c.length + 1 - c.keys * c.values * Self.statement(0, 10_000).count - question.count - answerCount
    let phase = generator.integer(below: Passkey.filler.count)
    // By place, then in the order of the draw.
    let sentences = numbers.indices.map { number in
      let place = generator.uniform(), isAsked = number / c.values < c.queries
      return (at: Int(Double(room) * (isAsked && c.depth >= 0 ? c.depth : place)), number: number)
    }.sorted { ($0.at, $0.number) < ($1.at, $1.number) }
    var text: [UInt8] = [], filled = 0
    func fill(to end: Int) {
      text += (filled..<end).map { Passkey.filler[(phase + $0) % Passkey.filler.count] }
      filled = end
    }
    for sentence in sentences {
      fill(to: sentence.at)
      text += Self.statement(keys[sentence.number / c.values], numbers[sentence.number])
    }
    fill(to: room)
    let answer = asked.indices.flatMap { key in
      sentences.map(\.number).filter { $0 / c.values == key }.map { numbers[$0] }
    }
    text += question + Array(answer.map { "\($0)" }.joined(separator: ", ").utf8)
    var targets = [Int32](repeating: TaskBatch.ignored, count: c.length)
    for place in (c.length - answerCount)..<c.length { targets[place] = Int32(text[place + 1]) }
    var example = Example(inputs: text.dropLast().map { Int32($0) }, targets: targets)
    example.identity = answer.map { Int32($0) }
    return example
  }
}
