import Basics
import Foundation
import Settings
import Tensors
import Testing

@testable import Tasks

@Suite struct MultiQueryRecallTests {
  func make(
    _ length: Int, _ vocabulary: Int, _ pairs: Int, power: Double = 0.01, noise: Bool = false,
    seed: UInt64 = 7
  )
    throws -> MultiQueryRecall
  {
    var c = MultiQueryRecall.Configuration()
    (c.length, c.vocabulary, c.pairs, c.power, c.noise) = (length, vocabulary, pairs, power, noise)
    return try MultiQueryRecall(c, key: RandomKey(seed: seed))
  }

  /// The rules of zoology's `multiquery_ar`, checked token by token; 4N = L and the smallest vocabulary included.
  @Test(arguments: [(4, 4, 1), (32, 18, 8), (64, 100, 4), (100, 64, 25), (130, 8192, 16)])
  func rulesHold(length: Int, vocabulary: Int, pairs: Int) throws {
    let task = try make(length, vocabulary, pairs)
    for seed in 0..<50 {
      var generator = RandomKey(seed: UInt64(seed)).generator()
      let example = task.example(&generator)
      var value: [Int32: Int32] = [:]
      for pair in 0..<pairs {
        let (k, v) = (example.inputs[2 * pair], example.inputs[2 * pair + 1])
        #expect(k >= 1 && k < vocabulary / 2 && v >= vocabulary / 2 && v < vocabulary)
        #expect(value.updateValue(v, forKey: k) == nil, "keys are distinct")
      }
      #expect(Set(value.values).count == pairs, "values are distinct")
      var asked: Set<Int32> = []
      for position in 0..<length {
        let (token, target) = (example.inputs[position], example.targets[position])
        if position >= 2 * pairs, token != 0 {
          #expect((position - 2 * pairs) % 2 == 0, "queries lie at the first position of a slot")
          #expect(target == value[token])
          asked.insert(token)
        } else {
          #expect(target == TaskBatch.ignored)
        }
      }
      #expect(asked.count == pairs, "every key is asked once")
    }
  }

  /// The slot of the first key has the law p(s) ∝ (s + 1)^(a − 1): chi-square over all slots.
  @Test(arguments: [0.01, 0.5, 1.0])
  func slotOfTheFirstKeyHasItsLaw(power: Double) throws {
    let pairs = 4, length = 48, slots = (length - 2 * pairs) / 2, draws = 4000
    let task = try make(length, 64, pairs, power: power)
    var counts = [Int](repeating: 0, count: slots)
    var generator = RandomKey(seed: 11).generator()
    for _ in 0..<draws {
      let example = task.example(&generator)
      let key = example.inputs[0]
      let position = example.inputs.lastIndex(of: key) ?? 0
      counts[(position - 2 * pairs) / 2] += 1
    }
    let weights = (1...slots).map { power == 1 ? 1 : pow(Double($0), power - 1) }
    let total = weights.reduce(0, +)
    let statistic = zip(counts, weights).reduce(0.0) { sum, pair in
      let expected = Double(draws) * pair.1 / total
      return sum + (Double(pair.0) - expected) * (Double(pair.0) - expected) / expected
    }
    // 19 degrees of freedom: the 0.999 quantile is 43.8. Uniform counts under a = 0.01 would give thousands.
    #expect(statistic < 43.8, "chi-square \(statistic) at power \(power)")
  }

  /// Which slots are taken, in pairs: successive sampling against its exact law on a space small enough to enumerate.
  @Test func slotsAreDrawnSuccessively() {
    let weights = [1.0, 0.5, 0.25], draws = 12_000
    var counts: [[Int]: Int] = [:]
    var generator = RandomKey(seed: 5).generator()
    for _ in 0..<draws { counts[successiveSample(2, weights: weights, &generator), default: 0] += 1 }
    var statistic = 0.0
    for first in 0..<3 {
      for second in 0..<3 where second != first {
        let p = weights[first] / 1.75 * weights[second] / (1.75 - weights[first])
        let gap = Double(counts[[first, second]] ?? 0) - Double(draws) * p
        statistic += gap * gap / (Double(draws) * p)
      }
    }
    // 5 degrees of freedom: the 0.999 quantile is 20.5.
    #expect(statistic < 20.5, "chi-square \(statistic)")
  }

  @Test func noiseFillsOnlyUnusedPositions() throws {
    let quiet = try make(64, 1000, 4), noisy = try make(64, 1000, 4, noise: true)
    var generator = RandomKey(seed: 1).generator()
    let example = noisy.example(&generator)
    #expect(example.inputs.filter { $0 == 0 }.count < 3)
    #expect(example.targets.filter { $0 != TaskBatch.ignored }.count == 4)
    for (position, target) in example.targets.enumerated() where target != TaskBatch.ignored {
      let key = example.inputs[position]
      let place = example.inputs[..<8].firstIndex(of: key) ?? 0
      #expect(example.inputs[place + 1] == target)
    }
    #expect(quiet.example(&generator).inputs.filter { $0 == 0 }.count == 64 - 12)
  }

  @Test(arguments: [
    (["length": 33], "even"), (["length": 32, "pairs": 9], "at most length/4 = 8"),
    (["vocabulary": 16, "pairs": 8], "at least 18 tokens"), (["pairs": 0], "at least 1"),
  ])
  func badSettingsAreOneClearLine(settings: [String: Int], part: String) throws {
    #expect {
      try TaskCatalog.sequences.make(
        "mqar", settings: settings.mapValues { .int($0) }, key: RandomKey(seed: 0))
    } throws: {
      "\($0)".contains(part) || ("\($0)".contains("whole number from 1") && part == "at least 1")
    }
  }
}
