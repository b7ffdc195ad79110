import AttentionCore
import Basics
import Settings
import Tensors

/// Attention whose heads learn how far they look back.
///
/// `o_i = Σ_j m_ij e^{s_ij} v_j / Σ_j m_ij e^{s_ij}`, `m_ij = clamp((z_h·S + R − x_ij)/R, 0, 1)`: keys up to the span z_h·S
/// count whole, those on the ramp of R keys behind it in part, others not at all; keys S away and farther never count. x is the
/// distance of query and key, 0 at the query's own position, or next to it where that is left out. `z [heads]` is learned; a
/// training holds it in [0, 1] and adds `penalty·S·mean(z)` of every layer to its loss.
///
/// The logarithm of m is a bias on scores, so a span costs what a window of z·S + R keys costs: tiles beyond it are not computed. At
/// the kinks of the ramp the gradient of z is that of the flat side.
/// - Complexity: O(n·(z·S + R)·d) time, O(n·(d + R)) memory.
/// - Source: Sukhbaatar et al., 2019, Adaptive Attention Span in Transformers.
public struct AdaptiveSpan: SoftmaxVariant {
  /// Sizes, start and penalty of spans.
  public struct Configuration: VariantConfiguration {
    /// S: the longest span.
    public var span = 1024
    /// R: keys over which the weight falls from 1 to 0.
    public var ramp = 32
    /// z of every head at the start.
    public var initial = 0.0
    /// What a training adds to its loss for a key of mean span.
    public var penalty = 2e-6
    /// Whether a query sees the key of its own position.
    public var current = true

    /// The defaults.
    public init() {}

    /// Creates settings.
    public init(
      span: Int = 1024, ramp: Int = 32, initial: Double = 0, penalty: Double = 2e-6, current: Bool = true
    ) {
      (self.span, self.ramp, self.initial) = (span, ramp, initial)
      (self.penalty, self.current) = (penalty, current)
    }

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer(
        "span", \.span, in: 1...(1 << 24), unit: "keys",
        help: "S, the longest span: keys this far away never count"
      ),
      .integer(
        "ramp", \.ramp, in: 1...1024, unit: "keys",
        help: "R, keys behind the span over which their weight falls from 1 to 0"),
      .real("initial", \.initial, in: 0...1, help: "z at the start, the span as a share of the longest"),
      .real(
        "penalty", \.penalty, in: 0...1e6, unit: "nats/key",
        help: "What a training adds to its loss for a key of mean span, in every layer"),
      .flag(
        "current", \.current,
        help: "Whether a query sees the key of its own position, as the original's does not"),
    ]

    /// Spans that end within short sequences, and one that does not.
    public static let samples = [
      Configuration(span: 60, ramp: 16, initial: 0.3), Configuration(span: 300, ramp: 1, initial: 0.1),
      Configuration(span: 40, ramp: 8, initial: 0.5, current: false),
    ]

    /// Whether a span can grow is not known, so all keys of the longest one are kept.
    public func evictableKeys(of count: Int) -> Range<Int>? {
      0..<max(0, count - (current ? span - 1 : span))
    }

