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
      weights.similarities(to: bytes("and the cat the dog")),
      weights.similarities(to: Self.question).map { $0 / 0.6230771299236073 })
    // scikit-learn's vector of the question has no word that no sentence has: where, did and sit, each ln 6 + 1 once.
    agree(
      weights.similarities(to: Self.question).map { $0 / 0.6230771299236073 },
      [0.4790793261538678, 0.5074784785421643, 0.13296004821507768, 0.7921446792092646, 0])
    agree(weights.similarities(to: bytes("Where? Who?")), [0, 0, 0, 0, 0])
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

  @Test("a part with one common word of a question is not like all of it")
  func unlikeParts() throws {
    let question = bytes("how is a sparse matrix multiplied")
    let poor = TermWeights([bytes("a"), bytes("b c")]).similarities(to: question)
    let rich = TermWeights([bytes("a sparse matrix is multiplied by rows"), bytes("b c")])
    #expect(poor[0] > 0 && poor[0] < rich.similarities(to: question)[0] / 1.5)
  }

  @Test("of equal scores the earlier sentence is kept, and room that is left goes to the next that fits")
  func ranking() {
    var best = BestSentences(budget: 10)
    for (place, score) in [1.0, 3, 3, 0, 2, 3].enumerated() { best.add(4, score, at: place) }
    #expect(best.places == [1, 2] && best.size == 8)
    // One that is longer than the budget does not keep the others out, nor does one that no longer fits.
    best = BestSentences(budget: 10)
    #expect(best.add(11, 4, at: 0) == [0])
    best.add(9, 3, at: 1)
    best.add(5, 2, at: 2)
    #expect(best.add(1, 1, at: 3) == [])
    #expect(best.places == [1, 3] && best.size == 10)
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
    var expected: [Int] = [], kept = 0, reached = 0
    for place in all.indices.sorted(by: { (all[$1].score, $0) < (all[$0].score, $1) })
    where all[place].score > 0 && all[place].size <= budget {
      guard reached <= BestSentences.reach * budget else { break }
      reached += all[place].size
      guard kept + all[place].size <= budget else { continue }
      kept += all[place].size
      expected.append(place)
    }
    #expect(best.size == kept)
    #expect(best.places == expected.sorted(), "seed \(seed)")
  }
}
