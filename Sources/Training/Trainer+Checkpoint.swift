import ArrayFiles
import AttentionCore
import Foundation
import Layers
import Models
import Settings
import Tasks
import Tensors

extension Trainer {
  /// Writes model, moments and counters into one file, whole or not at all.
  /// - Throws: `SafetensorsError`; `TrainingDiverged` when a weight is not finite: an earlier file stays as it is.
  public func save(to path: String) throws {
    guard model.isFinite else { throw TrainingDiverged(step: step, what: "weights") }
    guard optimizer.isFinite else { throw TrainingDiverged(step: step, what: "moments of the optimiser") }
    var tensors = model.namedWeights()
    tensors["optimizer.first"] = optimizer.first
    if let second = optimizer.second { tensors["optimizer.second"] = second }
    tensors.merge(namedMemories) { own, _ in own }
    var metadata = model.metadata
    for (name, value) in configuration.settings { metadata["training.\(name)"] = "\(value)" }
    metadata["task"] = task.card.id
    metadata["task.configuration"] = task.configurationSummary
    metadata["task.text"] = task.text?.fingerprint
    metadata["state.step"] = "\(step)"
    if !extensions.isEmpty {
      metadata["state.extensions"] = extensions.map { "\($0)" }.joined(separator: " ")
    }
    metadata["state.tokens"] = "\(tokens)"
    metadata["state.bestLoss"] = bits(bestLoss)
    metadata["state.evaluationsWithoutBetter"] = "\(evaluationsWithoutBetter)"
    if model.draws { metadata["state.averageLoss"] = optimizer.averageLoss.map(bits) ?? "none" }
    metadata["state.running"] = running.text
    metadata["state.evaluations"] = evaluations.map(\.text).joined(separator: ";")
    metadata.merge(taskMetadata) { own, _ in own }
    metadata.merge(taskState) { own, _ in own }
    try Safetensors(tensors: tensors, metadata: metadata).write(to: path)
  }

  /// Continues from a file that `save` wrote.
  /// - Parameters:
  ///   - path: the file.
  ///   - extending: whether the training may have another end than the one that wrote it. A cosine goes on as that of the
  ///     new end, from the step where it stands; all other schedules know no end.
  /// - Throws: `SafetensorsError` when it belongs to another model, task, text or training; nothing is changed then.
  public func resume(from path: String, extending: Bool = false) throws {
    let file = try Safetensors(contentsOf: path)
    let metadata = try ModelConfiguration.current(file.metadata, in: model.catalog)
    var expected = model.metadata
    let hasEnd = configuration.schedule == .cosine
    let free: Set = extending ? ["steps", "patience"] : hasEnd ? [] : ["steps"]
    for (name, value) in configuration.settings where !free.contains(name) {
      expected["training.\(name)"] = "\(value)"
    }
    expected["task"] = task.card.id
    expected["task.configuration"] = task.configurationSummary
    expected.merge(taskMetadata) { own, _ in own }
    // A setting that an older file does not name had the meaning of today's default.
    var defaults: [String: String] = [:]
    for (name, value) in ModelConfiguration().settings { defaults["model.\(name)"] = "\(value)" }
    for (name, value) in TrainingConfiguration().settings { defaults["training.\(name)"] = "\(value)" }
    for (name, value) in expected.sorted(by: { $0.key < $1.key })
    where (metadata[name] ?? defaults[name]) != value {
      throw SafetensorsError(
        path: path,
        problem: "the checkpoint has \(name) = \(metadata[name] ?? "nothing"); this run has \(value)"
          + (name == "training.steps" ? "; --extend gives the cosine another end" : ""))
    }
    // Files of before texts were marked have no mark.
    if let text = task.text, let mark = metadata["task.text"], mark != text.fingerprint {
      throw SafetensorsError(
        path: path,
        problem: "the checkpoint was trained on another text: \(text.path) has changed since "
          + "(hash \(mark), now \(text.fingerprint)); training on would mix the two")
    }
    func state(_ name: String) throws -> String {
      guard let text = metadata["state.\(name)"] else {
        throw SafetensorsError(
          path: path, problem: "no state.\(name): the file is a model without its training")
      }
      return text
    }
    func number(_ name: String) throws -> Int {
      let text = try state(name)
      guard let value = Int(text), Trainer.counts.contains(value) else {
        throw SafetensorsError(
          path: path,
          problem: "state.\(name) is \(text); a whole number from 0 to \(Trainer.counts.upperBound) expected")
      }
      return value
    }
    let moments = [model.layout.count]
    let first = try file.finiteTensor("optimizer.first", shape: moments, path: path)
    let second =
      optimizer.second == nil ? nil : try file.finiteTensor("optimizer.second", shape: moments, path: path)
    let counters = (
      step: try number("step"), tokens: try number("tokens"), without: try number("evaluationsWithoutBetter"),
      best: real(try state("bestLoss")), running: CrossEntropy(text: try state("running")),
      evaluations: try state("evaluations").split(separator: ";")
    )
    guard let running = counters.running else {
      throw SafetensorsError(path: path, problem: "state.running is torn")
    }
    let evaluations = try counters.evaluations.map { line in
      guard let evaluation = Evaluation(String(line)) else {
        throw SafetensorsError(path: path, problem: "state.evaluations is torn")
      }
      return evaluation
    }
    let progress = try progress(from: metadata, path: path)
    var extensions = (metadata["state.extensions"] ?? "").split(separator: " ").compactMap { Int($0) }
    if hasEnd, metadata["training.steps"].map({ $0 != "\(configuration.steps)" }) ?? false {
      extensions.append(counters.step)
    }
    let average = model.draws ? try state("averageLoss") : "none"
    guard average == "none" || real(average).isFinite else {
      throw SafetensorsError(path: path, problem: "state.averageLoss is torn")
    }
    let kept = try memories(from: file.tensors, after: counters.step)
    if let wrong = kept.wrong {
      throw SafetensorsError(
        path: path, problem: "\(wrong), what a layer keeps of earlier segments, is missing or does not fit")
    }
    try model.setWeights(file, path: path)
    memories = kept.memories
    optimizer.first = first
    optimizer.second = second
    optimizer.averageLoss = average == "none" ? nil : real(average)
    (step, tokens, evaluationsWithoutBetter) = (counters.step, counters.tokens, counters.without)
    bestLoss = counters.best
    (self.running, self.evaluations, self.extensions) = (running, evaluations, extensions)
    self.progress = progress
  }

