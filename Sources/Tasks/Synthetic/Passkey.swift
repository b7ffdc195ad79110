import Basics
import Settings
import Tensors

/// Passkey retrieval: a five-digit key stated once in filler text and asked for at the end, in bytes.
///
/// text = filler · ` The pass key is 12345. Remember it. ` · filler · ` What is the pass key? The pass key is 12345`; the
/// five digits at the end are the scored targets. Depth 0 puts the statement first, depth 1 right before the
/// question. The filler starts at a random place of its loop. Keys are uniform in 10000 … 99999, and a key of one
/// split never occurs in another. All five digits right is a hit; chance is 1 in 90 000, and 1 in 10 a digit.
///
/// Source: Mohtashami and Jaggi 2023, Landmark attention (arXiv:2305.16300), which states the key twice.
public struct Passkey: GeneratedTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Bytes of an example.
    public var length = 512
    /// Where the key is stated: 0 first, 1 last, −1 anywhere.
    public var depth = -1.0

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("length", \.length, in: 1...(1 << 24), unit: "tokens", help: "bytes of an example"),
      .real(
        "depth", \.depth, in: -1...1,
        help:
          "where the key is stated, from 0 (first) to 1 (right before the question); -1 draws it anew each time"
      ),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "passkey", title: "Passkey retrieval",
    paper:
      "Mohtashami and Jaggi 2023, Landmark attention: random-access infinite context length for Transformers",
    idea: "a five-digit key hidden in filler text, asked for at the end: accuracy by length and depth")

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey

  static let filler = Array(
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. ".utf8)
  static let digits = 5

  static func statement(_ secret: Int) -> [UInt8] { Array(" The pass key is \(secret). Remember it. ".utf8) }
  static func question(_ secret: Int) -> [UInt8] {
    Array(" What is the pass key? The pass key is \(secret)".utf8)
  }

  /// Creates the task.
  /// - Throws: `ConfigurationError` when the statement and the question do not fit.
  public init(_ configuration: Configuration, key: RandomKey) throws(ConfigurationError) {
    let least = Passkey.statement(10_000).count + Passkey.question(10_000).count - 1
    guard configuration.length >= least else {
      throw ConfigurationError(
        field: "length", value: "\(configuration.length)", allowed: "at least \(least) bytes")
    }
    guard configuration.depth >= 0 || configuration.depth == -1 else {
      throw ConfigurationError(
        field: "depth", value: "\(configuration.depth)", allowed: "a number from 0 to 1, or -1")
    }
    self.configuration = configuration
    self.key = key
  }

  /// The digits of the key.
  public var kind: TaskKind { .languageModel }
  /// Bytes.
  public var vocabularySize: Int { 256 }
  /// They are.
  public var readsBytes: Bool { true }
  /// Bytes of an example.
  public var length: Int { configuration.length }

  /// Draws one example.
  public func example(_ generator: inout RandomGenerator) -> Example {
    let secret = 10_000 + generator.integer(below: 90_000)
    let statement = Passkey.statement(secret), question = Passkey.question(secret)
    let room = length + 1 - statement.count - question.count
    let phase = generator.integer(below: Passkey.filler.count)
    let place = generator.uniform()
    let before = Int((Double(room) * (configuration.depth < 0 ? place : configuration.depth)).rounded())
    func filler(_ range: Range<Int>) -> [UInt8] {
      range.map { Passkey.filler[(phase + $0) % Passkey.filler.count] }
    }
    let text = filler(0..<before) + statement + filler(before..<room) + question
    var targets = [Int32](repeating: TaskBatch.ignored, count: length)
    for position in (length - Passkey.digits)..<length { targets[position] = Int32(text[position + 1]) }
    var example = Example(inputs: text.dropLast().map { Int32($0) }, targets: targets)
    example.identity = [Int32(secret)]
    return example
  }
}
