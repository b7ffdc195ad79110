import AttentionCore

extension Catalog {
  /// The variants of this package, in the order in which they are shown.
  public static let standard = Catalog([
    FullAttention.self, FullMaterialized.self, SlidingWindow.self, GridWindow.self, LocalGlobal.self,
    RandomSparse.self,
    LSH.self,
    ChunkedAttention.self, Pyramid.self, AdaptiveSpan.self,
    Luong.self, TopKAttention.self, HardAttention.self, MoBA.self, NSA.self, Quest.self, DSA.self,
    GraphAttention.self,
    LinearAttention.self, Retention.self, GatedLinear.self, Mamba2.self, GatedDelta.self, KimiDelta.self,
    CustomAttention.self,
  ])
}
