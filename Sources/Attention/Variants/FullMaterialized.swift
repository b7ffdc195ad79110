import AttentionCore
import Basics
import Settings
import Tensors

/// Full attention that stores scores and weights, as textbooks and eager frameworks do.
///
/// `S = scale·Q·Kᵀ`, `W = softmax(S)`, `O = W·V`. It exists to show what the n² memory costs: every pair is computed, masked
/// or not, and the weights are kept for the backward pass.
/// - Complexity: O(n²·d) time, O(n²) memory per head.
/// - Source: Vaswani et al., 2017.
public struct FullMaterialized: RowSoftmaxVariant {
  /// No parameters.
  public struct Configuration: VariantConfiguration {
    /// The only configuration.
    public init() {}
    /// None.
    public static let parameters: [Parameter<Self>] = []
    /// None: every later query sees every key.
    public func evictableKeys(of count: Int) -> Range<Int>? { 0..<0 }

    /// A query sees what is not behind it.
    public var goesByDistance: Bool { true }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "full-materialized", title: "Full attention (stored)",
    paper: "Vaswani et al., 2017, Attention Is All You Need",
    idea: "Every query sees every key; the n×n scores and weights are stored, as in textbooks.",
    equation: "S = QKᵀ/√d,  W = softmax(S),  O = WV")

  /// The configuration in force.
  public let configuration: Configuration
  /// The shape planned for.
  public let shape: AttentionShape

  /// Plans nothing: the pattern is every pair.
  public init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey)
    throws(ConfigurationError)
  {
    self.configuration = configuration
    self.shape = shape
  }

  /// bfloat16 is up-converted: the n×n matrices and all arithmetic are float32.
  public static var precisions: [Precision] { Precision.allCases }

  /// The matrix is the product.
  public static var reasonForProducts: String {
    "the scores that it stores are one product; full has the same pairs under every score"
  }

  /// No plan.
  public var planBytes: Int { 0 }

  /// Computes output and LSE; the way back keeps the weights `[batch, queryHeads, queryLength, keyLength]`.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    inputs.check(shape)
    let (output, lse, kept) = try dense(context).forward(try dense(inputs, context))
    return Forward(output: output, lse: lse) { outputGradient, rows, context in
      try dense(context).backward(
        outputGradient, try dense(inputs, context), kept, rows: rows)
    }
  }

  /// The inputs in float32, with padded keys and values that can be multiplied by 0.
  private func dense(_ inputs: Operands, _ context: ExecutionContext) throws -> Operands {
    let wide = try inputs.converted(to: .float32, ledger: context.ledger)
    return Operands(
      query: wide.query, key: try wide.key.withFinitePadding(shape, ledger: context.ledger),
      value: try wide.value.withFinitePadding(shape, ledger: context.ledger))
  }

  private func dense(_ context: ExecutionContext) -> DenseAttention {
    DenseAttention(shape: shape.with(precision: .float32), context: context)
  }

  /// Those of full attention, which needs no matrix for them.
  /// - Throws: what full attention throws.
  public func statistics(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics? {
    try FullAttention(.init(), for: shape, key: RandomKey(seed: 0)).statistics(of: inputs, in: context)
  }

  /// All keys, or all `j ≤ i`.
  public func definition(of inputs: Operands) throws -> any Definition {
    SoftmaxDefinition(
      shape: shape, multiplicity: { _, _, query, key in shape.isFuture(query: query, key: key) ? 0 : 1 })
  }

  /// Needed pairs as for `full`; all pairs are executed, and two matrices of them stored (backward: two more are live).
  /// Two inputs are packed beside them, and bfloat16 inputs up-converted.
  public func cost(of pass: PassKind) -> Cost {
    let needed =
      Double(shape.queryHeads)
      * (0..<shape.batch).reduce(0.0) { sum, batch in
        sum + shape.prefixPairs(validKeys: shape.validKeys(batch: batch))
      }
    let matrix = [shape.batch, shape.queryHeads, shape.queryLength, shape.keyLength].reduce(1.0) {
      $0 * Double($1)
    }
    let rows =
      pass == .backward
      ? max(shape.keyHeads * shape.keyLength, shape.queryHeads * shape.queryLength)
      : shape.keyHeads * shape.keyLength
    let packed = Double(shape.batch * rows * (shape.headDim + shape.valueDim))
    let matrices: Double = shape.softcap != nil && pass == .backward ? 3 : 2
    return Cost(
      of: pass, shape: shape, neededPairs: needed, executedPairs: matrix,
      workspaceBytes: matrices * 4 * matrix + 4 * packed + shape.upconvertedBytes, stateBytes: stateBytes)
  }
}
