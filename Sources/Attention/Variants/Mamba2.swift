import AttentionCore
import Basics
import Settings
import Tensors

/// The state-space dual of Mamba 2: a state that fades, and is written to, by steps that the data choose.
///
/// With `Δ_t = softplus(x_t + b_h)`: `S_t = e^{−Δ_t·e^{A_h}} S_{t−1} + Δ_t v_t k_tᵀ`, `o_i = S_i q_i + D_h v_i`. q is the paper's C, k its B,
/// v its x; Δ comes of a projection of its own. No scale of products: of a shape that gives one it is used.
/// - Complexity: O(n·d·d_v) time; a state of d·d_v floats a head.
/// - Source: Dao and Gu, 2024, Transformers are SSMs.
public struct Mamba2: RecurrentVariant {
  /// Whether a token passes by the state.
  public struct Configuration: VariantConfiguration {
    /// Whether D·v is added to the output.
    public var skip = true

    /// The defaults.
    public init() {}

    /// Creates settings.
    public init(skip: Bool) { self.skip = skip }

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .flag(
        "skip", \.skip, help: "Whether a learned multiple D of a token's own value is added to its output")
    ]

    /// Without it.
    public static let samples = [Configuration(skip: false)]

    /// Products are not scaled.
    public var wiring: LayerWiring { LayerWiring(scalesProducts: false) }

    /// Checks the shape.
    /// - Throws: `ConfigurationError` without causality: a state that fades has a direction.
    public func validate(for shape: AttentionShape) throws(ConfigurationError) {
      try Recurrence.requireCausal(shape, "mamba2")
    }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "mamba2", title: "Mamba 2 (state-space dual)",
    paper:
      "Dao and Gu, 2024, Transformers are SSMs: Generalized Models and Efficient Algorithms Through Structured State Space Duality",
    idea: "The past is a matrix that fades, and is written to, by steps that the data choose.",
    equation: "oᵢ = Sᵢ qᵢ + D_h vᵢ,  Sᵢ = e^{−Δᵢ e^{A_h}} Sᵢ₋₁ + Δᵢ vᵢ kᵢᵀ,  Δᵢ = softplus(xᵢ + b_h)")

  /// The gate, and what is learned for it; D with a skip.
  public static func operands(_ configuration: Configuration) -> [Operand] {
    let gate = [
      Operand(
        .step, [.batch, .keyHeads, .keys, .fixed(1)], .projected(like: nil),
        help: "x, of which the steps Δ = softplus(x + b) are made"),
      Operand(
        .decayRate, [.keyHeads], .learned(.constant(0)),
        help: "A, whose exponential a step is multiplied by to fade"),
      // softplus(−4.6) is 0.01: the middle of the paper's first steps.
      Operand(.stepBias, [.keyHeads], .learned(.constant(-4.6)), help: "b, the bias of the steps"),
    ]
    let skip = Operand(
      .skipFactor, [.queryHeads], .learned(.constant(1)), help: "D, the part of a token's own value")
    return Operand.standard + gate + (configuration.skip ? [skip] : [])
  }

  /// The configuration in force.
  public let configuration: Configuration
  /// The shape planned for.
  public let shape: AttentionShape

  /// Plans for a shape.
  public init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey)
    throws(ConfigurationError)
  {
    self.configuration = configuration
    self.shape = shape
  }

  /// A decay and a strength by data.
  public var recurrence: Recurrence {
    Recurrence(
      decay: .gated(.init(input: .step, rate: .learned(.decayRate), bias: .stepBias)),
      scale: shape.scale ?? 1,
      skip: configuration.skip ? .skipFactor : nil)
  }
}

extension Operand.Name {
  /// x, of which steps are made.
  public static let step: Operand.Name = "step"
  /// A.
  public static let decayRate: Operand.Name = "decay_rate"
  /// b.
  public static let stepBias: Operand.Name = "step_bias"
  /// D.
  public static let skipFactor: Operand.Name = "skip_factor"
}
