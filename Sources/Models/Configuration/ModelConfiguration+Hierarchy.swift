import Hierarchies
import Layers
import Settings

extension ModelConfiguration {
  /// Whether a document is one row behind the trunk.
  var poolsInTrunk: Bool { hierarchy.kind == .han }

  /// Whether the settings of a hierarchy and of what a class is told from fit each other.
  /// - Throws: `ConfigurationError`.
  func checkHierarchy() throws(ConfigurationError) {
    let name = hierarchy.kind.rawValue
    try require(
      kind != .pair || pooling == .mean, "pooling", pooling.rawValue,
      "the default with kind pair, which pools by co-attention")
    try require(
      kind != .pair || layer.outputWidth == layer.width, "reversible_output", layer.reversibleOutput.rawValue,
      "mean with kind pair")
    guard hierarchy.kind != .none else {
      return try require(
        pooling != .segments, "pooling", "segments", "mean, attention or first without a hierarchy")
    }
    try require(kind == .encoder, "hierarchy", name, "none unless kind is encoder")
    try require(layer.features == 0, "hierarchy", name, "none where features describe the rows")
    try require(
      hierarchy.segmentation.length > 0 || hierarchy.segmentation.separator >= 0, "segment_length", "0",
      "at least 1 with hierarchy \(name), or a separator")
    try require(
      layer.residual != .reversible, "residual", layer.residual.rawValue, "pre or post with hierarchy \(name)"
    )
    guard hierarchy.kind == .han else { return }
    try require(classes > 0, "hierarchy", name, "hat or none for a task that is no classification")
    try require(
      pooling == .mean, "pooling", pooling.rawValue,
      "the default with hierarchy han, which pools by attention")
    try require(
      hierarchy.encoder != .gru || layer.width % 2 == 0, "width", "\(layer.width)",
      "an even number with han_encoder gru")
  }
}
