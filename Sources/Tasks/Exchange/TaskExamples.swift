import ArrayFiles
import Basics
import Foundation
import Settings
import Tensors

/// Examples of a task in files that other programs read: arrays (`.npz`), or prompts with their answers (`.jsonl`).
///
/// Arrays are `inputs` and `targets` `[examples, length]` (−100: not scored) with `lengths` `[examples]`, for classifiers
/// `labels` `[examples]` in the place of targets, and `source` `[examples, source length]` with `source_lengths` where a task has
/// one; whole numbers of 32 bits. Of a task whose rows are pixels or steps, `features` stand in the place of inputs:
/// `[examples, height, width, channels]` (the frames of a video below each other), or `[examples, steps, width]`.
///
/// A line of a `.jsonl` file is `{"index", "input", "outputs"}`, the names that RULER's files have: the text before the answer and
/// the parts of the answer, which is all that stands behind it. Tokens that are no bytes are written as numbers between blanks.
public struct TaskExamples: Sendable {
  private let batch: TaskBatch
  private let isText: Bool
  private let id: String
  private let separator: String?

  /// Draws the first examples of a split.
  /// - Parameters:
  ///   - task: where they come from.
  ///   - split: of which part.
  ///   - count: how many.
  /// - Throws: `ConfigurationError` when the split has no example, and for a task of graph nodes, which is one graph.
  public init(of task: any SequenceTask, split: Split, count: Int) throws {
    guard task.kind != .nodeClassification else {
      throw ConfigurationError(
        field: "task", value: task.card.id, allowed: "a task of sequences; a graph has files of its own")
    }
    batch = try task.batch(split: split, index: 0, batchSize: count)
    (id, isText, separator) = (task.card.id, task.readsBytes, task.answerSeparator)
  }

  /// The arrays.
  public var archive: NpzArchive {
    func matrix(_ values: [Int32]) -> NpyArray {
      NpyArray(values, shape: [batch.batchSize, values.count / batch.batchSize], as: .int32)
    }
    func vector(_ values: [some BinaryInteger]) -> NpyArray {
      NpyArray(values, shape: [values.count], as: .int32)
    }
    let read = batch.features.map { ("features", NpyArray($0.values.array(), shape: described($0))) }
    var arrays = [read ?? ("inputs", matrix(batch.inputs)), ("lengths", vector(batch.lengths))]
    if batch.kind.hasSource {
      arrays += [("source", matrix(batch.source)), ("source_lengths", vector(batch.sourceLengths))]
    }
    arrays.append(
      batch.kind.isClassification ? ("labels", vector(batch.labels)) : ("targets", matrix(batch.targets)))
    return NpzArchive(arrays)
  }

  /// The extents of features by example.
  private func described(_ features: FeatureRows) -> [Int] {
    [batch.batchSize] + (batch.grid.map { [$0.height, $0.width] } ?? [batch.length]) + [features.width]
  }

  /// Prompts and answers, a line each.
  /// - Throws: `ConfigurationError` where a row has no answer at its end, or more than one, and for rows of numbers.
  public func lines() throws(ConfigurationError) -> String {
    guard batch.features == nil else {
      throw ConfigurationError(
        field: "task", value: id, allowed: "a task of tokens, as .jsonl; .npz holds rows of numbers")
    }
    var text = ""
    for row in 0..<batch.batchSize {
      let (prompt, answer) = try self.row(row)
      let line = JSONValue.object([
        "index": .int(row), "input": .string(written(prompt)), "outputs": .array(outputs(answer)),
      ])
      text += line.compact + "\n"
    }
    return text
  }

  private func row(_ row: Int) throws(ConfigurationError) -> (prompt: [Int32], answer: [Int32]) {
    let inputs = Array(batch.inputs[row * batch.length..<row * batch.length + batch.lengths[row]])
    if batch.kind.isClassification {
      let source =
        batch.kind.hasSource ? batch.source[row * batch.sourceLength..<(row + 1) * batch.sourceLength] : []
      let read = batch.kind.hasSource ? Array(source.prefix(batch.sourceLengths[row])) : []
      return (read + inputs, [batch.labels[row]])
    }
    if batch.kind.hasSource {
      let source = batch.source[row * batch.sourceLength..<(row + 1) * batch.sourceLength]
      let targets = batch.targets[row * batch.length..<(row + 1) * batch.length].filter {
        $0 != TaskBatch.ignored
      }
      return (Array(source.prefix(batch.sourceLengths[row])), Array(targets))
    }
    let targets = Array(batch.targets[row * batch.length..<row * batch.length + inputs.count])
    let first = targets.firstIndex { $0 != TaskBatch.ignored } ?? targets.count
    let answer = Array(targets[first...])
    guard !answer.isEmpty, !answer.contains(TaskBatch.ignored) else {
      throw ConfigurationError(
        field: "task", value: id,
        allowed: "a task whose one answer ends the row, as .jsonl; .npz holds answers anywhere")
    }
    return (Array(inputs[...first]), answer)
  }

  private func written(_ tokens: [Int32]) -> String {
    isText
      ? String(decoding: tokens.map { UInt8(truncatingIfNeeded: $0) }, as: UTF8.self)
      : tokens.map(String.init).joined(separator: " ")
  }

  /// A text is one answer, or has its parts between separators; tokens are one each. They are to be found in any order.
  private func outputs(_ answer: [Int32]) -> [JSONValue] {
    guard isText else { return answer.map { .string(String($0)) } }
    guard let separator else { return [.string(written(answer))] }
    return written(answer).components(separatedBy: separator).map { .string($0) }
  }
}
