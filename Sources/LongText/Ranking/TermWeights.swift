import Foundation

/// TF-IDF: sentences as vectors of words that tell them apart.
///
/// x_t = f_t·(ln((1 + N)/(1 + n_t)) + 1), divided by its Euclidean norm, with f_t how often word t is in a sentence, N the sentences
/// and n_t those with t: the weights of scikit-learn's `TfidfVectorizer` at its defaults. The similarity of two is their inner product.
/// Words are summed in the order in which the text first has them.
///
/// Source: Salton and Buckley 1988, Term-weighting approaches in automatic text retrieval.
public struct TermWeights: Sendable {
  private var places: [UInt64: Int] = [:]
  private var rarity: [Double] = []
  /// A vector for every sentence: places of words, rising, with their weights.
  private(set) var vectors: [[(place: Int, weight: Double)]] = []

  /// Weighs the words of sentences.
  /// - Complexity: O(words).
  public init(_ sentences: [[UInt8]]) {
    var counts: [[Int: Int]] = []
    var frequencies: [Int] = []
    for sentence in sentences {
      var own: [Int: Int] = [:]
      Words.forEach(in: sentence) { word in
        let place = places[word] ?? places.count
        if place == places.count { places[word] = place }
        own[place, default: 0] += 1
      }
      frequencies += [Int](repeating: 0, count: places.count - frequencies.count)
      for place in own.keys { frequencies[place] += 1 }
      counts.append(own)
    }
    let total = Double(sentences.count)
    rarity = frequencies.map { log((1 + total) / (1 + Double($0))) + 1 }
    vectors = counts.map { vector($0) }
  }

  /// The weights of some words over their norm.
  /// - Parameter unknown: the sum of squares of words that have no place.
  private func vector(_ counts: [Int: Int], unknown: Double = 0) -> [(place: Int, weight: Double)] {
    let weighed = counts.sorted { $0.key < $1.key }.map {
      (place: $0.key, weight: Double($0.value) * rarity[$0.key])
    }
    let norm = (weighed.reduce(0) { $0 + $1.weight * $1.weight } + unknown).squareRoot()
    return norm > 0 ? weighed.map { ($0.place, $0.weight / norm) } : []
  }

  /// The similarity of every sentence to a question.
  ///
  /// Words that no sentence has lengthen the question's vector, with n_t = 0. So similarities in two parts of a text compare: a part that
  /// has one common word of the question is not like all of it. scikit-learn drops such words, which multiplies all similarities of
  /// a part by one number.
  public func similarities(to question: [UInt8]) -> [Double] {
    var counts: [Int: Int] = [:], unknown: [UInt64: Int] = [:]
    Words.forEach(in: question) { word in
      if let place = places[word] { counts[place, default: 0] += 1 } else { unknown[word, default: 0] += 1 }
    }
    let rarest = log(1 + Double(vectors.count)) + 1
    let squares = unknown.values.reduce(0) { $0 + $1 * $1 }
    return similarities(to: vector(counts, unknown: Double(squares) * rarest * rarest))
  }

  /// The similarity of every sentence to the sum of all: how much of the text it says.
  ///
  /// Source: Radev et al. 2004, Centroid-based summarization of multiple documents.
  public func similaritiesToAll() -> [Double] {
    var sum = [Double](repeating: 0, count: places.count)
    for (place, weight) in vectors.joined() { sum[place] += weight }
    let norm = sum.reduce(0) { $0 + $1 * $1 }.squareRoot()
    guard norm > 0 else { return vectors.map { _ in 0 } }
    return similarities(to: sum.enumerated().map { ($0.offset, $0.element / norm) })
  }

  private func similarities(to vector: [(place: Int, weight: Double)]) -> [Double] {
    var dense = [Double](repeating: 0, count: places.count)
    for (place, weight) in vector { dense[place] = weight }
    return vectors.map { $0.reduce(0) { $0 + $1.weight * dense[$1.place] } }
  }
}
