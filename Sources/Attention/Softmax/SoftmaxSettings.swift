import AttentionCore
import Settings

/// The settings that every softmax variant takes, declared once for all of them.
public struct SoftmaxSettings: ParameterSet {
  /// What stands in the denominator beside the keys.
  public enum Sink: String, CaseIterable, Sendable {
    /// Nothing.
    case none
    /// `e^{z_h}`, a logit that every head learns: a key of value 0.
    case learned
    /// A key and a value that every key head learns.
    case sentinel
  }

  /// How a query and a key make a score.
  public enum Score: String, CaseIterable, Sendable {
    /// `scale · q·k`.
    case dot
    /// `Σ_t w_t·tanh(q_t + k_t)`, w learned by every head; the scale does not apply.
    case additive
    /// `scale · [(q + u)·k + (q + v)·W R_{i−j}]`, R sines and cosines of the distance (Transformer-XL).
    case relative
  }

  /// What the distance of a query and a key adds to their score.
  public enum Bias: String, CaseIterable, Sendable {
    /// Nothing.
    case none
    /// A number that every head learns for every bucket of distances.
    case t5
  }

  /// How a query and a key make a score.
  public var score = Score.dot
  /// Whether every layer has a u and a v of its own under relative scores.
  public var untie = false
  /// The distance that farther ones are taken for in relative scores; `nil`: none.
  public var clamp: Int?
  /// What the distance of a query and a key adds to their score.
  public var bias = Bias.none
  /// Buckets of distances.
  public var biasBuckets = 32
  /// The distance from which on all are in one bucket.
  public var biasDistance = 128
  /// What stands in the denominator beside the keys.
  public var sink = Sink.none
  /// The bound of scores; `nil`: none.
  public var softcap: Double?

  /// The defaults.
  public init() {}

  /// All parameters.
  public static let parameters: [Parameter<Self>] = [
    .choice(
      "score", \.score,
      help:
        "Score of a query and a key: scale·q·k; w·tanh(q + k) with a learned w (Bahdanau; Luong's concat); or "
        + "scale·[(q + u)·k + (q + v)·W R], R of their distance (Transformer-XL)"),
    .flag("untie", \.untie, help: "Whether every layer learns its own u and v of the relative score"),
    .optionalInteger(
      "clamp_length", \.clamp, in: 1...(1 << 24), unit: "tokens",
      help: "Distance that farther ones are taken for in relative scores; none: all are told apart"),
    .choice(
      "bias", \.bias, help: "What distance adds to a score: nothing, or a learned number by bucket (T5)"),
    .integer("bias_buckets", \.biasBuckets, in: 2...1024, help: "Buckets of distances of the bias"),
    .integer(
      "bias_distance", \.biasDistance, in: 2...(1 << 24), unit: "tokens",
      help: "Distance from which on all are in the last bucket"),
    .choice(
      "sink", \.sink,
      help: "Denominator beside the keys: a learned logit (gpt-oss) or a learned key and value (visual "
        + "sentinel); not the first keys of a window, which are called sinks"),
    .optionalReal(
      "softcap", \.softcap, in: 0.001...10_000,
      help: "Soft cap c: a score s becomes c·tanh(s/c) before it is masked (Gemma 2)"),
  ]

  /// Each setting at work, for the conformance check.
  static let samples: [SoftmaxSettings] = {
    func sample(_ change: (inout SoftmaxSettings) -> Void) -> SoftmaxSettings {
      var settings = SoftmaxSettings()
      change(&settings)
      return settings
    }
    return [
      sample { $0.sink = .learned }, sample { ($0.sink, $0.softcap) = (.sentinel, 2) },
      sample { $0.score = .additive }, sample { ($0.score, $0.sink, $0.softcap) = (.additive, .learned, 1) },
      sample {
        ($0.score, $0.bias, $0.sink, $0.softcap) = (.relative, .t5, .learned, 3)
        ($0.clamp, $0.biasBuckets, $0.biasDistance) = (13, 8, 20)
      },
    ]
  }()

  /// The same without a soft cap.
  var uncapped: SoftmaxSettings {
    var settings = self
    settings.softcap = nil
    return settings
  }

  /// Whether scores are more than products of q and k: then the engine computes them over the variant's tiles.
  var isStaged: Bool { score != .dot || bias != .none }

  /// What they make a variant read.
  var operands: [Operand] {
    let scored: [Operand] =
      switch score {
      case .dot: []
      case .additive: [Self.energy]
      case .relative: RelativeScore.operands(untie: untie)
      }
    let own = scored + (bias == .t5 ? [DistanceBuckets.operand(count: biasBuckets)] : [])
    return switch sink {
    case .none: own
    case .learned: own + [ExtraKeyPass.logit]
    case .sentinel: own + [ExtraKeyPass.key, ExtraKeyPass.value]
    }
  }

  /// w of additive scores, `[heads, d]`.
  static let energy = Operand(
    "score_weight", [.queryHeads, .headDim], .learned(.normal(0.1)), help: "w of the additive score")

  /// Checks what depends on the variant.
  /// - Throws: `ConfigurationError`.
  func validate<Base: RowSoftmaxVariant>(
    for type: Base.Type, _ configuration: Base.Configuration
  ) throws(ConfigurationError) {
    if bias == .t5 { try DistanceBuckets.validate(count: biasBuckets, distance: biasDistance) }
    if let clamp, score != .relative {
      throw ConfigurationError(
        field: "clamp_length", value: "\(clamp)", allowed: "none unless score is relative")
    }
    guard isStaged else { return }
    guard type is any PatternVariant.Type, Base.operands(configuration) == Operand.standard else {
      let (field, value, other) =
        score == .dot ? ("bias", bias.rawValue, "none") : ("score", score.rawValue, "dot")
      throw ConfigurationError(
        field: field, value: value,
        allowed: "\(other) with \(type.card.id): \(type.reasonForProducts)")
    }
    guard score == .additive else { return }
    guard sink != .sentinel else {
      throw ConfigurationError(
        field: "sink", value: "sentinel",
        allowed: "none or learned with score: additive, for its key has no w")
    }
  }
}
