/// How a layer is wired around a variant: what makes its rows, and what becomes of its heads.
public struct LayerWiring: Hashable, Sendable {
  /// What becomes of the heads' outputs.
  public enum Output: String, CaseIterable, Hashable, Sendable {
    /// Side by side, through a linear map with a bias: a Transformer's layer.
    case projected
    /// Side by side, plus a bias (GAT).
    case concat
    /// Their mean, plus a bias; every head is as wide as the layer (the last layer of GAT).
    case mean
  }

  /// What becomes of the heads' outputs.
  public var output: Output
  /// Whether the rows of q are those of k: one map makes both.
  public var queryIsKey: Bool
  /// Whether rows of v are made; else nobody reads them.
  public var makesValue: Bool
  /// Whether rows of k are read; else they are made for nobody, as for hashes of a shared query–key.
  public var readsKey: Bool
  /// Whether products of q and k are scaled by 1/√d; else by what the variant does of itself.
  public var scalesProducts: Bool

  /// A Transformer's layer where nothing else is said.
  public init(
    output: Output = .projected, queryIsKey: Bool = false, makesValue: Bool = true, readsKey: Bool = true,
    scalesProducts: Bool = true
  ) {
    (self.output, self.queryIsKey, self.makesValue) = (output, queryIsKey, makesValue)
    (self.readsKey, self.scalesProducts) = (readsKey, scalesProducts)
  }

  /// Whether q, k and v are rows of their own, all of them made and read: what is stored of them, or made of latent rows in their
  /// place, then means what it does in a Transformer.
  public var hasOwnRows: Bool { !queryIsKey && makesValue && readsKey }
}
