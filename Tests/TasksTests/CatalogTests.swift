import Basics
import Settings
import Tensors
import Testing

@testable import Tasks

/// Small settings under which every task of the catalogue runs in a moment.
let smallSettings: [String: [String: ParameterValue]] = [
  "text": ["length": .int(32)],
  "labelled-text": ["length": .int(300)],
  "facts": ["facts": .int(5)],
  "evidence": ["sentences": .int(5), "words": .int(6)],
  "mqar": ["length": .int(32), "vocabulary": .int(64), "pairs": .int(4)],
  "copying": ["tokens": .int(6), "blanks": .int(9)],
  "markov": ["length": .int(24), "vocabulary": .int(8)],
  "passkey": ["length": .int(200)],
  "needles": ["length": .int(200)],
  "reading": ["length": .int(200)],
  "document-pairs": ["length": .int(300)],
  "listops": ["minimum": .int(10), "maximum": .int(60)],
  "selective-copying": ["tokens": .int(6), "blanks": .int(9)],
  "induction": ["length": .int(20)],
  "duplication": ["length": .int(20)],
  "echo": ["length": .int(20), "distance": .int(9)],
  "glossary": ["length": .int(20), "words": .int(12)],
  "reversal": ["maximum": .int(12)],
  "stream-recall": ["length": .int(40), "key_tokens": .int(2), "value_tokens": .int(3)],
  "variable-tracking": ["length": .int(30)],
  "common-words": ["length": .int(60)],
]

/// Tasks of many examples; those of nodes have one graph (`NodeTaskTests`).
let sequenceTasks = TaskCatalog.sequences.types.filter { !($0 is any NodeTask.Type) }.map { $0.card.id }

func smallTask(_ id: String, seed: UInt64 = 1) throws -> any SequenceTask {
  try TaskCatalog.sequences.make(id, settings: smallSettings[id] ?? [:], key: RandomKey(seed: seed))
}

@Suite struct CatalogTests {
  /// Computed by a separate implementation in Python. Another value would move examples between training and test.
  @Test(
    "golden fingerprints of examples, which decide their split",
    arguments: [
      ([1, 2, 3], 0xbd1a_4069_307c_ddc0), ([], 0x6c94_688d_a0d3_f755), ([-1, 7], 0x09ef_ea1f_96e6_d667),
    ] as [([Int32], UInt64)])
  func fingerprints(tokens: [Int32], fingerprint: UInt64) {
    #expect(Example(inputs: tokens, label: 0).fingerprint == fingerprint)
    #expect(
      Example(inputs: [9], targets: [9], source: tokens).fingerprint
        == (tokens.isEmpty ? Example(inputs: [9], label: 0).fingerprint : fingerprint))
  }

  @Test func everyTaskHasSmallSettings() {
    #expect(Set(sequenceTasks) == Set(smallSettings.keys))
  }

  @Test(
    "a text whose every token is scored asks for no answer, and no class is one", arguments: sequenceTasks)
  func answers(id: String) throws {
    let task = try smallTask(id)
    let isText = task.kind == .languageModel && ["text", "markov", "echo"].contains(id)
    #expect(try task.hasAnswers() == !(task.kind.isClassification || isText))
  }

  @Test(arguments: sequenceTasks)
  func batchesAreRandomAccess(id: String) throws {
    let task = try smallTask(id), again = try smallTask(id), other = try smallTask(id, seed: 2)
    for split in Split.allCases {
      let third = try task.batch(split: split, index: 3, batchSize: 4)
      _ = try again.batch(split: split, index: 0, batchSize: 7)
      #expect(try again.batch(split: split, index: 3, batchSize: 4) == third)
      #expect(try task.batch(split: split, index: 2, batchSize: 4) != third)
      // The rows of a split do not depend on how they are batched.
      let halves = try (6..<8).map { try task.batch(split: split, index: $0, batchSize: 2) }
      #expect(halves.flatMap(\.inputs) == third.inputs)
    }
    #expect(
      try task.batch(split: .train, index: 0, batchSize: 4)
        != other.batch(split: .train, index: 0, batchSize: 4))
  }

  @Test(arguments: sequenceTasks)
  func batchesKeepTheirPromises(id: String) throws {
    let task = try smallTask(id)
    for split in Split.allCases {
      let batch = try task.batch(split: split, index: 1, batchSize: 5)
      #expect(batch.batchSize == 5 && batch.length == task.length && batch.sourceLength == task.sourceLength)
      #expect(batch.inputs.count == 5 * task.length)
      #expect(batch.targets.count == (task.kind.isClassification ? 0 : 5 * task.length))
      #expect(batch.labels.count == (task.kind.isClassification ? 5 : 0))
      #expect(batch.source.count == 5 * task.sourceLength)
      #expect(batch.inputs.allSatisfy { $0 >= 0 && $0 < task.vocabularySize })
      #expect(batch.source.allSatisfy { $0 >= 0 && $0 < task.vocabularySize })
      #expect(batch.targets.allSatisfy { $0 == TaskBatch.ignored || ($0 >= 0 && $0 < task.vocabularySize) })
      #expect(batch.labels.allSatisfy { $0 >= 0 && $0 < task.classCount })
      #expect(batch.scoredCount > 0)
      #expect(batch.correct(task.kind.isClassification ? batch.labels : batch.targets) == batch.scoredCount)
    }
  }

  /// Text may repeat itself; its splits are apart by place (see the tests of text).
  @Test(arguments: sequenceTasks.filter { $0 != "text" })
  func splitsAreApart(id: String) throws {
    let task = try smallTask(id)
    var owner: [[Int32]: Split] = [:]
    for split in Split.allCases {
      let batch = try task.batch(split: split, index: 0, batchSize: 100)
      for row in 0..<100 {
        let source = batch.source.isEmpty ? batch.inputs : batch.source, width = source.count / 100
        let example = Array(source[row * width..<(row + 1) * width])
        #expect(owner[example, default: split] == split)
        owner[example] = split
      }
    }
  }

  @Test func unknownNamesAreOneClearLine() {
    #expect {
      try TaskCatalog.sequences.make("mqr", key: RandomKey(seed: 0))
    } throws: {
      "\($0)".contains("did you mean mqar?")
    }
    #expect {
      try TaskCatalog.sequences.make("mqar", settings: ["lenght": .int(3)], key: RandomKey(seed: 0))
    } throws: {
      "\($0)".contains("did you mean length?")
    }
  }
}
