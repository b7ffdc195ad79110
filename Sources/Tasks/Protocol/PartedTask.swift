import RealModule

/// A task whose rows are parts of examples, such as windows over a text, one part after another.
public protocol PartedTask: SequenceTask {
  /// How the answers to the parts of an example are joined; `nil`: every row is an example.
  var join: PartJoin? { get }
  /// The rows of a batch, and for every row the number of its example.
  /// - Throws: as `batch`.
  func parts(split: Split, index: Int, batchSize: Int) throws -> (batch: TaskBatch, examples: [Int])
}

/// How the classes that parts of an example are given become one.
public enum PartJoin: String, CaseIterable, Hashable, Sendable {
  /// The greatest mean of the probabilities.
  case mean
  /// The class of most parts; of equally many, that of the greater mean.
  case vote

  /// Probabilities out of logits.
  public static func probabilities(_ logits: some Collection<Float>) -> [Double] {
    let top = Double(logits.max() ?? 0)
    let powers = logits.map { Double.exp(Double($0) - top) }
    let sum = powers.reduce(0, +)
    return powers.map { $0 / sum }
  }
}

/// The probabilities that the parts of an example give its classes, as far as they are known.
public struct PartAnswers: Hashable, Sendable {
  private var sums: [Double] = []
  private var votes: [Int] = []
  /// Parts.
  public private(set) var count = 0

  /// Of no part.
  public init() {}

  /// Adds a part.
  public mutating func add(_ probabilities: [Double]) {
    if sums.isEmpty { (sums, votes) = (probabilities.map { _ in 0 }, probabilities.map { _ in 0 }) }
    for (place, value) in probabilities.enumerated() { sums[place] += value }
    if !votes.isEmpty { votes[Self.greatest(probabilities.indices) { probabilities[$0] }] += 1 }
    count += 1
  }

  /// The mean of the probabilities.
  public var mean: [Double] { sums.map { $0 / Double(count) } }

  /// The class of the example.
  public func label(by join: PartJoin) -> Int {
    let most = votes.max() ?? 0
    let candidates = sums.indices.filter { join == .mean || votes[$0] == most }
    return Self.greatest(candidates) { sums[$0] }
  }

  /// The first of the greatest.
  private static func greatest(_ places: some Sequence<Int>, _ value: (Int) -> Double) -> Int {
    places.reduce(nil) { (best: Int?, place) in
      best.map { value(place) > value($0) ? place : $0 } ?? place
    } ?? 0
  }
}
