import ArrayFiles

/// Names of tensors as other programs write them.
package enum CheckpointNames {
  /// Without what PyTorch's wrappers put into names: `_orig_mod` of `torch.compile` anywhere, `module` of
  /// `DistributedDataParallel` at the start.
  package static func withoutWrappers(_ name: String) -> String {
    var parts = name.split(separator: ".", omittingEmptySubsequences: false)[...]
    parts.removeAll { $0 == "_orig_mod" }
    while parts.count > 1, parts.first == "module" { parts.removeFirst() }
    return parts.joined(separator: ".")
  }

  /// Whether a tensor of a file of this program is none of the model's weights: of a training, or a copy of the output
  /// weights where those are the embedding's.
  static func isIdle(_ name: String, in configuration: ModelConfiguration) -> Bool {
    isOfTraining(name) || (configuration.tied && name == "output.weight")
  }

  /// Whether a tensor belongs to a training: an optimiser's moments, or what layers keep of earlier segments.
  package static func isOfTraining(_ name: String) -> Bool {
    name.hasPrefix("optimizer.") || name.hasPrefix("memory.")
  }

  /// Tensors that are not used, with what tells them apart from weights.
  package static func notes(on names: [String], in file: Safetensors) -> [String] {
    names.map { name in file.foreignType(of: name).map { "\(name) (\($0))" } ?? name }
  }
}
