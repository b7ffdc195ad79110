import Basics
import Foundation
import Settings
import Tensors

/// Classification of a user's documents: a folder with a folder of text files for every class.
///
/// A document is a file's bytes, of which the first `length` are read; token 0 is padding, which no text contains. Hidden, binary
/// and empty files are passed over, and so is a document of which the same was read as of one before, whatever its class: nothing
/// is in two splits. Of every eight documents of a class, in the order of a hash of what is read, one is for validation, one for
/// test and six are to learn from: a class needs eight. Training draws
/// documents uniformly; validation and test come in turn, class by class.
/// Without a path the classes are this project's modules, as far as they have eight files.
public struct LabelledText: SequenceTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// A folder of folders; empty for the project's own modules.
    public var path = ""
    /// Bytes of a document that are read.
    public var length = 512

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .text(
        "path", \.path, allowed: "a folder with a folder of text files for every class",
        help: "documents by class; empty: the project's own modules"),
      .integer(
        "length", \.length, in: 1...(1 << 24), unit: "tokens", help: "bytes of a document that are read"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "labelled-text", title: "Classification of documents",
    paper: "Yang et al. 2016, Hierarchical attention networks for document classification",
    idea: "tell the folder that a text file comes from; the project's own modules by default")

  /// The configuration in force.
  public let configuration: Configuration
  /// Names of the classes, in the order of their numbers.
  public let classNames: [String]
  /// All documents behind each other.
  public let corpus: TextCorpus
  private let key: RandomKey
  private let documents: [Split: [(bytes: Range<Int>, label: Int32)]]

  /// Documents of a class that make at least one of every split.
  private static let group = 8

  /// Reads the documents.
  /// - Throws: `TextError` when there are no two classes of eight documents, or something cannot be read.
  public init(_ configuration: Configuration, key: RandomKey) throws {
    self.configuration = configuration
    self.key = key
    guard let folder = configuration.path.isEmpty ? TextCorpus.projectFolder() : configuration.path else {
      throw TextError(
        "labelled-text: the project's own sources are not here; name a folder: --set task.path=FOLDER, of attnlab task --set path=FOLDER"
      )
    }
    var names: [String] = [], bytes: [UInt8] = []
    var seen: Set<UInt64> = []
    var documents: [Split: [(bytes: Range<Int>, label: Int32)]] = [:]
    for name in try LabelledText.classes(in: folder) {
      let texts = try LabelledText.documents(
        in: folder + "/" + name, length: configuration.length, seen: &seen)
      guard texts.count >= LabelledText.group else {
        if configuration.path.isEmpty { continue }
        throw TextError(
          "\(folder)/\(name): \(texts.count) different text files; a class takes at least \(LabelledText.group)"
        )
      }
      for (place, text) in texts.enumerated() {
        let split: Split = place % 8 == 3 ? .validation : place % 8 == 7 ? .test : .train
        let range = bytes.count..<bytes.count + text.count
        documents[split, default: []].append((range, Int32(names.count)))
        bytes += text
      }
      names.append(name)
    }
    guard names.count >= 2 else {
      throw TextError("\(folder): \(names.count) folders of text files; at least 2 are expected, one a class")
    }
    (self.documents, classNames) = (documents, names)
    corpus = TextCorpus(bytes: bytes, named: folder)
  }

  private static func classes(in folder: String) throws(TextError) -> [String] {
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else {
      throw TextError(
        "\(folder): no folder that can be read; name one with a folder of text files for every class")
    }
    return names.filter { name in
      var isFolder: ObjCBool = false
      return !name.hasPrefix(".")
        && FileManager.default.fileExists(atPath: folder + "/" + name, isDirectory: &isFolder)
        && isFolder.boolValue
    }.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
  }

  /// What is read of the documents of a class, in the order of a hash of it; what was read before is passed over.
  private static func documents(
    in folder: String, length: Int, seen: inout Set<UInt64>
  ) throws(TextError) -> [[UInt8]] {
    var texts: [UInt64: [UInt8]] = [:]
    for file in try TextCorpus.files(below: folder) {
      guard let bytes = try? TextCorpus.contents(file, limit: length), !bytes.isEmpty,
        !TextCorpus.isBinary(bytes), !bytes.prefix(length).contains(0)
      else { continue }
      let read = Array(bytes.prefix(length))
      let hash = SplitMix64.mix(Fingerprint.hash(words: read.map { UInt64($0) } + [1 << 32]))
      if seen.insert(hash).inserted { texts[hash] = read }
    }
    return texts.sorted { $0.key < $1.key }.map(\.value)
  }

  /// The folder that a document comes from.
  public var kind: TaskKind { .classification }
  /// Bytes.
  public var vocabularySize: Int { 256 }
  /// Bytes of a document that are read.
  public var length: Int { configuration.length }
  /// They are.
  public var readsBytes: Bool { true }
  /// Folders.
  public var classCount: Int { classNames.count }
  /// What was read.
  public var text: TextCorpus? { corpus }

  /// Where the documents of a split lie in the corpus, and their classes.
  func documents(of split: Split) -> [(bytes: Range<Int>, label: Int32)] { documents[split] ?? [] }

  /// Documents of a split.
  public func documentCount(of split: Split) -> Int { documents[split]?.count ?? 0 }

  /// Rows of documents, padded.
  public func batch(split: Split, index: Int, batchSize: Int) throws -> TaskBatch {
    precondition(index >= 0 && batchSize >= 1, "batch \(index) of \(batchSize) rows")
    let all = documents[split] ?? []
    let examples = (0..<batchSize).map { row in
      let number = index * batchSize + row
      var generator = key(split.rawValue)(number).generator()
      let document = all[split == .train ? generator.integer(below: all.count) : number % all.count]
      return Example(inputs: corpus.bytes[document.bytes].map { Int32($0) }, label: document.label)
    }
    return TaskBatch(examples, of: self)
  }
}
