import AttentionCore
import Layers
import Settings
import Vision

extension ModelConfiguration {
  /// Whether a row before the patches gathers what a class is told from.
  public var hasClassToken: Bool { kind == .vit && pooling == .first }

  /// Rows of the longest sequence that attention reads: of kind vit patches, of one frame where time is apart.
  public var longestSequence: Int {
    guard kind == .vit else { return layer.maximumLength }
    let patches = images.video == .divided ? images.patchesPerFrame : images.grid.count
    return patches + (hasClassToken ? 1 : 0)
  }

  /// Whether images can be cut into patches, and the layers can read them.
  /// - Throws: `ConfigurationError`.
  func checkImages(in catalog: Catalog) throws(ConfigurationError) {
    try checkConvolutions()
    guard kind == .vit else {
      return try require(
        pretext.kind == .none, "pretext", pretext.kind.rawValue, "none unless kind is vit")
    }
    try require(layer.features > 0, "kind", kind.rawValue, "another for a task whose rows are no pixels")
    try images.validate()
    try images.check(layerAttention(), in: catalog, hasClassToken: hasClassToken)
    try require(
      layer.position != .sinusoidal || layer.width % 4 == 0, "width", layer.width,
      "a multiple of 4 with position sinusoidal of kind vit, which has two dimensions")
    try require(
      images.video == .joint || layer.residual == .pre, "residual", layer.residual.rawValue,
      "pre with video divided")
    try require(
      pretext.kind == .none || pooling == .mean || pooling == .first, "pooling", pooling.rawValue,
      "mean or first with pretext \(pretext.kind.rawValue), whose probe is linear")
    try require(
      pretext.kind == .none || layer.outputWidth == layer.width, "reversible_output",
      layer.reversibleOutput.rawValue, "mean with pretext \(pretext.kind.rawValue)")
  }

  /// Mechanisms that are settings of a model, not variants of attention.
  public static let cards =
    PatchConfiguration.cards + PretextConfiguration.cards + ConvolutionalConfiguration.cards

  /// Whether the settings of networks on images fit the kind of model.
  /// - Throws: `ConfigurationError`.
  func checkConvolutions() throws(ConfigurationError) {
    guard kind == .cnn else {
      let standard = ConvolutionalConfiguration()
      for parameter in ConvolutionalConfiguration.parameters {
        let value = parameter.get(cnn), usual = parameter.get(standard)
        try require(value == usual, parameter.name, "\(value)", "\(usual) unless kind is cnn")
      }
      return
    }
    try require(
      layer.features > 0, "features", "0", "the channels of the images, at least 1, with kind cnn")
    try require(classes > 0, "kind", "cnn", "another for a task that is no classification")
    try require(
      attention == ModelConfiguration().attention, "attention", attention,
      "full with kind cnn, whose attention is channel_attention")
    try cnn.validate()
  }
}
