import AttentionCore
import Layers
import Settings

extension ModelConfiguration {
  /// Whether the layers can have latent rows: whatever attends to them must read heads of q, k and v alone, since a decoder reads
  /// the latents in place of keys.
  /// - Throws: `ConfigurationError`.
  func checkLatent(in catalog: Catalog) throws(ConfigurationError) {
    guard layer.latent > 0 else {
      try require(layer.valueWidth == 0, "value_width", "\(layer.valueWidth)", "0 unless latent is above 0")
      try require(
        layer.latentEpsilon == 0, "latent_epsilon", "\(layer.latentEpsilon)", "0 unless latent is above 0")
      try require(
        layer.queryLatent == 0, "query_latent", "\(layer.queryLatent)", "0 unless latent is above 0")
      return try require(
        layer.ropeWidth == 0, "rope_width", "\(layer.ropeWidth)", "0 unless latent is above 0")
    }
    try require(
      layer.keyHeads == 0, "key_heads", "\(layer.keyHeads)", "0 with latent, whose heads share one row")
    try require(layer.position != .alibi, "position", "alibi", "others than alibi with latent")
    try require(
      layer.isRotary || layer.ropeWidth == 0, "rope_width", "\(layer.ropeWidth)",
      "0 unless position is rope or rope-interleaved")
    try require(layer.ropeWidth % 2 == 0, "rope_width", "\(layer.ropeWidth)", "an even number")
    for attention in try layerAttention() where try !catalog.operands(of: attention).isRecurrent {
      try require(
        catalog.takesLatent(attention), "attention", "\(attention)",
        "variants whose learned numbers are as wide as no head, and which make and read k and v, with latent")
    }
  }
}
