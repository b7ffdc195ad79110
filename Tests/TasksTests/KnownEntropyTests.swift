import Basics
import Foundation
import Settings
import Tensors
import Testing

@testable import Tasks

@Suite struct KnownEntropyTests {
  func make(
    _ vocabulary: Int, _ order: Int, branching: Int = 3, stride: Int = 1, smoothing: Double = 0.1,
    length: Int = 64,
    seed: UInt64 = 8
  ) throws -> KnownEntropySource {
    var c = KnownEntropySource.Configuration()
    (c.vocabulary, c.order, c.branching, c.stride) = (vocabulary, order, branching, stride)
    (c.smoothing, c.length) = (smoothing, length)
    return try KnownEntropySource(c, key: RandomKey(seed: seed))
  }

  @Test(arguments: [(2, 1), (3, 2), (5, 1), (3, 4)])
  func rowsAreProbabilitiesAndTheLawIsStationary(vocabulary: Int, order: Int) throws {
    let chain = try make(vocabulary, order, branching: 2).chain
    var next = [Double](repeating: 0, count: chain.contextCount)
    for context in 0..<chain.contextCount {
      var total = 0.0
      for symbol in 0..<vocabulary {
        let p = chain.probability(of: symbol, after: context)
        #expect(p > 0)
        total += p
        next[chain.context(context, appending: symbol)] += chain.stationary[context] * p
      }
      #expect(abs(total - 1) < 1e-14)
    }
    for (a, b) in zip(next, chain.stationary) { #expect(abs(a - b) < 1e-13) }
    #expect(abs(chain.stationary.reduce(0, +) - 1) < 1e-13)
  }

  /// The entropy rate by another road: block entropies of the chain, H(n + 1) − H(n), summed over all blocks.
  @Test(arguments: [(2, 1), (3, 2), (4, 1), (2, 3)])
  func theEntropyRateIsTheGrowthOfBlockEntropy(vocabulary: Int, order: Int) throws {
    let chain = try make(vocabulary, order, branching: 2).chain
    func blockEntropy(_ extra: Int) -> Double {
      func visit(_ context: Int, _ p: Double, _ left: Int) -> Double {
        guard left > 0 else { return -p * log(p) }
        return (0..<vocabulary).reduce(0) { sum, symbol in
          sum
            + visit(
              chain.context(context, appending: symbol), p * chain.probability(of: symbol, after: context),
              left - 1)
        }
      }
      return (0..<chain.contextCount).reduce(0) { $0 + visit($1, chain.stationary[$1], extra) }
    }
    #expect(abs(blockEntropy(4) - blockEntropy(3) - chain.entropyRate) < 1e-11)
  }

  @Test func knownCasesHaveKnownEntropy() throws {
    var c = KnownEntropySource.Configuration()
    (c.vocabulary, c.order, c.branching, c.smoothing, c.zipf) = (32, 1, 5, 1, 0)
    let uniform = try KnownEntropySource(c, key: RandomKey(seed: 1))
    #expect(abs((uniform.entropyRate ?? 0) - log(32)) < 1e-12)
  }

  /// The mean loss of the true law on samples is the stated rate, within four standard errors over rows.
  @Test(arguments: [(64, 2, 1), (8, 1, 1), (8, 2, 5), (16, 1, 30)])
  func samplesHaveTheStatedRate(vocabulary: Int, order: Int, stride: Int) throws {
    let task = try make(vocabulary, order, stride: stride, length: 128)
    for split in Split.allCases {
      let losses = try (0..<80).map {
        try #require(task.optimalLoss(on: try task.batch(split: split, index: $0, batchSize: 1)))
      }
      let mean = losses.reduce(0, +) / 80
      let variance = losses.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 79
      #expect(
        abs(mean - task.chain.entropyRate) < 4 * (variance / 80).squareRoot(),
        "\(mean) \(task.chain.entropyRate)")
      #expect(variance > 0)
    }
  }

  /// Counting alone, without the chain's tables: the plug-in conditional entropy of a long sample.
  @Test func countingFindsTheRate() throws {
    let task = try make(4, 1, branching: 2, length: 1000)
    var counts = [[Int]](repeating: [Int](repeating: 0, count: 4), count: 4)
    let batch = try task.batch(split: .test, index: 0, batchSize: 40)
    for (token, next) in zip(batch.inputs, batch.targets) where next != TaskBatch.ignored {
      counts[Int(token)][Int(next)] += 1
    }
    let total = Double(counts.joined().reduce(0, +))
    let found = counts.reduce(0.0) { sum, row in
      let n = Double(row.reduce(0, +))
      return sum + row.reduce(0) { $1 == 0 ? $0 : $0 - Double($1) / total * log(Double($1) / n) }
    }
    #expect(abs(found - task.chain.entropyRate) < 0.01, "\(found) \(task.chain.entropyRate)")
  }

  /// Tokens of other lanes carry nothing: with stride 3 the neighbour's counts are those of independence.
  @Test func lanesAreIndependent() throws {
    let task = try make(3, 1, branching: 1, stride: 3, length: 999)
    let batch = try task.batch(split: .train, index: 0, batchSize: 10)
    var joint = [[Double]](repeating: [0, 0, 0], count: 3), far = joint
    for row in 0..<10 {
      for t in 3..<999 {
        let base = row * 999 + t
        joint[Int(batch.inputs[base - 1])][Int(batch.inputs[base])] += 1
        far[Int(batch.inputs[base - 3])][Int(batch.inputs[base])] += 1
      }
    }
    func information(_ table: [[Double]]) -> Double {
      let total = table.joined().reduce(0, +)
      var sum = 0.0
      for a in 0..<3 {
        for b in 0..<3 where table[a][b] > 0 {
          let column = (0..<3).reduce(0) { $0 + table[$1][b] }
          sum += table[a][b] / total * log(table[a][b] * total / (table[a].reduce(0, +) * column))
        }
      }
      return sum
    }
    #expect(information(joint) < 0.02)
    #expect(information(far) > 0.3)
  }

  @Test(arguments: [
    (["vocabulary": 4096, "order": 3], "at most 4194304"),
    (["vocabulary": 4, "branching": 5], "at most vocabulary = 4"),
    (["length": 7, "order": 2, "stride": 4], "at least order * stride = 8"),
    (["vocabulary": 4096, "order": 12], "at most 4194304"),
  ])
  func badSettingsAreOneClearLine(settings: [String: Int], part: String) {
    #expect {
      try TaskCatalog.sequences.make(
        "markov", settings: settings.mapValues { .int($0) }, key: RandomKey(seed: 0))
    } throws: {
      "\($0)".contains(part)
    }
  }
}
