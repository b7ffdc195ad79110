import AttentionCore
import Basics
import Settings
import Tensors

/// Luong's attention: three scores, over all keys, a fixed window, or a window whose place every query predicts.
///
/// Scores, times the scale that a shape gives, else 1: `dot` q·k; `general` q·W_a k, W_a of every head; `concat` w·tanh(q + k), whose W is in the
/// projections of q and k.
///
/// Keys: `global` all; `local-m` those from `i − D` to `i + D`; `local-p` those from `⌊p_i⌋ − D` to `⌊p_i⌋ + D` around
/// `p_i = S·σ(v·tanh(u_i))`, S the keys that the row can see, u a projection of the layer's input (W_p h). The softmax of
/// `local-p` goes over the window; its weights are then multiplied by `exp(−(j − p_i)²/(2σ²))` and do not sum to 1. The
/// gradient of p comes through that Gaussian alone.
///
/// In a causal shape windows end at the query, and S is the number of keys up to it.
/// - Complexity: `global` O(n²·d), windows O(n·D·d) time; O(n·d) memory.
/// - Source: Luong, Pham and Manning, 2015, sections 3.1 and 3.2.
public struct Luong: AttentionVariant {
  /// How a query and a key make a score.
  public enum Score: String, CaseIterable, Sendable {
    /// q·k.
    case dot
    /// q·W k.
    case general
    /// w·tanh(q + k).
    case concat
  }

  /// Which keys a query sees.
  public enum Alignment: String, CaseIterable, Sendable {
    /// All.
    case global
    /// A window around its own position.
    case monotonic = "local-m"
    /// A window around a position that it predicts.
    case predictive = "local-p"
  }

  /// Score and window.
  public struct Configuration: VariantConfiguration {
    /// How a query and a key make a score.
    public var score = Score.dot
    /// Which keys a query sees.
    public var align = Alignment.global
    /// D: keys on both sides of a window's middle.
    public var window = 10
    /// σ of the Gaussian; `nil`: D/2.
    public var sigma: Double?

    /// The defaults.
    public init() {}

    /// Creates settings.
    public init(score: Score = .dot, align: Alignment = .global, window: Int = 10, sigma: Double? = nil) {
      (self.score, self.align, self.window, self.sigma) = (score, align, window, sigma)
    }

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .choice(
        "score", \.score,
        help: "Score of a query and a key: q·k, q·Wk, or w·tanh(q + k); products are not scaled"),
      .choice(
        "align", \.align,
        help: "Keys of a query: all, a window around its own position, or one around a predicted position"),
      .integer(
        "window", \.window, in: 1...(1 << 24), unit: "keys", help: "D, keys on each side of a window's middle"
      ),
      .optionalReal(
        "sigma", \.sigma, in: 0.001...1e12, unit: "keys",
        help: "σ of the Gaussian around a predicted position; none: D/2"),
    ]

    /// Every score and every alignment.
    public static let samples = [
      Configuration(score: .general), Configuration(score: .concat, align: .monotonic, window: 7),
      Configuration(align: .monotonic, window: 20), Configuration(align: .predictive, window: 5),
      Configuration(score: .general, align: .predictive, window: 12, sigma: 20),
      Configuration(score: .concat, align: .predictive, window: 3),
    ]

    /// With a window around its own position a later query reaches back D keys, with others to the first.
    public func evictableKeys(of count: Int) -> Range<Int>? {
      align == .monotonic ? 0..<max(0, count - window) : 0..<0
    }

    /// A predicted position is a share of the sequence's length; all else is a distance.
    public var goesByDistance: Bool { align != .predictive }

    /// Products are not scaled.
    public var wiring: LayerWiring { LayerWiring(scalesProducts: false) }

