import Foundation

/// Passages in memory with an index of who has which word: BM25 of every question in the time of its words' holders.
///
/// The scores are those of `BM25`, bit for bit: the same terms are summed in the order of the question.
struct PassageIndex: Sendable {
  private let passages: [Passages.Passage]
  private let lengths: [Int]
  private let words: Int
  private var holders: [UInt64: [(passage: Int, count: Int)]] = [:]

  init(_ passages: [Passages.Passage]) {
    self.passages = passages
    var lengths: [Int] = [], holders: [UInt64: [(passage: Int, count: Int)]] = [:]
    for (place, passage) in passages.enumerated() {
      let words = Words.all(in: passage.bytes)
      lengths.append(words.count)
      for (word, count) in Dictionary(words.map { ($0, 1) }, uniquingKeysWith: +) {
        holders[word, default: []].append((place, count))
      }
    }
    (self.lengths, self.holders) = (lengths, holders)
    words = lengths.reduce(0, +)
  }

  /// The best passages, in the order of the text.
  func best(for question: [UInt8], _ configuration: Retrieve.Configuration) -> [Passages.Passage] {
    guard words > 0 else { return [] }
    var scores: [Int: Double] = [:]
    let mean = Double(words) / Double(passages.count), n = Double(passages.count)
    let (k1, b) = (configuration.k1, configuration.b)
    for word in Words.all(in: question) {
      let own = holders[word] ?? []
      let rarity = log1p((n - Double(own.count) + 0.5) / (Double(own.count) + 0.5))
      for (passage, count) in own {
        let normal: Double = k1 * (1 - b + b * Double(lengths[passage]) / mean)
        scores[passage, default: 0] += rarity * Double(count) * (k1 + 1) / (Double(count) + normal)
      }
    }
    let ranking = scores.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
    return ranking.prefix(configuration.count).map(\.key).sorted().map { passages[$0] }
  }
}
