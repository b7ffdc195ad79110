import ArrayFiles
import AttentionCore
import Basics
import Foundation
import Layers
import Models
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
  /// Those of them that a user should hear of once, with the type of what is no real tensor.
  public let ignored: [String]

  /// Reads a checkpoint: a file of this program, or a folder of this program or of Hugging Face (or the `.safetensors` file
  /// in it).
  /// - Throws: `SafetensorsError`, `ConfigurationError`: one line that names file, tensor and shapes.
  public init(contentsOf path: String, catalog: Catalog, context: ExecutionContext = .recycling()) throws {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw SafetensorsError(path: path, problem: "no such file or folder")
    }
    let folder = isFolder.boolValue ? path : (path as NSString).deletingLastPathComponent
    let configPath = (folder.isEmpty ? "." : folder) + "/config.json"
    let stored =
      isFolder.boolValue ? try PretrainedModel.weights(in: folder) : try Safetensors(contentsOf: path)
    let file = try stored.renamed(path: path, CheckpointNames.withoutWrappers)
    if let metadata = try ModelConfiguration.metadata(of: file, configPath) {
      try self.init(file, metadata, path: path, catalog: catalog, context: context)
    } else {
      try self.init(file, path: path, configPath: configPath, catalog: catalog, context: context)
    }
  }

  /// A checkpoint of this program.
  private init(
    _ file: Safetensors, _ metadata: [String: String], path: String, catalog: Catalog,
    context: ExecutionContext
  ) throws {
    let configuration = try ModelConfiguration(metadata: metadata, path: path, in: catalog)
    model = try TransformerModel(configuration, catalog: catalog, context: context) { layout, buffers in
      try layout.values(in: file, buffers, configuration, path: path)
    }
    family = ModelConfiguration.modelType
    paddingToken = nil
    head = nil
    predicts = configuration.classes == 0
    let known = Set(model.layout.slots.map(\.name) + model.buffers.map(\.name))
    unused = file.allNames.filter { !known.contains($0) }
    ignored = CheckpointNames.notes(on: unused.filter { !CheckpointNames.isOfTraining($0) }, in: file)
  }

  /// A checkpoint of Hugging Face.
  private init(
    _ file: Safetensors, path: String, configPath: String, catalog: Catalog, context: ExecutionContext
  ) throws {
    guard FileManager.default.fileExists(atPath: configPath) else {
      throw SafetensorsError(
        path: path, problem: "no attnlab checkpoint, and no \(configPath) that says what model it is")
    }
    let configuration = try HuggingFaceConfiguration(json: PretrainedModel.text(configPath), path: configPath)
    let stored = try file.renamed(path: path, configuration.plainName)
    var sources = configuration.sources
    let table = configuration.embeddingName, output = configuration.headNames.decoder
    // Of two tensors that share their memory some programs keep only one, under either name.
    if configuration.model.tied, stored.tensors[table] == nil, stored.tensors[output] != nil {
      sources["embedding.weight"] = HuggingFaceSource(name: output, part: .whole)
    }
    model = try TransformerModel(configuration.model, catalog: catalog, context: context) { layout, _ in
      (try layout.values(in: stored, sources, prefix: configuration.prefix, path: path), [])
    }
    var used = Set(sources.values.flatMap { [$0.name] + $0.others.map(\.name) })
    head = try MaskedLanguageHead(stored, configuration, path: path, used: &used)
    unused = stored.allNames.filter { !used.contains($0) }
    // A real tensor that nobody knows belongs to a model that is not this one; others are buffers.
    let unknown = unused.filter {
      stored.tensors[$0] != nil && stored.arrays[$0] == nil && !configuration.isIdle($0)
    }
    guard unknown.isEmpty else {
      throw SafetensorsError(
        path: path,
        problem: "\(unknown[0]) is no tensor of a \(configuration.family.rawValue) model of "
          + "\(configuration.model.layers) layers"
          + (unknown.count > 1 ? " (and \(unknown.count - 1) more)" : ""))
    }
    ignored = CheckpointNames.notes(on: unused, in: stored).map { name in
      let differs =
        name == output && configuration.model.tied
        && stored.tensors[output].map { $0.array() } != stored.tensors[table].map { $0.array() }
      return differs
        ? "\(name) (tied in \(configPath), but other numbers than \(table), which is used)" : name
    }
    family = configuration.family.rawValue
    paddingToken = configuration.firstPosition > 0 ? Int32(configuration.firstPosition - 1) : nil
    predicts = configuration.family.isDecoder || head != nil
  }

  /// The weights of a folder, in one file or in the shards that an index lists.
  private static func weights(in folder: String) throws -> Safetensors {
    let single = folder + "/model.safetensors", index = single + ".index.json"
    // A training that is not finished has its checkpoint alone.
    for file in [single, folder + "/checkpoint.safetensors"]
    where FileManager.default.fileExists(atPath: file) {
      return try Safetensors(contentsOf: file)
    }
    guard FileManager.default.fileExists(atPath: index) else {
      throw SafetensorsError(
        path: folder,
        problem: "no model.safetensors in this folder (other formats, such as .bin, are not read)")
    }
    let json = try text(index)
    let map: [JSONValue.Member]
    do throws(JSONError) {
      map = try JSONValue(parsing: json)["weight_map"].members
    } catch {
      throw SafetensorsError(path: index, problem: "\(error)")
    }
    let shards = Set(map.compactMap(\.value.stringValue)).sorted()
    guard !shards.isEmpty else {
      throw SafetensorsError(path: index, problem: "no weight_map of names to files")
    }
    var whole = Safetensors()
    let owners = Dictionary(map.map { ($0.key, $0.value.stringValue) }) { first, _ in first }
    for shard in shards {
      guard !shard.contains("/"), shard.hasSuffix(".safetensors") else {
        throw SafetensorsError(
          path: index, problem: "\(JSONValue.quote(shard)) is no name of a .safetensors file")
      }
      let path = folder + "/" + shard
      guard FileManager.default.fileExists(atPath: path) else {
        throw SafetensorsError(
          path: path, problem: "no such file; \(index) names it as one of \(counted(shards.count, "shard"))")
      }
      let part = try Safetensors(contentsOf: path), held = Set(part.allNames)
      if let missing = owners.keys.sorted().first(where: { owners[$0] == shard && !held.contains($0) }) {
        throw SafetensorsError(
          path: path, problem: "no tensor \(shown(missing)), which \(index) says is in it")
      }
      if let other = part.allNames.first(where: { owners[$0] != shard }) {
        throw SafetensorsError(
          path: path,
          problem: "\(shown(other)) is in it, but \(index) "
            + (owners[other].map { "says that it is in \(shown($0 ?? "null"))" } ?? "does not name it"))
      }
      whole.merge(part)
    }
    return whole
  }

  /// The bytes of a JSON file: longer than any that a person writes, shorter than weights.
  fileprivate static func text(_ path: String) throws(SafetensorsError) -> [UInt8] {
    do { return try InputFile.bytes(path, atMost: 16 << 20) } catch {
      throw SafetensorsError(path: error.path, problem: error.problem)
    }
  }
}

