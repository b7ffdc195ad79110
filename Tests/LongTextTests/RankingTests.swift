import Basics
import Testing

@testable import LongText

/// Scores against scikit-learn, networkx and the formula in Python: `Experiments/peers/compare_text.py` compares more.
@Suite struct RankingTests {
  static let sentences = [
    "The cat sat on the mat.", "A dog sat on the log, the cat ran.", "Rain fell on the quiet town all night.",
    "The dog and the cat are friends.", "Nothing else happened.",
  ].map(bytes)
  static let question = bytes("Where did the cat sit, and the dog?")

  private func agree(_ found: [Double], _ expected: [Double]) {
    #expect(found.count == expected.count)
    for (a, b) in zip(found, expected) { #expect(abs(a - b) <= 1e-10 * max(1, abs(b)), "\(a), not \(b)") }
  }

  @Test("BM25 with Lucene's logarithm")
  func bm25() {
    agree(
      BM25().scores(of: Self.sentences, against: Self.question),
      [1.4086765843656235, 1.951486946996844, 0.5252286799949525, 3.5326459004902997, 0])
    // Nothing asked, nothing there, no words: no score, and no division by 0.
    agree(BM25().scores(of: Self.sentences, against: []), [0, 0, 0, 0, 0])
    agree(BM25().scores(of: [[], bytes(". ")], against: Self.question), [0, 0])
    #expect(BM25().scores(of: [], against: Self.question).isEmpty)
  }

  @Test("TF-IDF as scikit-learn's TfidfVectorizer weighs")
  func tfidf() {
    let weights = TermWeights(Self.sentences)
    agree(
      weights.similarities(to: Self.question),
      [0.4790793261538678, 0.5074784785421643, 0.13296004821507768, 0.7921446792092646, 0])
    agree(
      weights.similaritiesToAll(),
      [
        0.7338177590758613, 0.724675159894252, 0.5036414352706488, 0.6411139854711871, 0.33978543153950136,
      ])
    agree(TermWeights([[], bytes("?")]).similaritiesToAll(), [0, 0])
    #expect(TermWeights([]).similarities(to: Self.question).isEmpty)
  }

  @Test("TextRank as networkx' pagerank on the graph of shared words")
  func textRank() {
    agree(
      TextRank().scores(of: Self.sentences),
      [1.391668516663687, 1.4775285316883766, 0.8937729445103753, 1.056307115571296, 0.1807228915662651])
    // A sentence alone has the mean; one word each shares nothing that counts.
    agree(TextRank().scores(of: [bytes("One.")]), [1])
    agree(TextRank().scores(of: [bytes("one"), bytes("one"), []]), [1, 1, 1])
    #expect(TextRank().scores(of: []).isEmpty)
  }

  @Test("of equal scores the earlier sentence is kept, and the ranking ends where the budget does")
  func ranking() {
    var best = BestSentences(budget: 10)
    for (place, score) in [1.0, 3, 3, 0, 2, 3].enumerated() { best.add(4, score, at: place) }
    #expect(best.places == [1, 2] && best.size == 8)
    // The first that does not fit ends it: a worse one that would fit is out.
    best = BestSentences(budget: 10)
    best.add(9, 3, at: 0)
    best.add(5, 2, at: 1)
    #expect(best.add(1, 1, at: 2) == [2])
    #expect(best.places == [0])
    var none = BestSentences(budget: 0)
    #expect(none.add(1, 1, at: 0) == [0] && none.places.isEmpty)
  }

  @Test("the best of a stream are those of a sorted list", arguments: 0..<20)
  func bestOfMany(seed: Int) {
    var random = RandomKey(seed: UInt64(seed)).generator()
    let all = (0..<200).map { _ in
      (size: 1 + random.integer(below: 9), score: Double(random.integer(below: 12)))
    }
    let budget = random.integer(below: 120)
    var best = BestSentences(budget: budget)
    for (place, one) in all.enumerated() { best.add(one.size, one.score, at: place) }
    var expected: [Int] = [], total = 0
    for place in all.indices.sorted(by: { (all[$1].score, $0) < (all[$0].score, $1) })
    where all[place].score > 0 {
      total += all[place].size
      guard total <= budget else { break }
      expected.append(place)
    }
    #expect(best.places == expected.sorted(), "seed \(seed)")
  }
}