    var spanRamp: SpanRamp { SpanRamp(span: span, ramp: ramp, nearest: current ? 0 : 1) }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "adaptive-span", title: "Adaptive span",
    paper: "Sukhbaatar et al., 2019, Adaptive Attention Span in Transformers",
    idea: "Every head learns how far back it looks; what lies beyond is not computed.",
    equation: "oᵢ = Σⱼ mᵢⱼ exp(sᵢⱼ) vⱼ / Σⱼ mᵢⱼ exp(sᵢⱼ),  mᵢⱼ = clamp((zS + R − |i−j|)/R, 0, 1)",
    dependsOnData: true)

  static let spanName: Operand.Name = "attention_span"

  /// q, k, v, and z.
  public static func operands(_ configuration: Configuration) -> [Operand] {
    Operand.standard + [
      Operand(
        spanName, [.queryHeads], .learned(.constant(Float(configuration.initial))), bounds: 0...1,
        meanPenalty: configuration.penalty * Double(configuration.span),
        help: "z, the span of a head as a share of the longest")
    ]
  }

  /// All: bfloat16 inputs are up-converted.
  public static var precisions: [Precision] { Precision.allCases }

  /// The engine adds one bias by distance.
  public static var reasonForProducts: String { "its ramp is what distance adds to products already" }

  /// A cap would bound the ramp, which is part of the score.
  public static let takesSoftcap = false

  /// The configuration in force.
  public let configuration: Configuration
  /// The shape planned for.
  public let shape: AttentionShape
  /// Patterns by the keys that heads see: those of a step serve the next one, for spans change slowly.
  private let patterns: PatternCache
  private let ownsPatterns: Bool

  /// Plans for a shape.
  /// - Throws: `ConfigurationError` for a soft cap.
  public init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey)
    throws(ConfigurationError)
  {
    try self.init(configuration, for: shape, key: key, sharing: nil)
  }

  /// Plans for a shape, with the patterns that other variants of one owner have, too.
  /// - Throws: `ConfigurationError` for a soft cap.
  public init(
    _ configuration: Configuration, for shape: AttentionShape, key: RandomKey, sharing patterns: PatternCache?
  ) throws(ConfigurationError) {
    if let softcap = shape.softcap {
      throw ConfigurationError(
        field: "softcap", value: "\(softcap)",
        allowed: "none with adaptive-span: it would bound how little a key on the ramp counts")
    }
    (self.configuration, self.shape) = (configuration, shape)
    self.patterns = patterns ?? PatternCache(limitBytes: 8 << 20)
    ownsPatterns = patterns == nil
  }

  /// Bytes of the tile lists that were made.
  public var planBytes: Int { ownsPatterns ? patterns.ledger.currentBytes : 0 }

  /// z of every head at the start.
  private var initialSpans: [Double] {
    [Double](repeating: Double(Float(configuration.initial)), count: shape.queryHeads)
  }

  /// Plans a pass with the spans of the start.
  /// - Throws: `MemoryLimitExceeded`.
  public func prepare(for pass: PassKind, in context: ExecutionContext) throws {
    try Engine.prepare(
      pattern(initialSpans, pass), for: pass, shape: shape, staged: true, in: context)
  }

  /// The keys of every head.
  func pattern(_ spans: [Double], _ pass: PassKind) -> TilePattern {
    let ramp = configuration.spanRamp
    let reaches = spans.map { ramp.reach($0) }
    let isShared = Set(reaches).count <= 1
    let rows = ramp.band(reaches.max() ?? 0).tileRows(pass)
    let part = "\(isShared ? Array(reaches.prefix(1)) : reaches) keys, \(rows) rows"
    return patterns.pattern(.init(AdaptiveSpan.self, configuration, shape: shape, part: part)) {
      var made: [Int: TileList] = [:]
      let lists = (isShared ? Array(reaches.prefix(1)) : reaches).map { reach in
        let list = made[reach] ?? ramp.tiles(reach, shape, tileRows: rows)
        made[reach] = list
        return list
      }
      return isShared ? TilePattern(shared: lists[0]) : TilePattern(perHead: lists)
    }
  }

  private func spans(_ inputs: Operands) -> [Double] {
    guard let tensor = inputs[Self.spanName] else { preconditionFailure("\(Self.spanName) is missing") }
    return tensor.array().map { Double($0) }
  }

  /// The keys that these spans reach.
  public func pattern(for inputs: Operands, in context: ExecutionContext) -> TilePattern {
    pattern(spans(inputs), .forward)
  }

  /// Output and LSE.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    inputs.check(operands, at: shape)
    let spans = spans(inputs), ramp = configuration.spanRamp, name = Self.spanName
    var stages = ScoreStages()
    stages.bias = try ramp.table(spans, shape: shape, ledger: context.ledger)
    return try Engine.attend(
      inputs, stages, shape: shape, scale: scale, pattern: pattern(spans, .forward),
      backwardPattern: { pattern(spans, .backward) }, in: context
    ) { _, sums, context in
      guard let sums = try sums?.summedByHead(in: context).array() else { return [:] }
      let gradient = ramp.gradient(spans, of: sums)
      return [name: try Tensor(gradient, shape: [spans.count], ledger: context.ledger)]
    }
  }

  /// Those over the keys that spans reach, log m in their scores.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func statistics(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics? {
    let spans = spans(inputs), ramp = configuration.spanRamp
    var statistics = TileStatistics(shape: shape, scale: scale, pattern: pattern(spans, .forward))
    statistics.bias = { ramp.bias(spans[$0], ramp.distance($1)) }
    return try statistics.rows(of: inputs, in: context)
  }

  /// The cost of spans as they are at the start.
  /// - Complexity: O(tiles + segments).
  public func cost(of pass: PassKind) -> Cost {
    let pattern = pattern(initialSpans, pass)
    var cost = Engine.cost(
      of: pass, shape: shape, operands: operands, pattern: pattern,
      neededPairs: pattern.neededPairs(at: shape), stateBytes: stateBytes)
    cost.flops += (pass == .backward ? 2 : 1) * (cost.neededPairs ?? 0)
    cost.workspaceBytes +=
      DistanceBias.byteCount(shape, perHead: true)
      + ScoreStages.workspaceBytes(of: pass, shape, isAdditive: false, buckets: configuration.ramp + 1)
    return cost
  }
}
