import Basics
import Settings

/// Documents that say what each of W words means once, near their beginning, and ask for it from then on: who has forgotten the
/// beginning must guess one of V meanings.
///
/// A token tells a word with its meaning, or asks for a word. As long as words are left, a token tells the next of them with chance
/// 1/2, in an order of the document's own; every other token asks for one that was told, uniformly. Meanings are drawn uniformly for
/// each word and document. Scored is the answer to every question: a token of its own, which is never read. A question lies up to a
/// document behind what answers it.
public struct Glossary: GeneratedTask, SegmentedTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Tokens of an example, or of a segment.
    public var length = 32
    /// W.
    public var words = 16
    /// V.
    public var meanings = 8
    /// Segments of a document.
    public var segments = 8

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer(
        "length", \.length, in: 2...(1 << 24), unit: "tokens", help: "tokens of an example, or of a segment"),
      .integer("words", \.words, in: 1...1024, help: "words that a document tells"),
      .integer("meanings", \.meanings, in: 2...512, help: "what a word can mean"),
      .integer(
        "segments", \.segments, in: 1...(1 << 16),
        help: "segments of a document, which begins with new meanings"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "glossary", title: "Glossary of a document",
    paper: "a test of what Wu et al. 2022, Memorizing Transformers, promise",
    idea: "a document tells once what each word means, and asks for it in all its later segments")

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey

  /// Creates the task.
  /// - Parameters:
  ///   - configuration: the settings.
  ///   - key: the root of all draws.
  public init(_ configuration: Configuration, key: RandomKey) {
    self.configuration = configuration
    self.key = key
  }

  /// An answer at every question.
  public var kind: TaskKind { .languageModel }
  /// Pairs of a word and a meaning, then questions, then answers.
  public var vocabularySize: Int {
    configuration.words * configuration.meanings + configuration.words + configuration.meanings
  }
  /// Tokens of an example, or of a segment.
  public var length: Int { configuration.length }

  /// Draws the first segment of a document.
  /// - Parameter generator: where the draws come from.
  /// - Returns: the example.
  public func example(_ generator: inout RandomGenerator) -> Example {
    var document = Document(configuration, &generator)
    return document.segment(&generator)
  }

  /// Segments of texts of which every stream has one to itself.
  /// - Parameters:
  ///   - split: what is read.
  ///   - number: segments that every stream has read before.
  ///   - streams: which of them.
  ///   - count: streams in all.
  ///   - shift: names other texts.
  /// - Returns: the rows; a document begins every `segments` of them.
  /// - Complexity: O(tokens of the document up to the segment) a row.
  public func segments(of split: Split, number: Int, streams: Range<Int>, of count: Int, shift: Int)
    -> SegmentBatch
  {
    let (place, segment) = number.quotientAndRemainder(dividingBy: configuration.segments)
    let rows = streams.map { stream in
      var generator = key("segments")(split.rawValue)(shift)(stream)(place).generator()
      var document = Document(configuration, &generator)
      for _ in 0..<segment { _ = document.segment(&generator) }
      return (document.segment(&generator), segment == 0)
    }
    return SegmentBatch(rows, of: self)
  }

  /// A document as it is written.
  private struct Document {
    let configuration: Configuration
    /// By the order in which they are told.
    let words: [(word: Int, meaning: Int)]
    var told = 0

    init(_ configuration: Configuration, _ generator: inout RandomGenerator) {
      self.configuration = configuration
      let order = (0..<configuration.words).shuffled(using: &generator)
      words = order.map { ($0, generator.integer(below: configuration.meanings)) }
    }

    mutating func segment(_ generator: inout RandomGenerator) -> Example {
      let pairs = configuration.words * configuration.meanings
      var inputs: [Int32] = [], targets: [Int32] = []
      for _ in 0..<configuration.length {
        let tells = told == 0 || (told < words.count && generator.integer(below: 2) == 0)
        if tells {
          let next = words[told]
          inputs.append(Int32(next.word * configuration.meanings + next.meaning))
          targets.append(TaskBatch.ignored)
          told += 1
        } else {
          let asked = words[generator.integer(below: told)]
          inputs.append(Int32(pairs + asked.word))
          targets.append(Int32(pairs + configuration.words + asked.meaning))
        }
      }
      return Example(inputs: inputs, targets: targets)
    }
  }
}
