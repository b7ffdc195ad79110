/// What a Transformer over images learns without labels. Part of a model's configuration, which declares the settings.
public struct PretextConfiguration: Hashable, Sendable {
  /// What it learns.
  public enum Kind: String, CaseIterable, Hashable, Sendable {
    /// Labels.
    case none
    /// Nothing: a linear probe on the trunk as it was drawn, to compare others with.
    case frozen
    /// The pixels of hidden patches.
    case masked
    /// Which two views are of one image.
    case contrastive
  }

  /// What it learns.
  public var kind = Kind.none
  /// The share of patches that are hidden.
  public var maskShare = 0.6
  /// What cosines are divided by.
  public var temperature = 0.2
  /// The least side of a view, as a share of the image's.
  public var crop = 0.6
  /// How far a view is moved at most, as a share of the image's side.
  public var shift = 0.1
  /// The standard deviation of a view's noise.
  public var noise = 0.1

  /// The defaults.
  public init() {}

  /// Images that the trunk reads and learns from, for each of a batch.
  public var passes: Int {
    switch kind {
    case .none, .masked: 1
    case .frozen: 0
    case .contrastive: 2
    }
  }
}
