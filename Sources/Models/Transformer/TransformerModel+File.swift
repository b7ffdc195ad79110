import ArrayFiles
import AttentionCore
import Layers
import Tensors

extension TransformerModel {
  /// Writes the model alone, for other programs and `attnlab forward`.
  /// - Throws: `SafetensorsError`; `TrainingDiverged` when a weight is not finite: an earlier file stays as it is.
  public func save(to path: String) throws {
    guard isFinite else { throw TrainingDiverged(step: nil, what: "weights") }
    try Safetensors(tensors: namedWeights(), metadata: metadata).write(to: path)
  }

  /// Reads a model, or the model of a training checkpoint.
  /// - Throws: `SafetensorsError`, `ConfigurationError`.
  public convenience init(
    contentsOf path: String, catalog: Catalog, context: ExecutionContext = .recycling()
  ) throws {
    let file = try Safetensors(contentsOf: path).renamed(path: path, CheckpointNames.withoutWrappers)
    let configuration = try ModelConfiguration(metadata: file.metadata, path: path, in: catalog)
    try self.init(configuration, catalog: catalog, context: context) { layout, buffers in
      try layout.values(in: file, buffers, configuration, path: path)
    }
  }
}
