import Basics
import Settings
import Tensors
import Testing

@testable import Tasks

@Suite struct NeedleTests {
  private func make(_ settings: [String: Int], depth: Double = -1) throws -> Needles {
    var all = settings.mapValues { ParameterValue.int($0) }
    all["depth"] = .double(depth)
    return try Needles(Needles.Configuration(settings: all), key: RandomKey(seed: 6))
  }

  private func text(_ tokens: some Sequence<Int32>) -> String {
    String(decoding: tokens.map { UInt8($0) }, as: UTF8.self)
  }

  @Test(
    "every number is stated once, and those of the asked keys end the row in order", arguments: [1, 2, 4],
    [1, 3])
  func numbers(queries: Int, values: Int) throws {
    let task = try make(["length": 900, "keys": 5, "values": values, "queries": queries])
    var generator = RandomKey(seed: 1).generator()
    for _ in 0..<5 {
      let example = task.example(&generator)
      let whole = text(example.inputs), answer = text(example.targets.filter { $0 >= 0 })
      #expect(example.inputs.count == 900 && whole.hasSuffix(answer.dropLast()))
      let stated = whole.matches(of: #/ The number of (\w+ \w+) is (\d{5})\. /#)
      #expect(stated.count == 5 * values && Set(stated.map(\.output.2)).count == 5 * values)
      let question = try #require(whole.firstMatch(of: #/ What are the numbers of ([a-z ,]+)\? They are /#))
      let keys = question.output.1.split(separator: ", ")
      #expect(keys.count == queries && Set(keys).count == queries)
      let expected = keys.flatMap { key in stated.filter { $0.output.1 == key }.map { String($0.output.2) } }
      #expect(answer == expected.joined(separator: ", "))
    }
  }

  @Test("what is asked for stands at its depth", arguments: [0.0, 0.5, 1])
  func depths(depth: Double) throws {
    let task = try make(["length": 2000, "keys": 1], depth: depth)
    var generator = RandomKey(seed: 2).generator()
    let whole = text(task.example(&generator).inputs)
    let place = try #require(whole.firstRange(of: " The number of "))
    let before = whole.distance(from: whole.startIndex, to: place.lowerBound)
    #expect(abs(Double(before) / 1900 - depth) < 0.05)
  }

  @Test("an export has every number, to be found in any order, and grades itself")
  func export() throws {
    let task = try make(["length": 600, "keys": 3, "queries": 2, "values": 2])
    let lines = try TaskExamples(of: task, split: .test, count: 3).lines()
    let examples = try lines.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
    #expect(examples.allSatisfy { $0["outputs"].arrayValue.count == 4 })
    let answers = examples.map { example in
      let said = example["outputs"].arrayValue.compactMap(\.stringValue).reversed().joined(separator: " and ")
      return JSONValue.object(["index": example["index"], "prediction": .string(said)]).compact
    }
    let grade = try TaskGrade(ofLines: answers.joined(separator: "\n"), "a", to: lines, "e")
    #expect(grade.answers == 12 && grade.right == 12 && grade.wholeExamples == 3)
  }

  @Test("what does not fit is one line")
  func refusals() throws {
    for (settings, words) in [
      (["queries": 5], "at most keys = 4"), (["length": 100], "at least 189 bytes"),
      (["keys": 257], "from 1 to 256"),
    ] {
      #expect {
        _ = try make(settings)
      } throws: {
        "\($0)".contains(words)
      }
    }
    #expect(try make(["length": 189]).batch(split: .train, index: 0, batchSize: 1).length == 189)
  }
}

@Suite struct ReadingTests {
  @Test("the answer follows from the sentences", arguments: [1, 2], [220, 221, 1000, 4096])
  func answers(hops: Int, length: Int) throws {
    let settings: [String: ParameterValue] = ["hops": .int(hops), "length": .int(length)]
    let task = try Reading(Reading.Configuration(settings: settings), key: RandomKey(seed: 3))
    var generator = RandomKey(seed: 4).generator()
    for _ in 0..<4 {
      let example = task.example(&generator)
      #expect(example.inputs.count == length)
      let text = String(decoding: example.inputs.map { UInt8($0) }, as: UTF8.self)
      let answer = String(decoding: example.targets.filter { $0 >= 0 }.map { UInt8($0) }, as: UTF8.self)
      #expect(answer.count == 6 && text.hasSuffix(answer.dropLast()))
      let question = try #require(
        text.firstMatch(of: #/ (Where|What) does (the friend of )?(\w+) (live|keep)\? /#))
      var person = String(question.output.3)
      #expect((question.output.2 != nil) == (hops == 2))
      if hops == 2 {
        let friend = text.matches(of: #/ The friend of (\w+) is (\w+)\./#).filter { $0.output.1 == person }
        #expect(friend.count == 1)
        person = String(friend[0].output.2)
      }
      let said =
        question.output.1 == "Where" ? " \(person) lives in \(answer)." : " \(person) keeps a \(answer)."
      #expect(text.contains(said))
    }
  }

  @Test("two persons are the least")
  func least() {
    #expect {
      try Reading(Reading.Configuration(settings: ["length": .int(100)]), key: RandomKey(seed: 1))
    } throws: {
      "\($0)".contains("bytes for two persons")
    }
  }
}