extension ModelConfiguration {
  /// The metadata of a file of this program: its own, or, where another program has dropped it, what `config.json` beside it
  /// says; `nil`: the file is of another program.
  /// - Throws: `SafetensorsError` for a `config.json` that cannot be read.
  fileprivate static func metadata(
    of file: Safetensors, _ configPath: String
  ) throws(SafetensorsError) -> [String: String]? {
    if file.metadata["format"] == modelType { return file.metadata }
    guard FileManager.default.fileExists(atPath: configPath) else { return nil }
    let text = try PretrainedModel.text(configPath), root: JSONValue
    do throws(JSONError) { root = try JSONValue(parsing: text) } catch {
      throw SafetensorsError(path: configPath, problem: "\(error)")
    }
    guard root["model_type"].stringValue == modelType else { return nil }
    var metadata = ["format": modelType]
    for member in root["model"].members {
      metadata["model.\(member.key)"] = member.value.stringValue ?? member.value.compact
    }
    return metadata
  }
}

extension HuggingFaceConfiguration {
  /// The name of the embedding's table.
  var embeddingName: String {
    switch family {
    case .gpt2: "wte.weight"
    case .mamba2: "embeddings.weight"
    default: family.isDecoder ? "embed_tokens.weight" : "embeddings.word_embeddings.weight"
    }
  }

