import AttentionCore
import Basics
import Settings
import Tensors

/// Linear attention: φ(q)·φ(k) in place of the exponential, so that the past is a sum.
///
/// `S_t = S_{t−1} + v_t φ(k_t)ᵀ`, `z_t = z_{t−1} + φ(k_t)`, `o_i = S_i φ(q_i) / (z_i·φ(q_i) + ε)`, φ(x) = elu(x) + 1; without causality S
/// and z are those of all keys. The scale of products would cancel and is not used. With `normalized=false`, `o_i = scale · S_i φ(q_i)`.
/// - Complexity: O(n·d·d_v) time; a state of d·(d_v + 1) floats a head.
/// - Source: Katharopoulos et al., 2020, Transformers are RNNs.
public struct LinearAttention: RecurrentVariant {
  /// Whether outputs are means.
  public struct Configuration: VariantConfiguration {
    /// Whether outputs are divided by the sum of their weights.
    public var normalized = true
    /// ε, added to that sum.
    public var epsilon = 1e-6

    /// The defaults.
    public init() {}

    /// Creates settings.
    /// - Parameters:
    ///   - normalized: whether outputs are divided by the sum of their weights.
    ///   - epsilon: what is added to that sum.
    public init(normalized: Bool, epsilon: Double = 1e-6) {
      (self.normalized, self.epsilon) = (normalized, epsilon)
    }

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .flag(
        "normalized", \.normalized,
        help: "Whether an output is divided by the sum of its weights; else it is multiplied by the scale"),
      .real(
        "epsilon", \.epsilon, in: 0...1,
        help: "What is added to the sum of weights; an output whose sum is 0 is 0"),
    ]

    /// Without the normaliser, and without ε.
    public static let samples = [
      Configuration(normalized: false), Configuration(normalized: true, epsilon: 0),
    ]
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "linear", title: "Linear attention",
    paper:
      "Katharopoulos et al., 2020, Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention",
    idea: "Weights are products of positive features, so the past is a sum of fixed size.",
    equation: "oᵢ = Sᵢ φ(qᵢ) / (zᵢ·φ(qᵢ) + ε),  Sᵢ = Σ_{j≤i} vⱼ φ(kⱼ)ᵀ,  zᵢ = Σ_{j≤i} φ(kⱼ),  φ = elu + 1")

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

  /// No decay; features, and a normaliser.
  public var recurrence: Recurrence {
    configuration.normalized
      ? Recurrence(map: .eluPlusOne, normalizer: configuration.epsilon)
      : Recurrence(map: .eluPlusOne, scale: shape.effectiveScale)
  }
}
