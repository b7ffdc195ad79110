import Basics
import Settings
import Tasks

/// Passages that answer a question, put before it.
///
/// Passages are sentences put together, up to `passage` bytes each. The `count` best are kept, in the order of the text; of
/// equals the earlier is better, and one that scores 0 is not kept. They are those of `path`, a file or folder that is held
/// in memory, put before the whole row; without a path those of the row itself, put before its last `question` bytes: the
/// rest of the row is left out, and no target in it is scored. The question is what stands there before the answer, from the first
/// sentence on that begins there. By `bm25`, or, where a trained model is at hand (`attnlab
/// text`), by `embeddings`: the cosine of the means of the model's last hidden states.
///
/// Source: Lewis et al. 2020, Retrieval-augmented generation for knowledge-intensive NLP tasks (whose retriever is trained;
/// here nothing is).
public struct Retrieve: TextWay {
  /// What passages are scored by.
  public enum Method: String, CaseIterable, Hashable, Sendable {
    /// BM25 against the question.
    case bm25
    /// The model's own hidden states.
    case embeddings
  }

  /// The settings.
  public struct Configuration: ParameterSet {
    /// What passages are scored by.
    public var method = Method.bm25
    /// A file or folder; empty: the row itself.
    public var path = ""
    /// Passages that are kept.
    public var count = 4
    /// The most tokens of a passage.
    public var passage = 256
    /// Tokens at the end of a row that stay: the question, and the answer behind it.
    public var question = 64
    /// BM25's k₁.
    public var k1 = 1.5
    /// BM25's b.
    public var b = 0.75

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .choice("method", \.method, help: "what passages are scored by; embeddings: only in attnlab text"),
      .text(
        "path", \.path, allowed: "a text file or folder",
        help: "where passages are from; empty: the text or row itself"),
      .integer("count", \.count, in: 1...(1 << 16), help: "passages that are kept"),
      .integer(
        "passage", \.passage, in: 16...(1 << 20), unit: "tokens", help: "the most tokens of a passage"),
      .integer(
        "question", \.question, in: 1...(1 << 20), unit: "tokens",
        help: "tokens at the end of a row that stay: the question, and the answer behind it"),
      .real("k1", \.k1, in: 0...100, help: "BM25: where further occurrences of a word stop to count"),
      .real("b", \.b, in: 0...1, help: "BM25: how much the length of a passage counts"),
    ]
  }

  /// What the way is.
  public static let card = WayCard(
    id: "retrieve", title: "Retrieved passages",
    paper: "Lewis et al. 2020, Retrieval-augmented generation for knowledge-intensive NLP tasks",
    idea: "the passages of a text or folder that answer the question best, put before it")

  /// The configuration in force.
  public let configuration: Configuration
  private let library: PassageIndex?

  /// Configures the way.
  /// - Throws: `TextError` when the folder cannot be read.
  public init(_ configuration: Configuration) throws {
    self.configuration = configuration
    library =
      configuration.path.isEmpty
      ? nil
      : PassageIndex(
        Passages.cut(try TextCorpus(path: configuration.path).bytes, most: configuration.passage))
  }

  /// Tasks of texts.
  public func check(_ task: any SequenceTask) throws(ConfigurationError) {
    try Tail.check(task, for: Self.card.id)
    guard configuration.method == .bm25 else {
      throw ConfigurationError(
        field: "method", value: configuration.method.rawValue,
        allowed:
          "bm25 before a task: the model's embeddings change while it is trained; attnlab text has them")
    }
  }

  /// The passages, and the question or row.
  public func length(of length: Int) -> Int {
    let most = configuration.count * configuration.passage
    guard library == nil else { return most + length }
    return min(length, configuration.question + most)
  }

  /// The row with passages before it, or before its end.
  public func parts(of row: Example) -> [Example] {
    let tail = Tail(row, bytes: configuration.question)
    if let library {
      return [row.replacing(before: 0, by: library.best(for: tail.question, configuration).flatMap(\.bytes))]
    }
    let own = PassageIndex(Passages.cut(tail.context, most: configuration.passage))
    return [
      row.replacing(before: tail.start, by: own.best(for: tail.question, configuration).flatMap(\.bytes))
    ]
  }
}
