import ArrayFiles
import AttentionCore
import Foundation
import Tensors

/// A trained model with the head that turns its hidden states into predictions.
public struct PretrainedModel {
  /// Trunk, embeddings and, for a decoder, the output matrix.
  public let model: TransformerModel
  /// `attnlab`, `gpt2`, `bert`, …
  public let family: String
  /// What makes logits of the hidden states; `nil`: the tied matrix alone.
  let head: MaskedLanguageHead?
  /// Whether the checkpoint can predict tokens (a bare BERT trunk cannot).
  public let predicts: Bool
  /// Whether it can continue a sequence.
  public var generates: Bool { predicts && model.decoder != nil }
  /// The token that is padding where positions are counted without it (RoBERTa); its positions are not reproduced here.
  public let paddingToken: Int32?
  /// Stored tensors that were not used, such as a pooler.
  public let unused: [String]

  /// Reads a checkpoint: a file of this program, or a Hugging Face folder (or the `.safetensors` file in it).
  /// - Throws: `SafetensorsError`, `ConfigurationError`: one line that names file, tensor and shapes.
  public init(contentsOf path: String, catalog: Catalog, context: ExecutionContext = .recycling()) throws {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw SafetensorsError(path: path, problem: "no such file or folder")
    }
    let folder = isFolder.boolValue ? path : (path as NSString).deletingLastPathComponent
    let configPath = (folder.isEmpty ? "." : folder) + "/config.json"
    if !isFolder.boolValue {
      let file = try Safetensors(contentsOf: path)
      if file.metadata["format"] == "attnlab" {
        try self.init(file, path: path, catalog: catalog, context: context)
        return
      }
      try self.init(file, path: path, configPath: configPath, catalog: catalog, context: context)
      return
    }
    let file = try PretrainedModel.weights(in: folder)
    try self.init(file, path: folder, configPath: configPath, catalog: catalog, context: context)
  }

  /// A checkpoint of this program.
  private init(_ file: Safetensors, path: String, catalog: Catalog, context: ExecutionContext) throws {
    let model = try TransformerModel(
      ModelConfiguration(metadata: file.metadata, path: path), catalog: catalog, context: context)
    try model.setWeights(file, path: path) { $0.hasPrefix("optimizer.") }
    self.model = model
    family = "attnlab"
    paddingToken = nil
    head = nil
    predicts = model.configuration.classes == 0
    unused = file.names.filter { $0.hasPrefix("optimizer.") }
  }

  /// A checkpoint of Hugging Face.
  private init(
    _ file: Safetensors, path: String, configPath: String, catalog: Catalog, context: ExecutionContext
  ) throws {
    guard let json = FileManager.default.contents(atPath: configPath) else {
      throw SafetensorsError(
        path: path, problem: "no attnlab checkpoint, and no \(configPath) that says what model it is")
    }
    let configuration = try HuggingFaceConfiguration(json: json, path: configPath)
    let stored = PretrainedModel.plainNames(file, configuration)
    let model = try TransformerModel(configuration.model, catalog: catalog, context: context)
    var used: Set<String> = []
    var tensors: [String: Tensor] = [:]
    for (ours, source) in configuration.sources {
      guard let tensor = stored[source.name] else {
        throw SafetensorsError(
          path: path,
          problem: "no tensor \(configuration.prefix)\(source.name) (for \(ours)); is the checkpoint whole?")
      }
      used.insert(source.name)
      guard let slot = model.layout.slots.first(where: { $0.name == ours }) else { continue }
      tensors[ours] = try source.take(from: tensor, shape: slot.shape, path: path)
    }
    try model.setWeights(Safetensors(tensors: tensors), path: path)
    head = try MaskedLanguageHead(stored, configuration, path: path, used: &used)
    let strangers = stored.keys.filter { !used.contains($0) && !configuration.isIdle($0) }.sorted()
    guard strangers.isEmpty else {
      throw SafetensorsError(
        path: path,
        problem: "\(strangers[0]) is no tensor of a \(configuration.family.rawValue) model of "
          + "\(configuration.model.layers) layers"
          + (strangers.count > 1 ? " (and \(strangers.count - 1) more)" : ""))
    }
    self.model = model
    family = configuration.family.rawValue
    paddingToken = configuration.firstPosition > 0 ? Int32(configuration.firstPosition - 1) : nil
    predicts = configuration.family == .gpt2 || head != nil
    unused = stored.keys.filter { !used.contains($0) }.sorted()
  }

  /// The weights of a folder, in one file or in the shards that an index lists.
  private static func weights(in folder: String) throws -> Safetensors {
    let single = folder + "/model.safetensors", index = single + ".index.json"
    if FileManager.default.fileExists(atPath: single) { return try Safetensors(contentsOf: single) }
    guard let json = FileManager.default.contents(atPath: index) else {
      throw SafetensorsError(
        path: folder,
        problem: "no model.safetensors in this folder (other formats, such as .bin, are not read)")
    }
    guard let root = try? JSONSerialization.jsonObject(with: json) as? [String: Any],
      let map = root["weight_map"] as? [String: String]
    else { throw SafetensorsError(path: index, problem: "no weight_map of names to files") }
    var whole = Safetensors()
    for shard in Set(map.values).sorted() {
      guard !shard.contains("/") else {
        throw SafetensorsError(path: index, problem: "\(shard) is no file name")
      }
      let part = try Safetensors(contentsOf: folder + "/" + shard)
      whole.tensors.merge(part.tensors) { first, _ in first }
      whole.arrays.merge(part.arrays) { first, _ in first }
    }
    return whole
  }

  /// Stored tensors without the trunk's prefix and with today's names for norms (old checkpoints say gamma and beta).
  private static func plainNames(
    _ file: Safetensors, _ configuration: HuggingFaceConfiguration
  ) -> [String: Tensor] {
    var result: [String: Tensor] = [:]
    for (name, tensor) in file.tensors {
      var plain =
        name.hasPrefix(configuration.prefix) ? String(name.dropFirst(configuration.prefix.count)) : name
      for (old, new) in [("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")]
      where plain.hasSuffix(old) {
        plain = String(plain.dropLast(old.count)) + new
      }
      result[plain] = tensor
    }
    return result
  }
}

extension HuggingFaceSource {
  /// The part of a stored tensor, checked against the shape of the parameter.
  /// - Throws: `SafetensorsError` that names both shapes.
  func take(from tensor: Tensor, shape: [Int], path: String) throws(SafetensorsError) -> Tensor {
    var expected = shape
    switch part {
    case .whole: break
    case .transposed: expected = shape.reversed()
    case .third: expected = shape.count == 2 ? [shape[1], 3 * shape[0]] : [3 * shape[0]]
    case .rows(let first): expected[0] += first
    }
    guard tensor.shape == expected else {
      throw SafetensorsError(path: path, problem: "\(name) has shape \(tensor.shape); \(expected) expected")
    }
    switch part {
    case .whole: return tensor
    case .transposed: return shape.count == 2 ? tensor.transposed(0, 1).contiguous() : tensor
    case .third(let index):
      let range = index * shape[0]..<(index + 1) * shape[0]
      let third = tensor.narrowed(axis: shape.count - 1, to: range)
      return (shape.count == 2 ? third.transposed(0, 1) : third).contiguous()
    case .rows(let first): return tensor.narrowed(axis: 0, to: first..<expected[0]).contiguous()
    }
  }
}
