import Basics
import Settings
import Tensors

/// Evidence: a document of sentences whose class is a word of one sentence, the only one that holds both a marker and a class word.
///
/// A document has S/2 … S sentences, a sentence W/2 … W words behind its separator, both uniform. One sentence, the evidence,
/// holds the marker and the word of the document's class y, at random places. As many others as `distractors` says hold a word
/// of another class and no marker; of the rest each holds a marker with probability ½. All other words are uniform fillers.
/// Counting words tells nothing: markers and class words of every kind stand in most documents; only their meeting in one sentence
/// does. Tokens: 0 padding, 1 separator (the first of every sentence), 2 marker, 3 … C + 2 classes, then fillers.
///
/// Source: made for this lab, after the evidence sentences of Yang et al., 2016.
public struct Evidence: GeneratedTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// The most sentences of a document.
    public var sentences = 8
    /// The most words of a sentence.
    public var words = 8
    /// Classes.
    public var classes = 8
    /// Sentences with a word of another class.
    public var distractors = 3
    /// Tokens, with padding, separator, marker and class words.
    public var vocabulary = 64

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("sentences", \.sentences, in: 1...(1 << 16), help: "the most sentences; the least is half"),
      .integer(
        "words", \.words, in: 4...(1 << 16), unit: "tokens",
        help: "the most words of a sentence; the least is half"),
      .integer("classes", \.classes, in: 2...(1 << 16), help: "classes, each a word"),
      .integer(
        "distractors", \.distractors, in: 0...(1 << 16), help: "sentences with a word of another class"),
      .integer(
        "vocabulary", \.vocabulary, in: 6...(1 << 20), unit: "tokens",
        help: "padding, separator, marker, class words and at least one filler"),
    ]
  }

  /// The first token of every sentence.
  public static let separator: Int32 = 1
  /// What makes a class word evidence.
  public static let marker: Int32 = 2

  /// What the task is.
  public static let card = TaskCard(
    id: "evidence", title: "Evidence in a document",
    paper: "after Yang et al. 2016, Hierarchical attention networks for document classification",
    idea:
      "the class is the word that shares its sentence with a marker; words of other classes stand elsewhere")

  /// The configuration in force.
  public let configuration: Configuration
  /// The root of all draws.
  public let key: RandomKey

  /// Creates the task.
  /// - Throws: `ConfigurationError` when the vocabulary has no filler.
  public init(_ configuration: Configuration, key: RandomKey) throws(ConfigurationError) {
    guard configuration.vocabulary >= configuration.classes + 4 else {
      throw ConfigurationError(
        field: "vocabulary", value: "\(configuration.vocabulary)",
        allowed: "at least classes + 4 = \(configuration.classes + 4) tokens")
    }
    self.configuration = configuration
    self.key = key
  }

  /// A class word.
  public var kind: TaskKind { .classification }
  /// Padding, separator, marker, class words, fillers.
  public var vocabularySize: Int { configuration.vocabulary }
  /// The longest document.
  public var length: Int { configuration.sentences * (configuration.words + 1) }
  /// Class words.
  public var classCount: Int { configuration.classes }

  /// Draws one document.
  public func example(_ generator: inout RandomGenerator) -> Example {
    let c = configuration, filler = c.classes + 3
    func upTo(_ most: Int) -> Int { (most + 1) / 2 + generator.integer(below: most - (most + 1) / 2 + 1) }
    var document = (0..<upTo(c.sentences)).map { _ in
      (0..<upTo(c.words)).map { _ in Int32(filler + generator.integer(below: c.vocabulary - filler)) }
    }
    let label = generator.integer(below: c.classes)
    let order = distinct(document.count, in: 0..<document.count, &generator)
    for (rank, sentence) in order.enumerated() {
      let places = distinct(2, in: 0..<document[sentence].count, &generator)
      if rank == 0 {
        document[sentence][places[0]] = Evidence.marker
        document[sentence][places[1]] = Int32(3 + label)
      } else if rank <= c.distractors {
        let other = (label + 1 + generator.integer(below: c.classes - 1)) % c.classes
        document[sentence][places[0]] = Int32(3 + other)
      } else if generator.uniform() < 0.5 {
        document[sentence][places[0]] = Evidence.marker
      }
    }
    return Example(inputs: document.flatMap { [Evidence.separator] + $0 }, label: Int32(label))
  }
}
