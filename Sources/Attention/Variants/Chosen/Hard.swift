import AttentionCore
import Basics
import Settings
import Tensors

/// Hard attention with the straight-through gradient.
///
/// Forward: `o_i = v_{j*}`, j* the first key with the row's largest score, and the log-sum-exp is that score. Backward: v gets the
/// gradient of what was taken, q and k that of the softmax over all keys, `ds_ij = p_ij (dO_i·v_j − Σ_k p_ik dO_i·v_k)`: the weights
/// are `one_hot + soft − detach(soft)`. The softmax is computed on the way back alone.
/// - Complexity: O(n²·d) time, O(n·d) memory.
/// - Source: Bengio, Léonard and Courville, 2013 (straight-through); Xu et al., 2015 (hard attention).
public struct HardAttention: AttentionVariant {
  /// No parameters.
  public struct Configuration: VariantConfiguration {
    /// The only configuration.
    public init() {}
    /// None.
    public static let parameters: [Parameter<Self>] = []
    /// None: any key may be taken later.
    public func evictableKeys(of count: Int) -> Range<Int>? { 0..<0 }

    /// A query sees what is not behind it.
    public var goesByDistance: Bool { true }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "hard", title: "Hard attention (straight-through)",
    paper: "Xu et al., 2015, Show, Attend and Tell; Bengio et al., 2013 (straight-through gradient)",
    idea: "A query takes the value of its best key; its scores learn as if it had taken the softmax of all.",
    equation: "oᵢ = v at argmaxⱼ qᵢ·kⱼ,  gradient of the weights: that of softmaxⱼ(qᵢ·kⱼ/√d)",
    dependsOnData: true)

  /// The configuration in force.
  public let configuration: Configuration
  /// The shape planned for.
  public let shape: AttentionShape
  private let soft: FullAttention

  /// Plans for a shape.
  public init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey)
    throws(ConfigurationError)
  {
    (self.configuration, self.shape) = (configuration, shape)
    soft = try FullAttention(.init(), for: shape, key: key)
  }

  /// Bytes of the tile list of the softmax.
  public var planBytes: Int { soft.planBytes }

  /// Plans the softmax of the way back.
  /// - Throws: `MemoryLimitExceeded`.
  public func prepare(for pass: PassKind, in context: ExecutionContext) throws {
    guard pass == .backward else { return }
    try soft.prepare(for: .forward, in: context)
    try soft.prepare(for: .backward, in: context)
  }

  private func taken(_ inputs: Operands, in context: ExecutionContext) throws -> ChosenKeys {
    let keys = try TopKeys(1, of: inputs, shape: shape, scale: shape.effectiveScale, in: context)
    return ChosenKeys(shape: shape, scale: shape.effectiveScale, chosen: keys)
  }

  /// Takes every row's best key.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    inputs.check(shape)
    let taken = try taken(inputs, in: context)
    let (output, lse) = try taken.forward(inputs, in: context)
    return Forward(output: output, lse: lse) { outputGradient, context in
      let values = try taken.backward(outputGradient, inputs, ofScores: false, in: context).value
      let forward = try soft.forward(inputs, in: context)
      guard let pullback = forward.partialPullback, let sums = forward.lse else {
        preconditionFailure("the engine's pass is no part of a softmax")
      }
      // A row with a score that single precision does not hold has no softmax to learn from.
      let finite = try Tensor(
        sums.array().map { $0.isNaN ? -.infinity : $0 }, shape: shape.lseShape, ledger: context.ledger)
      var gradient = try pullback(
        outputGradient, SoftmaxRows(output: forward.output, lse: finite, hasOtherKeys: false), context)
      gradient.value = values
      return gradient
    }
  }

  /// The value of the key that is taken, and the gradients of the softmax.
  public func definition(of inputs: Operands) throws -> any Definition {
    let keys = try taken(inputs, in: ExecutionContext(threads: 1)).chosen
    return HardDefinition(
      soft: SoftmaxDefinition(
        shape: shape, multiplicity: { soft.multiplicity(batch: $0, head: $1, query: $2, key: $3) }),
      hard: SoftmaxDefinition(
        shape: shape, multiplicity: { keys.multiplicity($0, $1, $2, $3) }))
  }

  /// All scores forward; going back the softmax of all pairs, both ways.
  public func cost(of pass: PassKind) -> Cost {
    var cost = TopKeys.cost(of: pass, shape: shape, count: 1, stateBytes: stateBytes)
    guard pass == .backward else { return cost }
    let (forward, backward) = (soft.cost(of: .forward), soft.cost(of: .backward))
    cost.flops += forward.flops + backward.flops
    let rows = Double(shape.batch * shape.queryHeads * shape.queryLength)
    cost.workspaceBytes += max(forward.workspaceBytes, backward.workspaceBytes)
    // Output and LSE of the softmax, the LSE without rows that overflow, and gradients that values take no part in.
    cost.workspaceBytes += 4 * rows * Double(shape.valueDim + 2) + shape.gradientBytes(Operand.standard)
    return cost
  }
}

/// Forward that of one softmax, backward that of another, but for v.
private struct HardDefinition: Definition {
  let soft: SoftmaxDefinition, hard: SoftmaxDefinition

  var shape: AttentionShape { hard.shape }
  var multiplicity: @Sendable (Int, Int, Int, Int) -> Int { hard.multiplicity }
  var hasSurrogateGradient: Bool { true }

  func forward(_ inputs: DefinitionInputs, rows: [DefinitionRow]) -> DefinitionResult {
    var result = hard.forward(inputs, rows: rows)
    // Gradients are as exact as the softmax of all.
    let all = soft.forward(inputs, rows: rows)
    (result.scoreMagnitude, result.mostKeys) = (all.scoreMagnitude, all.mostKeys)
    return result
  }

  func backward(
    _ outputGradient: [Double], _ inputs: DefinitionInputs, rows: [DefinitionRow],
    into gradient: inout some DefinitionGradientCollector
  ) {
    var scores = Part(base: gradient, takesValues: false)
    soft.backward(outputGradient, inputs, rows: rows, into: &scores)
    var values = Part(base: scores.base, takesValues: true)
    hard.backward(outputGradient, inputs, rows: rows, into: &values)
    gradient = values.base
  }

  func pairs(of rows: [DefinitionRow], _ inputs: DefinitionInputs) -> [[DefinitionPair]] {
    hard.pairs(of: rows, inputs)
  }

  func hasRowwiseGradient(of operand: Operand.Name) -> Bool { soft.hasRowwiseGradient(of: operand) }

  func budget(scoreMagnitude: Double, mostKeys: Int) -> ErrorBudget {
    soft.budget(scoreMagnitude: scoreMagnitude, mostKeys: mostKeys)
  }

  /// Terms of v's gradient alone, or of all others.
  private struct Part<Base: DefinitionGradientCollector>: DefinitionGradientCollector {
    var base: Base
    let takesValues: Bool

    mutating func add(to operand: Operand.Name, at start: Int, _ factor: Double, _ source: DefinitionVector) {
      if (operand == .value) == takesValues { base.add(to: operand, at: start, factor, source) }
    }

    mutating func addMagnitude(
      to operand: Operand.Name, at start: Int, _ factor: Double, _ source: DefinitionVector
    ) {
      if (operand == .value) == takesValues { base.addMagnitude(to: operand, at: start, factor, source) }
    }

    mutating func add(to operand: Operand.Name, _ terms: DefinitionTerms) {
      if (operand == .value) == takesValues { base.add(to: operand, terms) }
    }
  }
}
