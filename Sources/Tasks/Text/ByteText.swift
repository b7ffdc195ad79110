import Basics
import Settings
import Tensors

/// Byte-level language modelling of any text: predict each byte from those before it.
///
/// Train, validation and test are stretches of the text that do not overlap: the text is cut into 20 equal stretches
/// (into 40, 60, … when they would exceed 256 KiB), of which the 10th of every twenty is for validation and the 20th
/// for test. The cut depends on the text alone, so models of different length meet the same test text. Training
/// windows start anywhere in a training stretch; validation and test windows lie side by side, in an order that
/// jumps across the text so that few batches already sample all of it.
public struct ByteText: SequenceTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// A file or folder; empty for the project's own sources.
    public var path = ""
    /// Bytes of an example.
    public var length = 256

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .text(
        "path", \.path, allowed: "a text file or folder",
        help: "text to learn; empty: the project's own sources"),
      .integer("length", \.length, in: 1...(1 << 24), unit: "tokens", help: "bytes of an example"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "text", title: "Byte-level language modelling",
    paper: "Al-Rfou et al. 2018, Character-level language modeling with deeper self-attention",
    idea: "predict the next byte of any text file or folder; the project's own sources by default")

  /// The configuration in force.
  public let configuration: Configuration
  /// The text.
  public let corpus: TextCorpus
  let key: RandomKey
  let stretches: [Split: [Range<Int>]]

  /// Reads the text.
  /// - Throws: `TextError` when it cannot be read, `ConfigurationError` when it is too short for the length.
  public init(_ configuration: Configuration, key: RandomKey) throws {
    let corpus =
      configuration.path.isEmpty
      ? try TextCorpus.projectSources() : try TextCorpus(path: configuration.path)
    try self.init(configuration, corpus: corpus, key: key)
  }

  /// Uses a text in memory.
  /// - Throws: `ConfigurationError` when it is too short for the length.
  public init(_ configuration: Configuration, corpus: TextCorpus, key: RandomKey) throws(ConfigurationError) {
    self.configuration = configuration
    self.corpus = corpus
    self.key = key
    stretches = ByteText.stretches(of: corpus.bytes.count)
    let shortest = stretches.values.joined().map(\.count).min() ?? 0
    guard shortest > configuration.length else {
      throw ConfigurationError(
        field: "length", value: "\(configuration.length)",
        allowed: shortest < 2
          ? "a longer text: \(corpus.path) has only \(corpus.bytes.count) bytes"
          : "at most \(shortest - 1) for the \(corpus.bytes.count) bytes of \(corpus.path)")
    }
  }

  /// The next byte at every position.
  public var kind: TaskKind { .languageModel }
  /// Bytes.
  public var vocabularySize: Int { 256 }
  /// Bytes of an example.
  public var length: Int { configuration.length }
  /// They are.
  public var readsBytes: Bool { true }
  /// The text that is learnt.
  public var text: TextCorpus? { corpus }

  /// Where the splits lie in the text; neighbours of the same split are one stretch.
  static func stretches(of byteCount: Int) -> [Split: [Range<Int>]] {
    let groups = max(1, byteCount / (20 * 256 * 1024)), pieces = 20 * groups
    func bound(_ piece: Int) -> Int { piece * byteCount / pieces }
    var result: [Split: [Range<Int>]] = [:]
    for group in 0..<groups {
      let first = 20 * group
      result[.train, default: []] += [bound(first)..<bound(first + 9), bound(first + 10)..<bound(first + 19)]
      result[.validation, default: []].append(bound(first + 9)..<bound(first + 10))
      result[.test, default: []].append(bound(first + 19)..<bound(first + 20))
    }
    return result
  }

  /// Bytes of a split.
  public func byteCount(of split: Split) -> Int { (stretches[split] ?? []).reduce(0) { $0 + $1.count } }

  /// The number of different windows that an evaluation of a split has.
  public func windowCount(of split: Split) -> Int {
    (stretches[split] ?? []).reduce(0) { $0 + ($1.count - 1) / length }
  }

  /// Rows of consecutive bytes; targets are the bytes that follow.
  public func batch(split: Split, index: Int, batchSize: Int) throws -> TaskBatch {
    precondition(index >= 0 && batchSize >= 1, "batch \(index) of \(batchSize) rows")
    let examples = (0..<batchSize).map { row in
      let number = index * batchSize + row
      let start = split == .train ? randomStart(number) : tiledStart(number, split)
      return window(from: start)
    }
    return TaskBatch(examples, of: self)
  }

  /// The bytes from a place on, and those that follow them.
  func window(from start: Int) -> Example {
    Example(window: corpus.bytes[start...(start + length)].map { Int32($0) })
  }

  /// Uniform over all windows that fit into a training stretch.
  private func randomStart(_ number: Int) -> Int {
    let ranges = stretches[.train] ?? []
    var generator = key(Split.train.rawValue)(number).generator()
    var place = generator.integer(below: ranges.reduce(0) { $0 + $1.count - length })
    for range in ranges {
      if place < range.count - length { return range.lowerBound + place }
      place -= range.count - length
    }
    return ranges.first?.lowerBound ?? 0
  }

  /// Window n of those side by side, visited with a stride near the golden section that shares no factor with
  /// their count, so that every window comes once before any comes again.
  private func tiledStart(_ number: Int, _ split: Split) -> Int {
    let count = windowCount(of: split)
    var stride = max(1, Int(Double(count) * 0.618_033_988_749_895))
    while greatestCommonDivisor(stride, count) > 1 { stride += 1 }
    var window = (number % count) * stride % count
    for range in stretches[split] ?? [] {
      let windows = (range.count - 1) / length
      if window < windows { return range.lowerBound + window * length }
      window -= windows
    }
    return stretches[split]?.first?.lowerBound ?? 0
  }
}

private func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : greatestCommonDivisor(b, a % b) }
