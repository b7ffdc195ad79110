import ArrayFiles
import Layers
import Tensors

/// What a checkpoint holds of auxiliary tasks: nothing where there are none.
extension Trainer {
  /// What must be the same when a training goes on: the tasks, their settings, parts and texts.
  var taskMetadata: [String: String] {
    var result: [String: String] = [:]
    for other in auxiliary {
      result["auxiliary.\(other.name)"] = other.line
      if let text = other.task.text { result["auxiliary.\(other.name).text"] = text.fingerprint }
    }
    return result
  }

  /// Counters, running losses and evaluations.
  var taskState: [String: String] {
    var result: [String: String] = [:]
    for (number, one) in progress.enumerated() {
      let name = number == 0 ? "main" : "auxiliary.\(auxiliary[number - 1].name)"
      result["state.\(name)"] = "\(one.steps) \(one.tokens) \(one.running.text)"
      if number > 0 {
        result["state.\(name).evaluations"] = one.evaluations.map(\.text).joined(separator: ";")
      }
    }
    return result
  }

  /// What `taskState` has written.
  /// - Throws: `SafetensorsError` for what is missing or torn.
  func progress(from metadata: [String: String], path: String) throws(SafetensorsError) -> [TaskProgress] {
    var result = progress
    for number in result.indices {
      let name = number == 0 ? "state.main" : "state.auxiliary.\(auxiliary[number - 1].name)"
      let parts = (metadata[name] ?? "").split(separator: " ", maxSplits: 2)
      guard parts.count == 3, let steps = Int(parts[0]), let tokens = Int(parts[1]),
        Trainer.counts.contains(steps), Trainer.counts.contains(tokens),
        let running = CrossEntropy(text: parts[2])
      else {
        throw SafetensorsError(path: path, problem: "\(name) is torn")
      }
      (result[number].steps, result[number].tokens, result[number].running) = (steps, tokens, running)
      let lines = (metadata[name + ".evaluations"] ?? "").split(separator: ";")
      result[number].evaluations = lines.compactMap { Evaluation(String($0)) }
      guard result[number].evaluations.count == lines.count else {
        throw SafetensorsError(path: path, problem: "\(name).evaluations is torn")
      }
    }
    return result
  }
}
