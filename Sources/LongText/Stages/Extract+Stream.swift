extension Extract {
  /// The most bytes of text that `condense` holds at a time: what reading holds, a part twice, the best sentences, and two more.
  public var mostHeld: Int {
    let kept = configuration.share > 0 ? 0 : BestSentences.reach * configuration.tokens + Sentences.longest
    return TextStream.mostHeld + 2 * (configuration.part + Sentences.longest) + kept + Sentences.longest
  }

  /// A sentence that is kept, and its score.
  public struct Kept: Sendable {
    /// The sentence.
    public var sentence: TextStream.Sentence
    /// Its score.
    public var score: Double
  }

  /// Keeps the key sentences of a file or folder, in order; the folder is read once, for BM25 twice.
  /// - Parameters:
  ///   - text: what is read.
  ///   - question: what BM25 and TF-IDF compare with; BM25 has one.
  ///   - emit: is called with what is kept, in order.
  /// - Throws: `TextError`; what `emit` throws.
  /// - Complexity: O(bytes) of time for BM25 and TF-IDF, O(bytes·part) for TextRank; `mostHeld` bytes of text.
  public func condense(
    _ text: TextStream, question: [UInt8], _ emit: (Kept) throws -> Void
  ) throws -> StageCount {
    let start = ContinuousClock().now
    var count = StageCount()
    var statistics = BM25.Statistics(question: Words.all(in: question))
    if configuration.method == .bm25 { try text.forEachSentence { statistics.add($0.bytes) } }
    var part = Part(), best = BestSentences(budget: configuration.tokens), kept: [Int: Kept] = [:]
    var held = 0, left = 0.0
    func keep(_ sentence: Kept) throws {
      count.kept += sentence.sentence.bytes.count
      count.keptUnits += 1
      try emit(sentence)
    }
    func finish() throws {
      let scores = scores(of: part.sentences.map(\.bytes), question: question, statistics)
      let ranked = zip(part.sentences, scores).map { Kept(sentence: $0, score: $1) }
      if configuration.share > 0 {
        left += configuration.share * Double(part.bytes)
        var own = BestSentences(budget: Int(left))
        for (place, one) in ranked.enumerated() { own.add(one.sentence.bytes.count, one.score, at: place) }
        left -= Double(own.size)
        for place in own.places { try keep(ranked[place]) }
      } else {
        for (place, one) in ranked.enumerated() {
          kept[part.first + place] = one
          held += one.sentence.bytes.count
          for out in best.add(one.sentence.bytes.count, one.score, at: part.first + place) {
            held -= kept.removeValue(forKey: out)?.sentence.bytes.count ?? 0
          }
        }
      }
      count.mostHeld = max(count.mostHeld, 2 * part.bytes + held)
      part = Part(first: part.first + part.sentences.count)
    }
    let read = try text.forEachSentence { sentence in
      let isFull = part.bytes + sentence.bytes.count > configuration.part
      if !part.sentences.isEmpty, isFull || part.sentences.count == TextRank.mostSentences { try finish() }
      part.sentences.append(sentence)
      part.bytes += sentence.bytes.count
      count.units += 1
    }
    try finish()
    for place in best.places { if let one = kept[place] { try keep(one) } }
    let own = count.mostHeld
    count.mostHeld = 0
    count.note(read, holding: own)
    count.seconds = start.seconds
    return count
  }

  /// Sentences that are ranked together.
  private struct Part {
    /// The number of the first.
    var first = 0
    var sentences: [TextStream.Sentence] = []
    var bytes = 0
  }
}
