import Tensors

/// The definition of a variant's result, in the naive form that the reference computes in Double.
///
/// `s_ij = scale · q_i · k'_j + bias_ij`, `p_ij = m_ij · exp(s_ij) / Σ_j m_ij · exp(s_ij)`, `o_i = Σ_j p_ij v_j`,
/// `lse_i = log Σ_j m_ij exp(s_ij)`; `m` is the multiplicity, `k'` is k or the normalised q.
/// A row with no allowed key has output 0 and LSE −∞.
public struct Oracle: Sendable {
  /// What takes the place of k.
  public enum KeySource: Sendable {
    /// k itself.
    case keys
    /// `q_j / ‖q_j‖` (Reformer's shared query–key); k is not read and its gradient is 0.
    case normalizedQueries
  }

  /// The sizes, including key padding, which the reference applies to every variant alike.
  public let shape: AttentionShape
  /// The factor on `q·k'`.
  public let scale: Double
  /// What takes the place of k.
  public let keySource: KeySource
  /// How often `(batch, head, query row, key row)` counts; causality included, key padding not.
  public let multiplicity: @Sendable (Int, Int, Int, Int) -> Int
  /// An additive bias on the scaled score, such as ALiBi's; `nil`: none.
  public let bias: (@Sendable (Int, Int, Int, Int) -> Double)?
  /// Whether a query row uses the second set of projections, where the inputs have one.
  public let isGlobalRow: (@Sendable (Int) -> Bool)?

  /// Creates an oracle; what is left out is the plain case.
  public init(
    shape: AttentionShape, scale: Double? = nil, keySource: KeySource = .keys,
    multiplicity: @escaping @Sendable (Int, Int, Int, Int) -> Int,
    bias: (@Sendable (Int, Int, Int, Int) -> Double)? = nil, isGlobalRow: (@Sendable (Int) -> Bool)? = nil
  ) {
    self.shape = shape
    self.scale = scale ?? shape.effectiveScale
    self.keySource = keySource
    self.multiplicity = multiplicity
    self.bias = bias
    self.isGlobalRow = isGlobalRow
  }
}