    /// σ in force.
    var effectiveSigma: Double { sigma ?? Double(window) / 2 }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "luong", title: "Luong's global and local attention",
    paper:
      "Luong, Pham and Manning, 2015, Effective Approaches to Attention-based Neural Machine Translation",
    idea:
      "Three scores; all keys, a window around the query, or a window around a place that the query predicts.",
    equation:
      "oᵢ = Σⱼ softmaxⱼ(s(qᵢ, kⱼ)) gᵢⱼ vⱼ,  gᵢⱼ = exp(−(j−pᵢ)²/2σ²) in local-p,  pᵢ = S·σ(v·tanh uᵢ)",
    dependsOnData: true)

  /// W of the general score, `[heads, d, d]`.
  static let matrix = Operand(
    "score_matrix", [.queryHeads, .headDim, .headDim], .learned(.normal(0.1)), help: "W of the score q·Wk")
  /// u, `[batch, heads, n, d]`.
  static let windowQuery = Operand(
    "window_query", [.batch, .queryHeads, .queries, .headDim], .projected(like: nil),
    help: "u, of which a query's window is predicted")
  /// v of the prediction, `[heads, d]`.
  static let windowWeight = Operand(
    "window_weight", [.queryHeads, .headDim], .learned(.normal(0.1)), help: "v of p = S·σ(v·tanh u)")

  /// q, k and v, and what score and window read.
  public static func operands(_ configuration: Configuration) -> [Operand] {
    let scored: [Operand] =
      switch configuration.score {
      case .dot: []
      case .general: [matrix]
      case .concat: [SoftmaxSettings.energy]
      }
    return Operand.standard + scored
      + (configuration.align == .predictive ? [windowQuery, windowWeight] : [])
  }

  /// The configuration in force.
  public let configuration: Configuration
  /// The shape planned for.
  public let shape: AttentionShape
  /// The keys of a query that are known before q; `nil` where they are predicted.
  let base: (any PatternVariant)?

  /// Plans for a shape.
  public init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey)
    throws(ConfigurationError)
  {
    self.configuration = configuration
    self.shape = shape
    switch configuration.align {
    case .global: base = try FullAttention(.init(), for: shape, key: key)
    case .monotonic:
      base = try SlidingWindow(
        .init(left: PerHead(configuration.window), right: PerHead(configuration.window)), for: shape, key: key
      )
    case .predictive: base = nil
    }
  }

  /// The factor on products of q and k: 1 unless the shape gives one.
  var scale: Double { shape.scale ?? 1 }

  /// Bytes of the tile lists.
  public var planBytes: Int { base?.planBytes ?? 0 }

  /// Plans a pass.
  /// - Throws: `MemoryLimitExceeded`.
  public func prepare(for pass: PassKind, in context: ExecutionContext) throws {
    guard let base else { return }
    try Engine.prepare(
      pass == .backward ? base.backwardPattern : base.pattern, for: pass, shape: shape,
      staged: configuration.score == .concat, in: context)
  }

  /// Output and LSE.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    inputs.check(operands, at: shape)
    guard let matrix = inputs[Self.matrix.name] else { return try aligned(inputs, in: context) }
    let query = inputs.query
    return try aligned(try turned(inputs, in: context), in: context).turningBack { gradient, context in
      var result = gradient
      result[Self.matrix.name] = try HeadProducts.gradient(query, gradient.query, in: context)
      result.query = try HeadProducts.rows(gradient.query, matrix, .transposed, in: context)
      return result
    }
  }

  /// The same with Wᵀq for q under the general score: q·Wk = (Wᵀq)·k, and queries are fewer than the pairs.
  private func turned(_ inputs: Operands, in context: ExecutionContext) throws -> Operands {
    guard let matrix = inputs[Self.matrix.name] else { return inputs }
    var turned = inputs
    turned.query = try HeadProducts.rows(inputs.query, matrix, in: context)
    return turned
  }

  /// Those of the softmax over the keys of the alignment: of a predicted window before its Gaussian.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func statistics(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics? {
    let energy = inputs[SoftmaxSettings.energy.name]
    let score: PairScore =
      energy.map { .additive($0, dim: shape.headDim) } ?? .products(scale, dim: shape.headDim)
    let read = try turned(inputs, in: context)
    guard let base else {
      return try PredictedWindows(shape: shape, configuration: configuration, scale: scale).statistics(
        of: read, energy: energy, score, in: context)
    }
    return try TileStatistics(shape: shape, pattern: base.pattern, score: score).rows(of: read, in: context)
  }

  /// The pass over the keys of the alignment, with the score of q and k as they are here.
  private func aligned(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    let energy = configuration.score == .concat ? inputs[SoftmaxSettings.energy.name] : nil
    let scale = energy == nil ? scale : 1
    guard let base else {
      return try PredictedWindows(shape: shape, configuration: configuration, scale: scale).forward(
        inputs, energy: energy, in: context)
    }
    return try Engine.attend(
      inputs, ScoreStages(energy: energy), shape: shape, scale: scale, pattern: base.pattern,
      backwardPattern: { base.backwardPattern }, in: context
    ) { energy, _, _ in energy.map { [SoftmaxSettings.energy.name: $0] } ?? [:] }
  }
}
