import Basics
import Settings
import Tensors
import Testing

@testable import Tasks

/// The tasks that tell mechanisms apart: each rule read back from the tokens, by another way than they were made.
@Suite struct SeparatingTaskTests {
  static let seeds: Range<UInt64> = 0..<40

  @Test(
    "of a key that is told twice the last value counts",
    arguments: [(32, 18, 4, 4), (64, 20, 8, 3), (40, 64, 8, 4)])
  func updates(length: Int, vocabulary: Int, pairs: Int, updates: Int) throws {
    var c = MultiQueryRecall.Configuration()
    (c.length, c.vocabulary, c.pairs, c.updates) = (length, vocabulary, pairs, updates)
    let task = try MultiQueryRecall(c, key: RandomKey(seed: 1))
    for seed in Self.seeds {
      var generator = RandomKey(seed: seed).generator()
      let example = task.example(&generator)
      var value: [Int32: Int32] = [:], replaced = 0
      let told = 2 * (pairs + updates)
      for place in stride(from: 0, to: told, by: 2) {
        let old = value.updateValue(example.inputs[place + 1], forKey: example.inputs[place])
        #expect(old != example.inputs[place + 1], "a second value is another")
        #expect((old == nil) == (place < 2 * pairs), "updates stand behind all pairs")
        replaced += old == nil ? 0 : 1
      }
      #expect(value.count == pairs && replaced == updates)
      var asked = 0
      for place in 0..<length where example.targets[place] != TaskBatch.ignored {
        #expect(place >= told && example.targets[place] == value[example.inputs[place]])
        asked += 1
      }
      #expect(asked == pairs)
    }
  }

  @Test("updates that do not fit are refused, and none change nothing")
  func updateLimits() throws {
    var c = MultiQueryRecall.Configuration()
    (c.length, c.vocabulary, c.pairs, c.updates) = (32, 18, 4, 5)
    #expect(throws: ConfigurationError.self) { try MultiQueryRecall(c, key: RandomKey(seed: 1)) }
    (c.pairs, c.updates) = (8, 1)
    #expect(throws: ConfigurationError.self) { try MultiQueryRecall(c, key: RandomKey(seed: 1)) }
  }

  /// What a variable holds by running the assignments in order, as an interpreter would.
  private static func values(_ tokens: [Int32], _ c: VariableTracking.Configuration, until end: Int)
    -> [Int32: Int32]
  {
    let firstVariable = Int32(2 + c.fillers), firstValue = firstVariable + Int32(c.variables)
    var held: [Int32: Int32] = [:]
    for place in stride(from: 0, to: end - 1, by: 2) where tokens[place] >= firstVariable {
      let source = tokens[place + 1]
      held[tokens[place]] = source >= firstValue ? source : held[source]
    }
    return held
  }

  @Test(
    "variables hold what running the assignments gives",
    arguments: [(12, 1, 2), (60, 4, 3), (101, 3, 0), (40, 1, 8)])
  func variableTracking(length: Int, chains: Int, hops: Int) throws {
    for ask in VariableTracking.Question.allCases {
      var c = VariableTracking.Configuration()
      (c.length, c.chains, c.hops, c.ask, c.variables) = (length, chains, hops, ask, chains * (hops + 1) + 3)
      let task = try VariableTracking(c, key: RandomKey(seed: 2))
      for seed in Self.seeds {
        var generator = RandomKey(seed: seed).generator()
        let example = task.example(&generator)
        let mark = try #require(example.inputs.firstIndex(of: VariableTracking.mark))
        let held = Self.values(example.inputs, c, until: mark)
        #expect(held.count == chains * (hops + 1), "every variable is set once, and only to what is known")
        #expect(Set(held.values).count == chains)
        let scored = example.targets.indices.filter { example.targets[$0] != TaskBatch.ignored }
        if ask == .value {
          #expect(scored.count == chains && Set(scored.map { example.targets[$0] }).count == chains)
          for place in scored {
            #expect(example.inputs[place - 1] == VariableTracking.mark)
            #expect(example.targets[place] == held[example.inputs[place]])
          }
        } else {
          let value = example.inputs[mark + 1]
          let answer = scored.map { example.targets[$0] }
          #expect(Set(answer) == Set(held.filter { $0.value == value }.keys) && answer.count == hops + 1)
          #expect(Array(example.inputs[(mark + 2)...]) == Array(answer.dropLast()))
        }
      }
    }
  }

  @Test(
    "the answer is the words that occur most often",
    arguments: [(33, 3, 10, 2), (128, 3, 10, 2), (77, 1, 5, 3)])
  func commonWords(length: Int, common: Int, repeats: Int, others: Int) throws {
    var c = CommonWords.Configuration()
    (c.length, c.common, c.repeats, c.others) = (length, common, repeats, others)
    let task = try CommonWords(c, key: RandomKey(seed: 3))
    for seed in Self.seeds {
      var generator = RandomKey(seed: seed).generator()
      let example = task.example(&generator)
      #expect(example.inputs.count == length)
      let mark = try #require(example.inputs.firstIndex(of: CommonWords.mark))
      let counts = Dictionary(example.inputs[..<mark].filter { $0 > 2 }.map { ($0, 1) }, uniquingKeysWith: +)
      let most = counts.filter { $0.value == repeats }.keys.sorted()
      #expect(counts.values.allSatisfy { $0 == repeats || $0 == others } && most.count == common)
      #expect(example.targets.filter { $0 != TaskBatch.ignored } == most)
      #expect(Array(example.inputs[(mark + 1)...]) == Array(most.dropLast()))
    }
  }

  @Test(
    "a stream's answers are the first values of their keys",
    arguments: [(1, 1, 0.0), (1, 1, 0.4), (3, 2, 0.0), (2, 3, 0.3)])
  func streamRecall(keyTokens: Int, valueTokens: Int, noise: Double) throws {
    var c = StreamRecall.Configuration()
    (c.length, c.keyTokens, c.valueTokens, c.noise, c.keys) = (60, keyTokens, valueTokens, noise, 6)
    let task = try StreamRecall(c, key: RandomKey(seed: 4))
    let firstValue = Int32(1 + c.alphabet), firstNoise = firstValue + Int32(c.alphabet)
    for seed in Self.seeds {
      var generator = RandomKey(seed: seed).generator()
      let example = try task.example(&generator)
      // The whole row: what is read, and the last token, which is only answered.
      let last = try #require(example.targets.last)
      #expect(last != TaskBatch.ignored, "the last value is asked for")
      let tokens = example.inputs + [last]
      var place = 0, told: [[Int32]: [Int32]] = [:]
      while place < tokens.count {
        guard tokens[place] > 0, tokens[place] < firstNoise else {
          place += 1
          continue
        }
        let key = Array(tokens[place...].prefix { $0 > 0 && $0 < firstValue })
        let value = Array(tokens[(place + key.count)...].prefix { $0 >= firstValue && $0 < firstNoise })
        #expect((1...keyTokens).contains(key.count) && (1...valueTokens).contains(value.count))
        let asked = (0..<value.count).map { example.targets[place + key.count - 1 + $0] }
        if let known = told[key] {
          #expect(value == known && asked == known)
        } else {
          #expect(asked.allSatisfy { $0 == TaskBatch.ignored })
          #expect(!told.keys.contains { $0.starts(with: key) || key.starts(with: $0) })
          told[key] = value
        }
        place += key.count + value.count
      }
    }
  }
}
