import Foundation

/// Okapi BM25: how well a document answers the words of a question.
///
/// score(D, Q) = Σ_{t ∈ Q} ln(1 + (N − n_t + ½)/(n_t + ½)) · f_t·(k₁ + 1) / (f_t + k₁·(1 − b + b·|D|/m)),
/// with f_t how often word t is in D, |D| the words of D, m their mean over documents, N the documents, n_t those with t. A word that
/// is twice in the question counts twice. The sum goes over the question in its order, so that scores have the same bits everywhere.
/// The logarithm is Lucene's, which is never negative; Robertson's own has no 1 in it.
///
/// Source: Robertson and Zaragoza 2009, The probabilistic relevance framework: BM25 and beyond; Lucene's `BM25Similarity` (which
/// leaves out the constant k₁ + 1).
public struct BM25: Hashable, Sendable {
  /// Where further occurrences of a word stop to count.
  public var k1 = 1.5
  /// How much the length of a document counts.
  public var b = 0.75

  /// The usual parameters.
  public init(k1: Double = 1.5, b: Double = 0.75) { (self.k1, self.b) = (k1, b) }

  /// What a collection says of the words of one question: all that a score needs of it, whatever the size of the collection.
  public struct Statistics: Sendable {
    /// The words of the question, in order.
    let question: [UInt64]
    /// The different ones, with their places.
    private let places: [UInt64: Int]
    private(set) var documents = 0
    private(set) var words = 0
    private var frequencies: [Int]

    /// Statistics of an empty collection.
    public init(question: [UInt64]) {
      self.question = question
      var places: [UInt64: Int] = [:]
      for word in question where places[word] == nil { places[word] = places.count }
      self.places = places
      frequencies = [Int](repeating: 0, count: places.count)
    }

    /// Adds a document.
    /// - Complexity: O(its words).
    public mutating func add(_ document: some Sequence<UInt8>) {
      let (counts, length) = counts(in: document)
      documents += 1
      words += length
      for (place, count) in counts.enumerated() where count > 0 { frequencies[place] += 1 }
    }

    /// How often the words of the question are in a document, and its length in words.
    func counts(in document: some Sequence<UInt8>) -> (counts: [Int], length: Int) {
      var counts = [Int](repeating: 0, count: places.count), length = 0
      Words.forEach(in: document) { word in
        length += 1
        if let place = places[word] { counts[place] += 1 }
      }
      return (counts, length)
    }

    /// Documents with a word of the question.
    func frequency(of word: UInt64) -> (place: Int, documents: Int) {
      guard let place = places[word] else { preconditionFailure("a word of the question is asked for") }
      return (place, frequencies[place])
    }
  }

  /// The score of a document.
  /// - Complexity: O(words of the document and the question).
  public func score(of document: some Sequence<UInt8>, in statistics: Statistics) -> Double {
    guard statistics.documents > 0, statistics.words > 0 else { return 0 }
    let (counts, length) = statistics.counts(in: document)
    let mean = Double(statistics.words) / Double(statistics.documents)
    let normal: Double = k1 * (1 - b + b * Double(length) / mean)
    var sum = 0.0
    for word in statistics.question {
      let (place, holders) = statistics.frequency(of: word)
      let count = Double(counts[place]), n = Double(holders)
      guard count > 0 else { continue }
      let rarity = log1p((Double(statistics.documents) - n + 0.5) / (n + 0.5))
      sum += rarity * count * (k1 + 1) / (count + normal)
    }
    return sum
  }

  /// The scores of documents against a question.
  public func scores(of documents: [[UInt8]], against question: [UInt8]) -> [Double] {
    var statistics = Statistics(question: Words.all(in: question))
    for document in documents { statistics.add(document) }
    return documents.map { score(of: $0, in: statistics) }
  }
}
