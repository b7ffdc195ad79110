import Attention
import AttentionCore
import Basics
import Settings
import Tensors

/// The strided pattern of the Sparse Transformer: the last `stride` keys, and every `stride`-th key before them.
///
/// One file says what a query may see, twice: `multiplicity` by the definition, one pair at a time, and `pattern` in
/// closed form, by tiles. `mylab check strided` compares the two, the output with a Double reference, the gradients,
/// and the rest.
/// - Source: Child et al., 2019, Generating Long Sequences with Sparse Transformers.
struct StridedAttention: PatternVariant {
  struct Configuration: VariantConfiguration {
    var stride = 64

    static let parameters: [Parameter<Self>] = [
      .integer(
        "stride", \.stride, in: 1...65536, unit: "tokens",
        help: "Keys seen one by one, and the step beyond them")
    ]
    /// Small enough to matter at the lengths of the check.
    static var samples: [Self] {
      var small = Configuration()
      small.stride = 12
      return [small]
    }

    /// None can be dropped, and earlier rows stay what they were: a decoder may keep its cache.
    func evictableKeys(of count: Int) -> Range<Int>? { 0..<0 }

    func validate(for shape: AttentionShape) throws(ConfigurationError) {
      guard shape.isCausal else {
        throw ConfigurationError(
          field: "causal", value: "false", allowed: "true: the strided pattern looks back")
      }
    }
  }

  static let card = VariantCard(
    id: "strided", title: "Strided (Sparse Transformer)",
    paper: "Child et al., 2019, Generating Long Sequences with Sparse Transformers",
    idea: "The last few keys one by one, and every stride-th key before them.",
    equation: "oᵢ = Σⱼ softmaxⱼ(qᵢ·kⱼ/√d) vⱼ,  i−j < stride  or  stride | i−j")

  let configuration: Configuration
  let shape: AttentionShape
  let pattern: TilePattern

  init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey) throws(ConfigurationError) {
    self.configuration = configuration
    self.shape = shape
    pattern = TilePattern(shared: Self.tiles(stride: configuration.stride, shape))
  }

  func multiplicity(batch: Int, head: Int, query: Int, key: Int) -> Int {
    let distance = query + shape.queryOffset - key
    return distance >= 0 && (distance < configuration.stride || distance % configuration.stride == 0) ? 1 : 0
  }

  /// Rows in order, for the last keys; then rows of one residue, which share every `stride`-th key. The engine joins the
  /// two softmaxes of a row.
  private static func tiles(stride: Int, _ shape: AttentionShape) -> TileList {
    var list = TileList()
    let lanes = TileList.lanes
    for row in Swift.stride(from: 0, to: shape.queryLength, by: lanes) {
      let count = min(lanes, shape.queryLength - row)
      let first = row + shape.queryOffset
      let begin = max(0, first - stride + 1)
      let end = min(shape.keyLength, first + count)
      guard begin < end else { continue }
      let band = TileList.Mask.band(low: 0, high: Int32(stride - 1))
      list.addTile(start: row, count: count, segments: [.init(start: begin, count: end - begin, mask: band)])
    }
    for residue in 0..<min(stride, shape.queryLength) {
      for row in Swift.stride(from: residue, to: shape.queryLength, by: stride * lanes) {
        let count = min(lanes, (shape.queryLength - row + stride - 1) / stride)
        let last = row + (count - 1) * stride + shape.queryOffset
        guard last >= stride else { continue }
        let begin = last % stride
        list.addTile(
          start: row, count: count, stride: stride,
          segments: [
            .init(
              start: begin, count: (last - stride - begin) / stride + 1, stride: stride,
              mask: .band(low: Int32(stride), high: Int32.max))
          ])
      }
    }
    return list
  }
}
