import AttentionCore
import Basics
import Settings
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Retention: a state that fades by one factor a head.
///
/// `S_t = γ_h S_{t−1} + v_t k_tᵀ`, `o_i = scale · S_i q_i`, so `o_i = scale · Σ_{j ≤ i} γ_h^{i−j} (q_i·k_j) v_j`. h counts key heads: a
/// group of query heads reads one state.
/// - Complexity: O(n·d·d_v) time; a state of d·d_v floats a head.
/// - Source: Sun et al., 2023, Retentive Network.
public struct Retention: RecurrentVariant {
  /// The factors of the heads.
  public enum Decays: String, CaseIterable, Sendable {
    /// 1 − 2^(−5−h).
    case powers
    /// 1 − e^x, x in even steps from log 1/32 to log 1/512.
    case spread
  }

  /// The factors of the heads.
  public struct Configuration: VariantConfiguration {
    /// The factors.
    public var decays = Decays.powers

    /// The defaults.
    public init() {}

    /// Creates settings.
    public init(decays: Decays) { self.decays = decays }

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .choice(
        "decays", \.decays,
        help:
          "What the state of head h fades by, a token: 1 − 2^(−5−h), or 1 − e^x with x in even steps from log 1/32 to log 1/512"
      )
    ]

    /// The other factors.
    public static let samples = [Configuration(decays: .spread)]

    /// Checks the shape.
    /// - Throws: `ConfigurationError` without causality: a state that fades has a direction.
    public func validate(for shape: AttentionShape) throws(ConfigurationError) {
      try Recurrence.requireCausal(shape, "retention")
    }

    /// The natural logarithms of the factors of so many heads.
    public func logDecays(heads: Int) -> [Double] {
      (0..<heads).map { head in
        switch decays {
        case .powers: return log1p(-exp2(-5 - Double(head)))
        case .spread:
          let step = heads > 1 ? Double(head) / Double(heads - 1) : 0
          return log1p(-exp(log(1.0 / 32) + step * (log(1.0 / 512) - log(1.0 / 32))))
        }
      }
    }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "retention", title: "Retention",
    paper: "Sun et al., 2023, Retentive Network: A Successor to Transformer for Large Language Models",
    idea: "The past is a matrix that fades by a fixed factor a head.",
    equation: "oᵢ = scale · Sᵢ qᵢ,  Sᵢ = γ_h Sᵢ₋₁ + vᵢ kᵢᵀ,  γ_h = 1 − 2^(−5−h)")

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

  /// A factor a head.
  public var recurrence: Recurrence {
    Recurrence(
      decay: .fixed(configuration.logDecays(heads: shape.keyHeads)), scale: shape.effectiveScale)
  }
}
