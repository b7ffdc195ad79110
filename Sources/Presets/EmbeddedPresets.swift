/// The presets that the program carries within itself: a copied binary has them without any file beside it.
///
/// `Embedded/` holds a link to each file of `Experiments/`.
package enum EmbeddedPresets {
  /// What stands before the name where the path of a preset's file is meant.
  package static let folder = "attnlab:Experiments"

  /// The path by which the program calls an embedded preset.
  package static func file(_ name: String) -> String { "\(folder)/\(name).yaml" }

  /// Whether a path is that of an embedded preset.
  package static func holds(_ file: String) -> Bool { text(of: file) != nil }

  /// The text of an embedded preset; `nil`: the path is of none.
  package static func text(of file: String) -> String? {
    guard file.hasPrefix(folder + "/"), file.hasSuffix(".yaml") else { return nil }
    let name = String(file.dropFirst(folder.count + 1).dropLast(".yaml".count))
    return bytes[name].map { String(decoding: $0, as: UTF8.self) }
  }

  /// The names, in order.
  package static var names: [String] { bytes.keys.sorted() }

  private static let bytes: [String: [UInt8]] = [
    "alignment": PackageResources.alignment_yaml,
    "auxiliary": PackageResources.auxiliary_yaml,
    "channel-attention": PackageResources.channel_attention_yaml,
    "context-length": PackageResources.context_length_yaml,
    "context-read": PackageResources.context_read_yaml,
    "decoding": PackageResources.decoding_yaml,
    "distances": PackageResources.distances_yaml,
    "documents": PackageResources.documents_yaml,
    "extrapolation": PackageResources.extrapolation_yaml,
    "facts": PackageResources.facts_yaml,
    "graph-nodes": PackageResources.graph_nodes_yaml,
    "latent": PackageResources.latent_yaml,
    "long-past": PackageResources.long_past_yaml,
    "long-text": PackageResources.long_text_yaml,
    "lsh-hashes": PackageResources.lsh_hashes_yaml,
    "memory": PackageResources.memory_yaml,
    "mqar-window": PackageResources.mqar_window_yaml,
    "multi-scale": PackageResources.multi_scale_yaml,
    "needle-length": PackageResources.needle_length_yaml,
    "one-key": PackageResources.one_key_yaml,
    "own-pattern": PackageResources.own_pattern_yaml,
    "passkey-length": PackageResources.passkey_length_yaml,
    "patch-cost": PackageResources.patch_cost_yaml,
    "patch-size": PackageResources.patch_size_yaml,
    "pathfinder": PackageResources.pathfinder_yaml,
    "performance": PackageResources.performance_yaml,
    "quickstart": PackageResources.quickstart_yaml,
    "quickstart-training": PackageResources.quickstart_training_yaml,
    "ranks": PackageResources.ranks_yaml,
    "recall-state": PackageResources.recall_state_yaml,
    "recipes": PackageResources.recipes_yaml,
    "scaling-compute": PackageResources.scaling_compute_yaml,
    "scaling-data": PackageResources.scaling_data_yaml,
    "scaling-parameters": PackageResources.scaling_parameters_yaml,
    "scaling-time-memory": PackageResources.scaling_time_memory_yaml,
    "scores": PackageResources.scores_yaml,
    "selection": PackageResources.selection_yaml,
    "self-supervised": PackageResources.self_supervised_yaml,
    "sinks": PackageResources.sinks_yaml,
    "spans": PackageResources.spans_yaml,
    "stored": PackageResources.stored_yaml,
    "tracking": PackageResources.tracking_yaml,
    "variants": PackageResources.variants_yaml,
    "variants-text": PackageResources.variants_text_yaml,
    "video": PackageResources.video_yaml,
    "vit-attention": PackageResources.vit_attention_yaml,
  ]
}
