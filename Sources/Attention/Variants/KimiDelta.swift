import AttentionCore
import Basics
import Settings
import Tensors

/// Kimi delta attention: the gated delta rule with a decay for every channel of the key.
///
/// `S_t = S_{t−1} diag(a_t)(I − β_t k_t k_tᵀ) + β_t v_t k_tᵀ`, `o_i = scale · S_i q_i`, q and k of norm 1 (x/√(Σx² + 10⁻⁶)),
/// `a_t = e^{−e^{A_h}·softplus(x_t + b_h)}`, a factor a channel, `β_t = σ(w_t)`; x and w come of projections of their own. The state fades
/// before the token is written.
/// - Complexity: O(n·d·d_v) time; a state of d·d_v floats a head.
/// - Source: Kimi Team, 2025, Kimi Linear: An Expressive, Efficient Attention Architecture.
public struct KimiDelta: RecurrentVariant {
  /// No parameters.
  public struct Configuration: VariantConfiguration {
    /// The only configuration.
    public init() {}
    /// None.
    public static let parameters: [Parameter<Self>] = []

    /// Checks the shape.
    /// - Throws: `ConfigurationError` without causality: a state that fades has a direction.
    public func validate(for shape: AttentionShape) throws(ConfigurationError) {
      try Recurrence.requireCausal(shape, "kda")
    }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "kda", title: "Kimi delta attention",
    paper: "Kimi Team, 2025, Kimi Linear: An Expressive, Efficient Attention Architecture",
    idea:
      "The past is a matrix of which every channel of the key fades by itself, and in which a token replaces what was written for its key.",
    equation:
      "oᵢ = scale · Sᵢ qᵢ,  Sᵢ = Sᵢ₋₁ diag(aᵢ)(I − βᵢ kᵢ kᵢᵀ) + βᵢ vᵢ kᵢᵀ,  ‖q‖ = ‖k‖ = 1")

  /// The gates, and what is learned for them.
  public static func operands(_ configuration: Configuration) -> [Operand] {
    Operand.standard + [
      Operand(
        .step, [.batch, .keyHeads, .keys, .headDim], .projected(like: nil),
        help: "x, of which a channel's decay e^(−e^A·softplus(x + b)) is made"),
      Operand(
        .writing, [.batch, .keyHeads, .keys, .fixed(1)], .projected(like: nil),
        help: "w, whose sigmoid is how much of a key's value is replaced"),
      Operand(
        .decayRate, [.keyHeads], .learned(.constant(0)),
        help: "A, whose exponential the steps of all channels are multiplied by to fade"),
      Operand(.stepBias, [.keyHeads, .headDim], .learned(.constant(-4.6)), help: "b, the bias of the steps"),
    ]
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

  /// The delta rule under decays by channel.
  public var recurrence: Recurrence {
    let gate = Recurrence.Gate(
      input: .step, rate: .learned(.decayRate), bias: .stepBias, strength: .sigmoid(.writing),
      isByChannel: true)
    return Recurrence(
      decay: .gated(gate), map: .unit(epsilon: 1e-6), scale: shape.effectiveScale, isDelta: true)
  }
}