  /// A stored name without the trunk's prefix and with today's name for norms (old checkpoints say gamma and beta).
  func plainName(_ name: String) -> String {
    let plain = name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name
    for (old, new) in [("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")]
    where plain.hasSuffix(old) {
      return String(plain.dropLast(old.count)) + new
    }
    return plain
  }
}

extension ParameterLayout {
  /// The parameters of a Hugging Face file, in the order of the layout.
  /// - Throws: `SafetensorsError`; every shape is compared before anything is allocated.
  fileprivate func values(
    in stored: Safetensors, _ sources: [String: HuggingFaceSource], prefix: String, path: String
  ) throws -> Tensor {
    func source(_ slot: ParameterSlot) throws(SafetensorsError) -> HuggingFaceSource {
      guard let source = sources[slot.name] else {
        throw SafetensorsError(
          path: path, problem: "\(slot.name) has no counterpart in this family of models")
      }
      guard stored.tensors[source.name] != nil || stored.foreignType(of: source.name) != nil else {
        throw SafetensorsError(
          path: path,
          problem: "no tensor \(prefix)\(source.name) (for \(slot.name)); is the checkpoint whole?")
      }
      return source
    }
    for slot in slots {
      let source = try source(slot)
      _ = try stored.tensor(source.name, shape: source.storedShape(of: slot.shape), path: path)
    }
    var weights = try Tensor(zeros: [count]), checked: Set<String> = []
    for slot in slots {
      let source = try source(slot), shape = source.storedShape(of: slot.shape)
      // Of a tensor that many parameters are parts of the elements are looked through once.
      let tensor =
        try checked.insert(source.name).inserted
        ? stored.finiteTensor(source.name, shape: shape, path: path)
        : stored.tensor(source.name, shape: shape, path: path).contiguous()
      let part: Tensor
      if case .combined(_, let others, let make) = source.part {
        part = try make(
          [tensor] + others.map { try stored.finiteTensor($0.name, shape: $0.shape, path: path) })
      } else {
        part = try source.take(from: tensor, shape: slot.shape)
      }
      precondition(part.shape == slot.shape, "\(slot.name): \(part.shape) in the place of \(slot.shape)")
      weights.replace(from: slot.offset, with: part)
    }
    return weights
  }
}

extension HuggingFaceSource {
  /// The part of a stored tensor that is a parameter of a shape.
  /// - Precondition: the stored tensor has the shape `storedShape(of: shape)`.
  fileprivate func take(from tensor: Tensor, shape: [Int]) throws -> Tensor {
    switch part {
    case .made(_, let make): return try make(tensor)
    case .combined: preconditionFailure("it is made of several")
    case .whole: return tensor
    case .onePlus:
      var raised = tensor
      for place in 0..<raised.count { raised[place] += 1 }
      return raised
    case .transposed: return shape.count == 2 ? tensor.transposed(0, 1) : tensor
    case .third(let index):
      let range = index * shape[0]..<(index + 1) * shape[0]
      let third = tensor.narrowed(axis: shape.count - 1, to: range)
      return shape.count == 2 ? third.transposed(0, 1) : third
    case .linearThird(let index):
      return tensor.narrowed(axis: 0, to: index * shape[0]..<(index + 1) * shape[0])
    case .first: return tensor.reshaped(shape)
    case .patches: return tensor.transposed(1, 2).transposed(2, 3).reshaped(shape)
    case .rows(let first): return tensor.narrowed(axis: 0, to: first..<first + shape[0])
    }
  }
}
