import Layers

/// How documents are read in two levels. Part of a model's configuration, which declares the settings.
public struct HierarchyConfiguration: Hashable, Sendable {
  /// What a document is to the model.
  public enum Kind: String, CaseIterable, Hashable, Sendable {
    /// One sequence.
    case none
    /// Words make a segment, segments the document, each by attention to a learned query (Yang et al., 2016).
    case han
    /// Blocks inside segments, and blocks across the first tokens of all segments (Chalkidis et al., 2022).
    case hat
  }
  /// What reads the rows of a level of `han`.
  public enum Encoder: String, CaseIterable, Hashable, Sendable {
    /// Gated recurrent units in both directions.
    case gru
    /// Transformer blocks.
    case blocks
  }

  /// What a document is to the model.
  public var kind = Kind.none
  /// Where segments end.
  public var segmentation = Segmentation()
  /// Layers of the upper level; 0: as many as of the lower one.
  public var segmentLayers = 0
  /// What reads the rows of a level of `han`.
  public var encoder = Encoder.gru

  /// The defaults.
  public init() {}

  /// The most segments that a document of so many tokens may have.
  func mostSegments(of tokens: Int) -> Int {
    segmentation.separator >= 0 || segmentation.length == 0
      ? tokens : (tokens + segmentation.length - 1) / segmentation.length
  }
}
