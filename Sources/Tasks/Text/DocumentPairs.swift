import Basics
import Settings
import Tensors

/// Two documents: do they come from the same folder?
///
/// Documents, classes and splits are those of `labelled-text`; a pair has two different documents of one split. With chance ½ both
/// are of one class, drawn so that every document that has a companion is the first as often; else the second is drawn uniformly
/// from all other classes. The class of a pair is 1 where the folder is the same. Neither document alone tells it. What is read of
/// the first is the source, of the second the tokens. A class with one document in a split has no companion there.
///
/// Source: after the document retrieval of Tay et al. 2021, Long Range Arena (arXiv:2011.04006), which has pairs of cited papers.
public struct DocumentPairs: SequenceTask {
  /// The settings: those of `labelled-text`.
  public typealias Configuration = LabelledText.Configuration

  /// What the task is.
  public static let card = TaskCard(
    id: "document-pairs", title: "Pairs of documents",
    paper: "after Tay et al. 2021, Long Range Arena: a benchmark for efficient Transformers",
    idea: "tell whether two text files come from the same folder; the project's own modules by default")

  private let documents: LabelledText
  private let key: RandomKey
  /// Documents by class, and the first of a pair of one class, by split.
  private let members: [Split: [[Int]]]
  private let firsts: [Split: [Int]]

  /// Reads the documents.
  /// - Parameters:
  ///   - configuration: the settings.
  ///   - key: the root of all draws.
  /// - Throws: `TextError` when they cannot be read, or no class has two documents in some split.
  public init(_ configuration: Configuration, key: RandomKey) throws {
    documents = try LabelledText(configuration, key: key)
    self.key = key
    var members: [Split: [[Int]]] = [:], firsts: [Split: [Int]] = [:]
    for split in Split.allCases {
      var classes = [[Int]](repeating: [], count: documents.classCount)
      for (place, document) in documents.documents(of: split).enumerated() {
        classes[Int(document.label)].append(place)
      }
      members[split] = classes
      firsts[split] = classes.filter { $0.count > 1 }.flatMap(\.self).sorted()
      guard firsts[split]?.isEmpty == false else {
        throw TextError(
          "\(documents.corpus.path): no class has two documents for \(split.rawValue); it takes a class of 16 or more"
        )
      }
    }
    (self.members, self.firsts) = (members, firsts)
  }

  /// The configuration in force.
  public var configuration: Configuration { documents.configuration }
  /// A class for two documents.
  public var kind: TaskKind { .pairClassification }
  /// Bytes.
  public var vocabularySize: Int { 256 }
  /// Bytes of the second that are read.
  public var length: Int { configuration.length }
  /// Bytes of the first that are read.
  public var sourceLength: Int { configuration.length }
  /// They are.
  public var readsBytes: Bool { true }
  /// The same folder, or another.
  public var classCount: Int { 2 }
  /// What was read.
  public var text: TextCorpus? { documents.text }

  /// Rows of pairs, padded.
  public func batch(split: Split, index: Int, batchSize: Int) throws -> TaskBatch {
    precondition(index >= 0 && batchSize >= 1, "batch \(index) of \(batchSize) rows")
    let all = documents.documents(of: split)
    let classes = members[split] ?? [], firsts = firsts[split] ?? []
    let examples = (0..<batchSize).map { row in
      var generator = key("pairs")(split.rawValue)(index * batchSize + row).generator()
      let isSame = generator.integer(below: 2) == 1
      let first =
        isSame ? firsts[generator.integer(below: firsts.count)] : generator.integer(below: all.count)
      let own = classes[Int(all[first].label)]
      let others =
        isSame ? own.filter { $0 != first } : all.indices.filter { all[$0].label != all[first].label }
      let second = others[generator.integer(below: others.count)]
      func read(_ place: Int) -> [Int32] { documents.corpus.bytes[all[place].bytes].map { Int32($0) } }
      return Example(inputs: read(second), source: read(first), label: isSame ? 1 : 0)
    }
    return TaskBatch(examples, of: self)
  }
}
