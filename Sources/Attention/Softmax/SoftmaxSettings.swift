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
  }

  /// How a query and a key make a score.
  public var score = Score.dot
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
        "Score of a query and a key: scale·q·k, or w·tanh(q + k) with a learned w (Bahdanau; Luong's concat)"),
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
    ]
  }()

  /// What they make a variant read.
  var operands: [Operand] {
    let own = score == .additive ? [Self.energy] : []
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
    guard score == .additive else { return }
    guard type is any PatternVariant.Type, Base.operands(configuration) == Operand.standard else {
      throw ConfigurationError(
        field: "score", value: "additive",
        allowed:
          "dot with \(type.card.id): additive scores take tiles that are known before q and k, and one q, k and v"
      )
    }
    guard sink != .sentinel else {
      throw ConfigurationError(
        field: "sink", value: "sentinel",
        allowed: "none or learned with score: additive, for its key has no w")
    }
  }
}
