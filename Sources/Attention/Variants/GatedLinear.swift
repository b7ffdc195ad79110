import AttentionCore
import Basics
import Settings
import Tensors

/// Gated linear attention: a state of which every channel of the key fades by data.
///
/// `S_t = S_{t−1}·diag(a_t) + v_t k_tᵀ`, `o_i = scale · S_i q_i`, `a_t = σ(x_t + b_h)^{1/τ}`, a factor a channel; x comes of a projection of
/// its own.
/// - Complexity: O(n·d·d_v) time; a state of d·d_v floats a head.
/// - Source: Yang et al., 2024, Gated Linear Attention Transformers with Hardware-Efficient Training.
public struct GatedLinear: RecurrentVariant {
  /// How slowly the state fades.
  public struct Configuration: VariantConfiguration {
    /// τ.
    public var temperature = 16.0

    /// The defaults.
    public init() {}

    /// Creates settings.
    public init(temperature: Double) { self.temperature = temperature }

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .real(
        "temperature", \.temperature, in: 0.01...1e6,
        help: "τ, by whose inverse the logarithm of a gate is multiplied: a larger one fades more slowly")
    ]

    /// Gates as they are.
    public static let samples = [Configuration(temperature: 1)]

    /// Checks the shape.
    /// - Throws: `ConfigurationError` without causality: a state that fades has a direction.
    public func validate(for shape: AttentionShape) throws(ConfigurationError) {
      try Recurrence.requireCausal(shape, "gla")
    }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "gla", title: "Gated linear attention",
    paper: "Yang et al., 2024, Gated Linear Attention Transformers with Hardware-Efficient Training",
    idea: "The past is a matrix of which every channel of the key fades by a gate of its own.",
    equation: "oᵢ = scale · Sᵢ qᵢ,  Sᵢ = Sᵢ₋₁ diag(aᵢ) + vᵢ kᵢᵀ,  aᵢ = σ(xᵢ + b_h)^(1/τ)")

  /// The gates, and what is learned for them.
  public static func operands(_ configuration: Configuration) -> [Operand] {
    Operand.standard + [
      Operand(
        .step, [.batch, .keyHeads, .keys, .headDim], .projected(like: nil),
        help: "x, of which a channel's decay σ(x + b)^(1/τ) is made"),
      Operand(.stepBias, [.keyHeads, .headDim], .learned(.constant(0)), help: "b, the bias of the gates"),
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

  /// log σ(z) = −softplus(−z), over τ.
  public var recurrence: Recurrence {
    let gate = Recurrence.Gate(
      input: .step, rate: .fixed(1 / configuration.temperature), bias: .stepBias, strength: .one,
      isByChannel: true, isNegated: true)
    return Recurrence(decay: .gated(gate), scale: shape.effectiveScale)
  }
}
