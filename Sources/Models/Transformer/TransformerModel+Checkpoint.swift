import ArrayFiles
import AttentionCore
import Basics
import Foundation
import Layers
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
  /// - Throws: `SafetensorsError` for a missing or unknown name, another shape, or a weight that is not finite; nothing
  ///   is changed then.
  public func setWeights(_ file: Safetensors, path: String) throws {
    let values = try layout.values(in: file, buffers, configuration, path: path)
    state.weights = values.weights
    state.buffers = values.buffers
  }

  /// Whether all weights and buffers are finite numbers.
  /// - Complexity: O(parameters).
  public var isFinite: Bool {
    state.buffers.allSatisfy(\.isFinite) && state.weights.isFinite
  }

  /// The configuration as text by name: the metadata `model.<name>` of a checkpoint.
  public var metadata: [String: String] {
    var result = ["format": ModelConfiguration.modelType]
    for (name, value) in configuration.settings { result["model.\(name)"] = "\(value)" }
    return result
  }
}

extension ModelConfiguration {
  /// A checkpoint's metadata by today's names of settings, in today's spelling.
  static func renamed(metadata: [String: String]) -> [String: String] {
    let old = Dictionary(uniqueKeysWithValues: formerNames.map { ("model.\($0)", "model.\($1)") })
    let pairs = metadata.map { name, value in
      // Counters of the training keep their names: nobody types them.
      let today = ["model.", "training."].contains { name.hasPrefix($0) } ? Spelling.today(name) : name
      let text =
        switch today {
        case "model.attention": Spelling.line(value)
        case "task.configuration": Spelling.pairs(value)
        default: value
        }
      return (old[today] ?? today, text)
    }
    return Dictionary(pairs) { _, later in later }
  }

  /// What `config.json` beside a model of this program says that it is.
  public static let modelType = "attnlab"

  /// Reads the metadata of a checkpoint.
  /// - Throws: `SafetensorsError`, `ConfigurationError`.
  public init(metadata: [String: String], path: String, in catalog: Catalog) throws {
    guard metadata["format"] == Self.modelType else {
      throw SafetensorsError(
        path: path, problem: "no attnlab checkpoint (its metadata has no format = attnlab)")
    }
    try self.init(settings: ModelConfiguration.settings(of: metadata), in: catalog)
  }

  private static func settings(of metadata: [String: String]) -> [String: ParameterValue] {
    var settings: [String: ParameterValue] = [:]
    for (name, text) in metadata where name.hasPrefix("model.") {
      settings[String(name.dropFirst(6))] =
        name == "model.attention" ? .string(text) : ParameterValue(parsing: text)
    }
    return settings
  }

  /// The metadata of a checkpoint in today's names.
  /// - Throws: `ConfigurationError`.
  package static func current(_ metadata: [String: String], in catalog: Catalog) throws -> [String: String] {
    let metadata = renamed(metadata: metadata)
    let former = catalog.formerModelSettings.filter { metadata["model.\($0)"] != nil }
    guard !former.isEmpty else { return metadata }
    var current = metadata
    let settings = try catalog.withoutFormerSettings(settings(of: metadata))
    current["model.attention"] = settings["attention"].map { "\($0)" }
    for name in former { current["model.\(name)"] = nil }
    return current
  }
}

extension ParameterLayout {
  /// The parameters and buffers of a file of this program, in the order of the layout.
  ///
  /// Moments of an optimiser, a copy of tied output weights, and tensors of types that no weight has are passed over.
  /// - Throws: `SafetensorsError`; every shape is compared before anything is allocated.
  package func values(
    in file: Safetensors, _ buffers: [BufferSlot], _ configuration: ModelConfiguration, path: String
  ) throws -> (weights: Tensor, buffers: [Float]) {
    let known = Set(slots.map(\.name) + buffers.map(\.name))
    for name in file.tensors.keys.sorted() where !known.contains(name) && file.arrays[name] == nil {
      if CheckpointNames.isIdle(name, in: configuration) { continue }
      throw SafetensorsError(
        path: path,
        problem:
          "\(shown(name)) is no parameter of this model\(suggestion(near: name, among: known.sorted()))")
    }
    for slot in slots { _ = try file.tensor(slot.name, shape: slot.shape, path: path) }
    var weights = try Tensor(zeros: [count])
    for slot in slots {
      try weights.replace(
        from: slot.offset, with: file.finiteTensor(slot.name, shape: slot.shape, path: path))
    }
    var values: [Float] = []
    for buffer in buffers {
      values += try file.finiteTensor(buffer.name, shape: [buffer.count], path: path).array()
    }
    return (weights, values)
  }
}
