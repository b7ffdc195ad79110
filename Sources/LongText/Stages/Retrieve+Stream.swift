import Tensors

extension Retrieve {
  /// A passage that answers, and how well.
  public struct Found: Sendable {
    /// The passage.
    public var passage: Passages.Passage
    /// Its place among all passages.
    public var number: Int
    /// Its score.
    public var score: Double
  }

  /// The most bytes of text that a search holds at a time: what reading holds, passages that are compared at a time, and those found.
  public var mostHeld: Int {
    TextStream.mostHeld + (Self.block + configuration.count + 3) * (configuration.passage + Sentences.longest)
  }

  /// Passages whose embeddings are made and compared at a time.
  public static let block = 16

  /// The passages of a file or folder that answer a question best, by BM25: it is read twice, and nothing is kept of it but counts of the
  /// question's words.
  /// - Returns: the best in the order of the text.
  /// - Throws: `TextError`.
  /// - Complexity: O(bytes) of time, `mostHeld` bytes of text.
  public func search(_ text: TextStream, for question: [UInt8]) throws -> (found: [Found], count: StageCount)
  {
    let start = ContinuousClock().now
    var statistics = BM25.Statistics(question: Words.all(in: question))
    try text.forEachPassage(most: configuration.passage) { statistics.add($0.bytes) }
    let bm25 = BM25(k1: configuration.k1, b: configuration.b)
    var best = Best(most: configuration.count), count = StageCount()
    let read = try text.forEachPassage(most: configuration.passage) { passage in
      let score = bm25.score(of: passage.bytes, in: statistics)
      if score > 0 { best.add(Found(passage: passage, number: count.units, score: score)) }
      count.units += 1
    }
    return (best.inOrder, finished(count, read, best, since: start))
  }

  /// The same by embeddings: exact search, the product of all passages with the question in blocks.
  /// - Parameters:
  ///   - text: what is read, once.
  ///   - question: what is asked.
  ///   - context: where the product runs.
  ///   - embed: rows `[texts, width]`, one for every text; they are compared by their cosines.
  /// - Throws: `TextError`; `MemoryLimitExceeded`; what `embed` throws.
  public func search(
    _ text: TextStream, for question: [UInt8], in context: ExecutionContext,
    embeddedBy embed: ([[UInt8]]) throws -> Tensor
  ) throws -> (found: [Found], count: StageCount) {
    let start = ContinuousClock().now
    let asked = try Self.unit(embed([question]))
    var best = Best(most: configuration.count), count = StageCount(), block: [Passages.Passage] = []
    func compare() throws {
      guard !block.isEmpty else { return }
      let rows = try Self.unit(embed(block.map(\.bytes)))
      let scores = try context.matmul(asked, .plain, rows, .transposed).array()
      for (place, score) in scores.enumerated() {
        best.add(Found(passage: block[place], number: count.units + place, score: Double(score)))
      }
      count.units += block.count
      block = []
    }
    let read = try text.forEachPassage(most: configuration.passage) { passage in
      block.append(passage)
      if block.count == Self.block { try compare() }
    }
    try compare()
    return (best.inOrder, finished(count, read, best, since: start))
  }

  private func finished(
    _ count: StageCount, _ read: TextStream.Count, _ best: Best, since start: ContinuousClock.Instant
  ) -> StageCount {
    var count = count
    count.kept = best.ranking.reduce(0) { $0 + $1.passage.bytes.count }
    count.keptUnits = best.ranking.count
    count.note(read, holding: (Self.block + 1) * configuration.passage + count.kept)
    count.seconds = start.seconds
    return count
  }

  /// Rows of length 1; a row of zeros stays.
  private static func unit(_ rows: Tensor) throws -> Tensor {
    let width = rows.shape[1]
    var values = rows.array()
    for row in 0..<rows.shape[0] {
      let place = row * width..<(row + 1) * width
      let norm = Float(values[place].reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot())
      if norm > 0 { for index in place { values[index] /= norm } }
    }
    return try Tensor(values, shape: rows.shape)
  }

  /// The best that were offered; of equals the earlier.
  private struct Best {
    let most: Int
    private(set) var ranking: [Found] = []

    init(most: Int) { self.most = most }

    mutating func add(_ found: Found) {
      if ranking.count == most, let last = ranking.last, found.score <= last.score { return }
      let place = ranking.firstIndex { $0.score < found.score } ?? ranking.count
      ranking.insert(found, at: place)
      if ranking.count > most { ranking.removeLast() }
    }

    var inOrder: [Found] { ranking.sorted { $0.number < $1.number } }
  }
}
