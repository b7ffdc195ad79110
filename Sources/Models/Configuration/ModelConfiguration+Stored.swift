import AttentionCore
import Layers
import Settings

extension ModelConfiguration {
  /// Whether the layers keep something of earlier segments, so that texts are read in order.
  public var keepsSegments: Bool { memory > 0 || layer.stored > 0 }

  /// Whether a layer can look up what earlier segments left: one that makes q, k and v apart, of a decoder.
  /// - Throws: `ConfigurationError`.
  func checkStored(in catalog: Catalog) throws(ConfigurationError) {
    let standard = ModelConfiguration()
    guard layer.stored > 0 else {
      try require(
        layer.storedLayer == 0, "stored_layer", "\(layer.storedLayer)", "0 unless stored is above 0")
      try require(
        layer.storedNearest == standard.storedNearest, "stored_nearest", "\(layer.storedNearest)",
        "\(standard.storedNearest) unless stored is above 0")
      return try require(
        storedTexts == standard.storedTexts, "stored_texts", storedTexts.rawValue,
        "\(standard.storedTexts.rawValue) unless stored is above 0")
    }
    let value = "\(layer.stored)"
    try require(kind == .decoder, "stored", value, "0 unless kind is decoder")
    try require(layer.latent == 0, "stored", value, "0 with latent, which makes keys of other rows")
    try require(layer.norm != .batch, "stored", value, "0 with norm batch, whose moments are of one segment")
    try require(
      layer.storedLayer <= layers, "stored_layer", "\(layer.storedLayer)", "at most the \(layers) layers")
    let all = try layerAttention()
    let attention = all[layer.storedLayer == 0 ? layers - 1 : layer.storedLayer - 1]
    let wiring = try catalog.operands(of: attention).wiring
    try require(
      wiring.hasOwnRows && wiring.output == .projected, "stored", value,
      "0 with \(attention), which makes no q, k and v of its own or does not read k")
    // The softmax over what is stored; its shape is that of a segment and a full store.
    let shape = try AttentionShape(
      queryHeads: layer.heads, keyHeads: layer.effectiveKeyHeads, queryLength: layer.maximumLength,
      keyLength: layer.stored, headDim: layer.headDim)
    let id = layer.storedNearest == 0 ? "full" : "top-k"
    try catalog.check(
      id, settings: layer.storedNearest == 0 ? [:] : ["keys": .int(layer.storedNearest)], for: shape)
  }
}
