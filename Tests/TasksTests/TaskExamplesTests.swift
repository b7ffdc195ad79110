import ArrayFiles
import Basics
import Settings
import Tensors
import Testing

@testable import Tasks

/// Examples as files, and the grades of answers to them.
@Suite struct TaskExamplesTests {
  private func examples(_ id: String, _ count: Int = 6) throws -> (drawn: TaskExamples, batch: TaskBatch) {
    let task = try smallTask(id)
    return (
      try TaskExamples(of: task, split: .test, count: count),
      try task.batch(split: .test, index: 0, batchSize: count)
    )
  }

  @Test("the arrays are the batch, whatever the task", arguments: sequenceTasks)
  func arrays(id: String) throws {
    let (drawn, batch) = try examples(id)
    let read = try NpzArchive(bytes: try #require(drawn.archive.fileBytes), path: "x")
    #expect(read["inputs"]?.integers == batch.inputs.map(Int64.init))
    #expect(read["lengths"]?.integers == batch.lengths.map { Int64($0) })
    #expect(read["source"]?.integers == (batch.kind.hasSource ? batch.source.map(Int64.init) : nil))
    #expect(read["labels"]?.integers == (batch.kind.isClassification ? batch.labels.map(Int64.init) : nil))
    #expect(read["targets"]?.integers == (batch.kind.isClassification ? nil : batch.targets.map(Int64.init)))
    // The right answers are all right, in every form that is taken; a wrong one is one less.
    let expected = try #require(read["labels"] ?? read["targets"]), values = try #require(expected.integers)
    let all = try TaskGrade(of: expected, "y", to: read)
    #expect(all.answers == batch.scoredCount && all.right == all.answers && all.wholeExamples == all.examples)
    let first = try #require(values.firstIndex { $0 >= 0 })
    var wrong = values
    wrong[first] += 1
    let less = try TaskGrade(of: NpyArray(wrong, shape: expected.shape, as: .int32), "y", to: read)
    #expect(less.right == all.right - 1 && less.wholeExamples == all.wholeExamples - 1)
  }

  @Test("logits and the scored answers alone are taken, other shapes refused")
  func forms() throws {
    let (drawn, batch) = try examples("mqar")
    let archive = drawn.archive, scored = batch.targets.filter { $0 >= 0 }
    let compact = NpyArray(scored, shape: [6, 4], as: .int64)
    #expect(try TaskGrade(of: compact, "y", to: archive).right == 24)
    var logits = [Float](repeating: 0, count: 6 * 32 * 64)
    for (place, target) in batch.targets.enumerated() where target >= 0 {
      logits[place * 64 + Int(target)] = 1
    }
    // An answer that is no number is wrong, not a crash.
    let row = try #require(batch.targets.firstIndex { $0 >= 0 })
    for token in 0..<64 { logits[row * 64 + token] = .nan }
    #expect(try TaskGrade(of: NpyArray(logits, shape: [6, 32, 64]), "y", to: archive).right == 23)
    for shape in [[6, 5], [24], [5, 32]] {
      let other = NpyArray([Int32](repeating: 0, count: shape.reduce(1, *)), shape: shape, as: .int32)
      #expect(throws: UsageError.self) { try TaskGrade(of: other, "y", to: archive) }
    }
    #expect(throws: UsageError.self) { try TaskGrade(of: compact, "y", to: NpzArchive([])) }
  }

  @Test("prompts end where the answer begins")
  func prompts() throws {
    let (drawn, batch) = try examples("passkey")
    for (row, line) in try drawn.lines().split(separator: "\n").enumerated() {
      let value = try JSONValue(parsing: String(line))
      let answer = batch.targets[row * 200..<(row + 1) * 200].filter { $0 >= 0 }.map { UInt8($0) }
      #expect(value["index"].wholeValue == row)
      #expect(value["outputs"].arrayValue.map(\.stringValue) == [String(decoding: answer, as: UTF8.self)])
      #expect(value["input"].stringValue?.hasSuffix("The pass key is ") == true)
    }
    #expect(try examples("common-words").drawn.lines().contains("outputs"))
    #expect(throws: ConfigurationError.self) { try examples("mqar").drawn.lines() }
  }

  @Test("a prediction that holds all answers is right, and 12 is not in 123")
  func predictions() throws {
    let examples = """
      {"index": 0, "input": "?", "outputs": ["12", "7"]}
      {"index": 1, "input": "?", "outputs": ["Blue"]}
      {"index": 2, "input": "?", "outputs": ["5"]}

      """
    let said = """
      {"index": 1, "pred": "it is BLUE."}

      {"index": 0, "prediction": "123 and 7"}
      """
    let grade = try TaskGrade(ofLines: said, "p", to: examples, "e")
    #expect(grade.answers == 4 && grade.right == 2 && grade.examples == 3 && grade.wholeExamples == 1)
    #expect(grade.text.contains("2 of 4 answers right") && grade.json["right"].wholeValue == 2)
    for bad in [
      "{", "{\"index\": 0}", "{\"index\": 9, \"pred\": \"x\"}",
      "{\"index\": 0, \"pred\": \"x\"}\n{\"index\": 0, \"pred\": \"x\"}",
    ] {
      #expect(throws: UsageError.self, "\(bad)") { try TaskGrade(ofLines: bad, "p", to: examples, "e") }
    }
  }
}
