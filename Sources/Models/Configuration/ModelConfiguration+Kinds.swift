extension ModelConfiguration {
  /// Which stacks there are.
  public enum Kind: String, CaseIterable, Hashable, Sendable {
    /// Causal blocks (GPT-like).
    case decoder
    /// Bidirectional blocks (BERT-like).
    case encoder
    /// Bidirectional blocks read the source, causal blocks with cross-attention write the target.
    case encoderDecoder = "encoder-decoder"
    /// Bidirectional blocks read the source, others the tokens; co-attention tells a class of both.
    case pair
    /// Bidirectional blocks over the patches of images (ViT) or videos.
    case vit
    /// A residual network of convolutions over the pixels of images.
    case cnn

    /// Whether there is a source.
    package var hasSource: Bool { self == .encoderDecoder || self == .pair }
    /// Whether the trunk reads the pixels of images itself.
    package var readsImages: Bool { self == .vit || self == .cnn }
    /// Whether the main stack sees what follows.
    var isBidirectional: Bool { self == .encoder || self == .pair || readsImages }
  }

  /// What stands before the first segment of a text where layers keep earlier segments.
  public enum EmptyMemory: String, CaseIterable, Hashable, Sendable {
    /// Nothing (the authors' code).
    case absent
    /// As many rows of zeros as are kept, which attention sees (Hugging Face's code).
    case zeros
  }

  /// What becomes of stored pairs where a text begins.
  public enum StoredTexts: String, CaseIterable, Hashable, Sendable {
    /// They are forgotten (the paper).
    case forget
    /// They stay, until later ones take their room.
    case keep
  }
}
