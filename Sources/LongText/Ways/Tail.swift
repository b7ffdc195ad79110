import Basics
import Settings
import Tasks

/// The end of a row, which is kept as it is: the question, and the answer that is scored.
struct Tail {
  /// Bytes of the row that stand before it.
  let context: [UInt8]
  /// Where it begins in the row.
  let start: Int
  /// What is asked, to compare sentences with: the tail as far as the model has read it before its first answer, from the first
  /// sentence on that begins in it where there is one.
  let question: [UInt8]

  /// Cuts a row: the tail is its last bytes, from a word's beginning on where it has one.
  init(_ row: Example, bytes: Int) {
    let all = row.inputs.map { UInt8(truncatingIfNeeded: $0) }
    var start = max(0, all.count - bytes)
    // A word that is cut would be another word.
    if start > 0, bytes > 0, !Sentences.isSpace(all[start - 1]),
      let space = all[start...].firstIndex(where: Sentences.isSpace)
    {
      start = space
    }
    self.start = start
    context = Array(all[..<start])
    let answer = row.targets.indices.dropFirst(start).first { row.targets[$0] != TaskBatch.ignored }
    // The input at the first answer is the last byte before it.
    let end = max(start, min(all.count, (answer ?? all.count - 1) + 1))
    // The end of a sentence that began before would be looked for, too, and is no part of what is asked.
    let whole = Sentences.cut(Array(all[..<end])).map(\.lowerBound).first { $0 >= start }
    let asked = Array(all[(whole ?? start)..<end])
    question = Words.all(in: asked).isEmpty ? Array(all[start..<end]) : asked
  }

  /// Refuses a task of which a way that reads text cannot read the rows.
  static func check(_ task: any SequenceTask, for way: String) throws(ConfigurationError) {
    guard task.readsBytes, task.kind == .languageModel || task.kind == .classification else {
      throw ConfigurationError(
        field: WayCatalog.field, value: way,
        allowed: "none with the task \(task.card.id): it reads texts, rows of bytes such as those of passkey")
    }
  }
}

extension Example {
  /// The row with other text before its tail.
  func replacing(before start: Int, by text: [UInt8]) -> Example {
    let inputs = text.map { Int32($0) } + self.inputs[start...]
    guard !targets.isEmpty else { return Example(inputs: inputs, label: label) }
    let ignored = [Int32](repeating: TaskBatch.ignored, count: text.count)
    return Example(inputs: inputs, targets: ignored + targets[start...])
  }
}
