import ArrayFiles
import Basics
import Foundation
import Settings
import Tensors

extension TransformerModel {
  /// All parameters and buffers by name.
  public func namedWeights() -> [String: Tensor] { named(state.weights, withBuffers: true) }

  /// All gradients by name.
  public func namedGradients() -> [String: Tensor] { named(state.gradients, withBuffers: false) }

  private func named(_ flat: Tensor, withBuffers: Bool) -> [String: Tensor] {
    var result: [String: Tensor] = [:]
    for slot in layout.slots {
      result[slot.name] = flat.narrowed(axis: 0, to: slot.range).reshaped(slot.shape)
    }
    if withBuffers {
      for buffer in buffers {
        let values = Array(state.buffers[buffer.offset..<buffer.offset + buffer.count])
        if let tensor = try? Tensor(values, shape: [buffer.count]) { result[buffer.name] = tensor }
      }
    }
    return result
  }

  /// Replaces all parameters and buffers.
  /// - Throws: `SafetensorsError` for a missing or unknown name or another shape; nothing is changed then.
  public func setWeights(_ file: Safetensors, path: String, ignoring: (String) -> Bool = { _ in false })
    throws
  {
    let known = Set(layout.slots.map(\.name) + buffers.map(\.name))
    for name in file.tensors.keys.sorted() where !known.contains(name) && !ignoring(name) {
      let nearest = nearestName(to: name, among: Array(known)).map { " (did you mean \($0)?)" } ?? ""
      throw SafetensorsError(path: path, problem: "\(name) is no parameter of this model\(nearest)")
    }
    var weights = try Tensor(zeros: state.weights.shape)
    for slot in layout.slots {
      let tensor = try file.finiteTensor(slot.name, shape: slot.shape, path: path)
      tensor.withUnsafePointer { source in
        weights.withUnsafeMutablePointer { ($0 + slot.offset).update(from: source, count: slot.count) }
      }
    }
    var values = state.buffers
    for buffer in buffers {
      let tensor = try file.finiteTensor(buffer.name, shape: [buffer.count], path: path)
      values.replaceSubrange(buffer.offset..<buffer.offset + buffer.count, with: tensor.array())
    }
    state.weights = weights
    state.buffers = values
  }

  /// The configuration as text by name: the metadata `model.<name>` of a checkpoint.
  public var metadata: [String: String] {
    var result = ["format": "attnlab"]
    for (name, value) in configuration.settings { result["model.\(name)"] = "\(value)" }
    return result
  }
}

extension ModelConfiguration {
  /// Reads the metadata of a checkpoint.
  /// - Throws: `SafetensorsError`, `ConfigurationError`.
  public init(metadata: [String: String], path: String) throws {
    guard metadata["format"] == "attnlab" else {
      throw SafetensorsError(
        path: path, problem: "no attnlab checkpoint (its metadata has no format = attnlab)")
    }
    var settings: [String: ParameterValue] = [:]
    for (name, text) in metadata where name.hasPrefix("model.") {
      settings[String(name.dropFirst(6))] =
        name == "model.attention" ? .string(text) : ParameterValue(parsing: text)
    }
    try self.init(settings: settings)
  }
}
