import Basics
import Settings
import Tensors
import Testing

@testable import Tasks

@Suite struct PasskeyTests {
  func make(_ length: Int, depth: Double) throws -> Passkey {
    var c = Passkey.Configuration()
    (c.length, c.depth) = (length, depth)
    return try Passkey(c, key: RandomKey(seed: 6))
  }

  @Test(arguments: [80, 81, 128, 500, 2048], [-1.0, 0, 0.25, 1])
  func theKeyIsStatedOnceAndAskedForAtTheEnd(length: Int, depth: Double) throws {
    let task = try make(length, depth: depth)
    var generator = RandomKey(seed: 1).generator()
    for _ in 0..<10 {
      let example = task.example(&generator)
      #expect(example.inputs.count == length)
      let answer = example.targets.suffix(5).map { UInt8($0) }
      #expect(example.targets.dropLast(5).allSatisfy { $0 == TaskBatch.ignored })
      let secret = String(decoding: answer, as: UTF8.self)
      #expect(secret.count == 5 && secret.first != "0" && Int(secret) != nil)
      // The last digit is a target but no input; the other four are fed back.
      let text = String(decoding: example.inputs.map { UInt8($0) }, as: UTF8.self)
      let statement = " The pass key is \(secret). Remember it. "
      let pieces = text.split(separator: statement, omittingEmptySubsequences: false)
      #expect(pieces.count == 2, "stated once")
      let question = " What is the pass key? The pass key is \(secret.prefix(4))"
      #expect(text.hasSuffix(question))
      let room = length + 1 - statement.count - question.count - 1
      if depth >= 0 { #expect(abs(Double(pieces[0].count) - depth * Double(room)) <= 0.5) }
    }
  }

  @Test func theLeastLengthHolds() throws {
    // The last digit is a target only.
    let least =
      " The pass key is 12345. Remember it. ".count + " What is the pass key? The pass key is 1234".count
    #expect(try make(least, depth: 0.5).batch(split: .train, index: 0, batchSize: 1).length == least)
    #expect {
      try make(least - 1, depth: 0)
    } throws: {
      "\($0)".contains("at least \(least) bytes")
    }
    #expect {
      try make(500, depth: -0.5)
    } throws: {
      "\($0)".contains("from 0 to 1, or -1")
    }
  }

  @Test func aSecretOfOneSplitIsInNoOther() throws {
    let task = try make(128, depth: -1)
    var owner: [ArraySlice<Int32>: Split] = [:]
    for split in Split.allCases {
      let batch = try task.batch(split: split, index: 0, batchSize: 300)
      for row in 0..<300 {
        let secret = batch.targets[(row + 1) * 128 - 5..<(row + 1) * 128]
        let digits = ArraySlice(Array(secret))
        #expect(owner[digits, default: split] == split)
        owner[digits] = split
      }
    }
  }
}

@Suite struct SelectiveCopyingTests {
  @Test(arguments: [(1, 0, 4), (16, 48, 16), (5, 300, 30)])
  func theTokensComeBackInOrder(tokens: Int, blanks: Int, vocabulary: Int) {
    var c = SelectiveCopying.Configuration()
    (c.tokens, c.blanks, c.vocabulary) = (tokens, blanks, vocabulary)
    let task = SelectiveCopying(c, key: RandomKey(seed: 1))
    var generator = RandomKey(seed: 3).generator()
    var places: Set<[Int]> = []
    for _ in 0..<50 {
      let example = task.example(&generator)
      let span = tokens + blanks
      #expect(example.inputs.count == task.length)
      let found = example.inputs[..<span].filter { $0 != 0 }
      #expect(found.count == tokens)
      #expect(found.allSatisfy { $0 >= 1 && $0 < vocabulary - 1 })
      #expect(Array(example.targets[span...]) == Array(found))
      #expect(example.targets[..<span].allSatisfy { $0 == TaskBatch.ignored })
      #expect(example.inputs[span...].allSatisfy { $0 == Int32(vocabulary - 1) })
      places.insert(example.inputs.indices.filter { $0 < span && example.inputs[$0] != 0 })
    }
    #expect(places.count > (blanks == 0 ? 0 : 25), "the places change")
  }
}

@Suite struct InductionHeadsTests {
  @Test(arguments: [(4, 3), (20, 5), (256, 16)])
  func theTargetFollowedTheTrigger(length: Int, vocabulary: Int) {
    var c = InductionHeads.Configuration()
    (c.length, c.vocabulary) = (length, vocabulary)
    let task = InductionHeads(c, key: RandomKey(seed: 1))
    var generator = RandomKey(seed: 3).generator()
    for _ in 0..<50 {
      let example = task.example(&generator)
      let trigger = Int32(vocabulary - 1)
      let places = example.inputs.indices.filter { example.inputs[$0] == trigger }
      #expect(places.count == 2 && places[1] == length - 1 && places[0] < length - 3)
      #expect(example.targets[length - 1] == example.inputs[places[0] + 1])
      #expect(example.targets.dropLast().allSatisfy { $0 == TaskBatch.ignored })
    }
  }
}

@Suite struct DuplicationTests {
  @Test(arguments: [4, 10, 1024])
  func theSecondWordIsTheFirst(length: Int) throws {
    var c = Duplication.Configuration()
    (c.length, c.vocabulary) = (length, 7)
    let task = try Duplication(c, key: RandomKey(seed: 1))
    var generator = RandomKey(seed: 3).generator()
    let example = task.example(&generator), half = length / 2
    #expect(example.inputs[0] == 0 && example.inputs[half] == 0)
    #expect(example.inputs.filter { $0 == 0 }.count == 2)
    #expect(Array(example.inputs[1..<half]) == Array(example.inputs[(half + 1)...]))
    for position in 0..<length {
      let scored = position >= half && position < length - 1
      #expect(example.targets[position] == (scored ? example.inputs[position + 1] : TaskBatch.ignored))
    }
    if length > 100 { #expect(Set(example.inputs) == Set(0...6)) }
  }
}

@Suite struct ReversalTests {
  @Test(arguments: [(1, 1), (3, 9), (8, 32)])
  func theDecoderWritesTheWordBackwards(minimum: Int, maximum: Int) throws {
    var c = Reversal.Configuration()
    (c.minimum, c.maximum) = (minimum, maximum)
    let task = try Reversal(c, key: RandomKey(seed: 1))
    let batch = try task.batch(split: .train, index: 0, batchSize: 40)
    var lengths: Set<Int> = []
    for row in 0..<40 {
      let count = batch.sourceLengths[row]
      lengths.insert(count)
      #expect(count >= minimum && count <= maximum && batch.lengths[row] == count + 1)
      let source = Array(batch.source[row * maximum..<(row + 1) * maximum])
      let inputs = Array(batch.inputs[row * (maximum + 1)..<(row + 1) * (maximum + 1)])
      let targets = Array(batch.targets[row * (maximum + 1)..<(row + 1) * (maximum + 1)])
      let backwards = Array(source[..<count].reversed())
      #expect(source[..<count].allSatisfy { $0 >= 3 } && source[count...].allSatisfy { $0 == 0 })
      #expect(inputs == [Reversal.start] + backwards + [Int32](repeating: 0, count: maximum - count))
      #expect(
        targets == backwards + [Reversal.end] + [Int32](repeating: TaskBatch.ignored, count: maximum - count))
    }
    #expect(lengths.count == 1 || maximum > minimum)
  }
}