  /// What a counter of steps, tokens or rows can come to; sums of two such numbers are whole numbers still.
  static let counts = 0...(1 << 53)
}

/// A number as its bits: a decimal form could round.
func bits(_ value: Double) -> String { String(value.bitPattern, radix: 16) }
/// The number that bits stand for; not a number for text that is none.
func real(_ text: some StringProtocol) -> Double {
  UInt64(text, radix: 16).map { Double(bitPattern: $0) } ?? .nan
}

extension CrossEntropy {
  /// As a checkpoint holds it.
  var text: String { "\(bits(sum)) \(rows) \(correct) \(sequences) \(sequencesRight)" }

  /// Reads what `text` has written, or an earlier build, which did not count sequences; `nil` for anything else.
  init?(text: some StringProtocol) {
    let parts = text.split(separator: " "), counts = parts.dropFirst().compactMap { Int($0) }
    guard [3, 5].contains(parts.count), counts.count == parts.count - 1, Trainer.counts.contains(counts[0])
    else { return nil }
    let (rows, correct) = (counts[0], counts[1])
    let (sequences, right) = counts.count == 4 ? (counts[2], counts[3]) : (0, 0)
    guard (0...rows).contains(correct), (0...rows).contains(sequences), (0...sequences).contains(right) else {
      return nil
    }
    self.init(sum: real(parts[0]), rows: rows, correct: correct, sequences: sequences, sequencesRight: right)
  }
}

extension Trainer.Evaluation {
  /// As a checkpoint holds it.
  var text: String {
    ["\(step)", "\(tokens)", bits(trainLoss), bits(validationLoss), bits(validationAccuracy)]
      .joined(separator: " ")
  }

  /// Reads what `text` has written; `nil` for anything else.
  init?(_ text: String) {
    let parts = text.split(separator: " ")
    guard parts.count == 5, let step = Int(parts[0]), let tokens = Int(parts[1]),
      Trainer.counts.contains(step), Trainer.counts.contains(tokens)
    else { return nil }
    self.init(
      step: step, tokens: tokens, trainLoss: real(parts[2]), validationLoss: real(parts[3]),
      validationAccuracy: real(parts[4]))
  }
}
