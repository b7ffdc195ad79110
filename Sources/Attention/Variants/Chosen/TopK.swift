import AttentionCore
import Basics
import Settings
import Tensors

/// Softmax over the k keys with the largest scores of every row.
///
/// `o_i = Σ_j softmax_j(scale · q_i·k_j) v_j` over the k keys of the largest scores that the row sees; of equal ones the first. The
/// choice has no gradient: keys that are not chosen get none.
/// - Complexity: O(n²·d) for the choice, O(n·k·d) for the rest; O(n·(d + k)) memory.
/// - Source: Gupta et al., 2021, Memory-efficient Transformers via Top-k Attention; Zhao et al., 2019.
public struct TopKAttention: AttentionVariant {
  /// How many keys.
  public struct Configuration: VariantConfiguration {
    /// Keys of a row.
    public var keys = 32

    /// The defaults.
    public init() {}

    /// So many keys.
    public init(keys: Int) { self.keys = keys }

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer(
        "keys", \.keys, in: 1...(1 << 20), unit: "keys", help: "Keys of a row: those of the largest scores")
    ]

    /// Fewer keys than rows.
    public static let samples = [Configuration(keys: 5)]

    /// None: any key may be chosen later.
    public func evictableKeys(of count: Int) -> Range<Int>? { 0..<0 }

    /// A query sees what is not behind it.
    public var goesByDistance: Bool { true }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "top-k", title: "Top-k softmax",
    paper: "Gupta et al., 2021, Memory-efficient Transformers via Top-k Attention",
    idea: "A query's softmax goes over the k keys with the largest scores alone.",
    equation: "oᵢ = Σⱼ softmaxⱼ(qᵢ·kⱼ/√d) vⱼ,  j among the k largest qᵢ·kⱼ", dependsOnData: true)

  /// The configuration in force.
  public let configuration: Configuration
  /// The shape planned for.
  public let shape: AttentionShape

  /// Plans nothing: keys are chosen by q and k.
  public init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey)
    throws(ConfigurationError)
  {
    (self.configuration, self.shape) = (configuration, shape)
  }

  /// No plan.
  public var planBytes: Int { 0 }

  private func chosen(_ inputs: Operands, in context: ExecutionContext) throws -> ChosenKeys {
    let keys = try TopKeys(
      configuration.keys, of: inputs, shape: shape, scale: shape.effectiveScale, in: context)
    return ChosenKeys(shape: shape, scale: shape.effectiveScale, chosen: keys)
  }

  /// Chooses keys and computes output and LSE over them.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    inputs.check(shape)
    let chosen = try chosen(inputs, in: context)
    let (output, lse) = try chosen.forward(inputs, in: context)
    return Forward(output: output, lse: lse) { outputGradient, context in
      try chosen.backward(outputGradient, inputs, in: context)
    }
  }

  /// Chooses keys.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func chooseKeys(of inputs: Operands, in context: ExecutionContext) throws -> Bool {
    _ = try chosen(inputs, in: context)
    return true
  }

  /// Those over the keys that are chosen.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func statistics(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics? {
    try chosen(inputs, in: context).statistics(of: inputs, in: context)
  }

  /// The softmax over the keys chosen for these inputs: the choice is part of the definition, since two computations of a near tie
  /// must not disagree; a test of its own compares it with sorted scores in Double.
  public func definition(of inputs: Operands) throws -> any Definition {
    let keys = try chosen(inputs, in: ExecutionContext(threads: 1)).chosen
    return SoftmaxDefinition(
      shape: shape, multiplicity: { keys.multiplicity($0, $1, $2, $3) })
  }

  /// All scores, and the pairs that are chosen.
  public func cost(of pass: PassKind) -> Cost {
    TopKeys.cost(of: pass, shape: shape, count: configuration.keys, stateBytes: stateBytes)
  }
}

extension TopKeys {
  /// The cost of a softmax over chosen keys: one product a pair for the choice, the usual ones for pairs that are chosen. Scores of the
  /// choice are operations of their own, and no padding of pairs.
  static func cost(of pass: PassKind, shape: AttentionShape, count: Int, stateBytes: Double) -> Cost {
    var chosen = 0.0, seen = 0.0
    for batch in 0..<shape.batch {
      for row in 0..<shape.queryLength {
        let visible = shape.visibleKeys(batch: batch, row: row)
        chosen += Double(min(count, visible))
        seen += Double(visible)
      }
    }
    let heads = Double(shape.queryHeads), rows = Double(shape.batch * shape.queryLength) * heads
    let kept = Double(min(count, shape.keyLength))
    let products = GemmPlan(
      m: min(AttentionShape.rowBlock, shape.queryLength), n: shape.keyLength, k: shape.headDim,
      isa: ExecutionContext(threads: 1).instructionSet.code, workers: 1)
    let packed = Double(products.packedCount + products.scratchCount)
    var cost = Cost(
      of: pass, shape: shape, neededPairs: chosen * heads, executedPairs: chosen * heads,
      workspaceBytes: 4 * rows * (kept + 1)
        + (pass == .backward
          ? ChosenKeys.scratchBytes(Int(kept), shape)
          : 4 * (kept + Double(AttentionShape.rowBlock * shape.keyLength) + packed)),
      stateBytes: stateBytes)
    if pass != .backward {
      let fraction = pass == .decode ? 1 / Double(shape.queryLength) : 1
      cost.addChoice(2 * Double(shape.headDim) * seen * heads * fraction)
    }
    return cost
  }
}
