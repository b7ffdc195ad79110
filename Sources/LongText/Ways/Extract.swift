import Basics
import Settings
import Tasks

/// The key sentences of a text, in their order, up to a number or a share of its tokens.
///
/// Sentences are scored by BM25 or TF-IDF against the question, by TF-IDF against the text as a whole where there is none, or by
/// TextRank. From the best on each is kept that still fits, of the first four budgets of bytes; of equals the earlier is better. A
/// sentence that scores 0 is not kept. Tokens are bytes. Of a row the last `question` bytes stay as they are, and no target before them
/// is scored. The question is what stands there before the answer, from the first sentence on that begins there.
///
/// A longer text is read in parts of `part` bytes and at most 1024 sentences: TF-IDF and TextRank score the sentences of a part among
/// each other, BM25 those of all. With `share` every part keeps its share, and what is left of it goes to the next; with `tokens` the
/// best of all parts are kept. So the memory is of one part, and of four times `tokens`, whatever the length of the text.
public struct Extract: TextWay {
  /// What sentences are scored by.
  public enum Method: String, CaseIterable, Hashable, Sendable {
    /// BM25 against the question.
    case bm25
    /// TF-IDF against the question, or the whole.
    case tfidf
    /// TextRank.
    case textrank
  }

  /// The settings.
  public struct Configuration: ParameterSet {
    /// What sentences are scored by.
    public var method = Method.bm25
    /// The most tokens that are kept.
    public var tokens = 256
    /// The share that is kept instead.
    public var share = 0.0
    /// Tokens at the end of a row that stay: the question, and the answer behind it.
    public var question = 64
    /// BM25's k₁.
    public var k1 = 1.5
    /// BM25's b.
    public var b = 0.75
    /// TextRank's d.
    public var damping = 0.85
    /// Bytes that are ranked together.
    public var part = 1 << 14

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .choice("method", \.method, help: "what sentences are scored by"),
      .integer("tokens", \.tokens, in: 1...(1 << 24), unit: "tokens", help: "the most tokens that are kept"),
      .real(
        "share", \.share, in: 0...1, help: "the share of the tokens that is kept instead; 0: tokens says it"),
      .integer(
        "question", \.question, in: 0...(1 << 20), unit: "tokens",
        help: "tokens at the end of a row that stay: the question, and the answer behind it"),
      .real("k1", \.k1, in: 0...100, help: "BM25: where further occurrences of a word stop to count"),
      .real("b", \.b, in: 0...1, help: "BM25: how much the length of a sentence counts"),
      .real(
        "damping", \.damping, in: 0...0.999, help: "TextRank: the share of a score that comes from neighbours"
      ),
      .integer(
        "part", \.part, in: 1024...(1 << 20), unit: "tokens",
        help: "tokens of a long text that are ranked together"),
    ]
  }

  /// What the way is.
  public static let card = WayCard(
    id: "extract", title: "Key sentences",
    paper: "Mihalcea and Tarau 2004, TextRank; Robertson and Zaragoza 2009, BM25 and beyond",
    idea: "the sentences of a text that matter most, up to a number or a share of its tokens")

  /// The configuration in force.
  public let configuration: Configuration

  /// Configures the way.
  public init(_ configuration: Configuration) { self.configuration = configuration }

  /// Tasks of texts, with a question where the method needs one.
  public func check(_ task: any SequenceTask) throws(ConfigurationError) {
    try Tail.check(task, for: Self.card.id)
    guard configuration.method != .bm25 || configuration.question > 0 else {
      throw ConfigurationError(field: "question", value: "0", allowed: "1 or more for method bm25")
    }
    guard task.kind == .classification || configuration.question > 0 else {
      throw ConfigurationError(
        field: "question", value: "0", allowed: "1 or more where tokens are predicted: what is scored stays")
    }
  }

  /// What is kept, and the question.
  public func length(of length: Int) -> Int {
    min(length, max(1, configuration.question + budget(of: length)))
  }

  /// The row with its key sentences alone before the question.
  public func parts(of row: Example) -> [Example] {
    let tail = Tail(row, bytes: configuration.question)
    let kept = key(of: tail.context, question: tail.question, budget: budget(of: tail.context.count))
    let result = row.replacing(before: tail.start, by: kept.flatMap { tail.context[$0] })
    // A model reads at least one token.
    return [result.inputs.isEmpty ? row.replacing(before: max(0, row.inputs.count - 1), by: []) : result]
  }

  /// Tokens that are kept of so many.
  func budget(of count: Int) -> Int {
    configuration.share > 0 ? Int(configuration.share * Double(count)) : configuration.tokens
  }

  /// The sentences of a text in memory that are kept, in order.
  func key(of text: [UInt8], question: [UInt8], budget: Int) -> [Range<Int>] {
    var best = BestSentences(budget: budget)
    var statistics = BM25.Statistics(question: Words.all(in: question))
    let sentences = Sentences.cut(text)
    for sentence in sentences { statistics.add(text[sentence]) }
    // A row is ranked in parts, too, so that its sentences are not too many.
    for part in Self.parts(of: sentences.map(\.count), most: configuration.part) {
      let bytes = part.map { Array(text[sentences[$0]]) }
      for (place, score) in zip(part, scores(of: bytes, question: question, statistics)) {
        best.add(sentences[place].count, score, at: place)
      }
    }
    return best.places.map { sentences[$0] }
  }

  /// The scores of the sentences of a part.
  func scores(of sentences: [[UInt8]], question: [UInt8], _ statistics: BM25.Statistics) -> [Double] {
    switch configuration.method {
    case .bm25:
      let bm25 = BM25(k1: configuration.k1, b: configuration.b)
      return sentences.map { bm25.score(of: $0, in: statistics) }
    case .tfidf:
      let weights = TermWeights(sentences)
      return question.isEmpty ? weights.similaritiesToAll() : weights.similarities(to: question)
    case .textrank: return TextRank(damping: configuration.damping).scores(of: sentences)
    }
  }

  /// Sentences of some lengths in parts.
  private static func parts(of lengths: [Int], most: Int) -> [Range<Int>] {
    var parts: [Range<Int>] = [], start = 0, bytes = 0
    for (place, length) in lengths.enumerated() {
      if place > start, bytes + length > most || place - start == TextRank.mostSentences {
        parts.append(start..<place)
        (start, bytes) = (place, 0)
      }
      bytes += length
    }
    return start < lengths.count ? parts + [start..<lengths.count] : parts
  }
}
