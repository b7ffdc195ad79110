import AttentionCore
import Basics
import Settings
import Tensors

/// Hard attention: every row takes the value of one key.
///
/// Forward: `o_i = v_{j*}`, and the log-sum-exp is the score of j*: the first key with the row's largest score, or with `reinforce` and
/// given draws u the key drawn from the softmax, the first with `Σ_{j ≤ j*} p_ij > u_i`. Backward v gets the gradient of what was taken.
///
/// `straight-through`: q and k get the gradient of the softmax over all keys, `ds_ij = p_ij (dO_i·v_j − Σ_k p_ik dO_i·v_k)`: the weights are
/// `one_hot + soft − detach(soft)`. The softmax is computed on the way back alone.
///
/// `reinforce`: `ds_ij = (L − b)(1[j = j*] − p_ij) + λ w p_ij (log p_ij + H_i)`, L the loss of the row's sequence, known once the way
/// back begins (`LossSignal`): with the first part the gradient is, in the mean over the draws, that of the expected loss. The second
/// is that of −λ times the entropies. Without draws or without a loss q and k get none.
/// - Complexity: O(n²·d) time, O(n·d) memory.
/// - Source: Bengio, Léonard and Courville, 2013 (straight-through); Williams, 1992 (REINFORCE); Xu et al., 2015 (hard attention).
public struct HardAttention: AttentionVariant {
  /// How the choice of a key learns.
  public enum Gradient: String, CaseIterable, Sendable {
    /// As if the softmax of all had been taken.
    case straightThrough = "straight-through"
    /// By what the loss was after a draw.
    case reinforce
  }

  /// What a loss is compared with.
  public enum Baseline: String, CaseIterable, Sendable {
    /// The moving average of the losses of earlier steps.
    case average
    /// Nothing.
    case none
  }

  /// How the choice learns.
  public struct Configuration: VariantConfiguration {
    /// How the choice of a key learns.
    public var gradient = Gradient.straightThrough
    /// What a loss is compared with, of `reinforce`.
    public var baseline = Baseline.average
    /// λ, of `reinforce`.
    public var entropy = 0.0

    /// The defaults.
    public init() {}

    /// Creates settings.
    /// - Parameters:
    ///   - gradient: how the choice of a key learns.
    ///   - baseline: what a loss is compared with.
    ///   - entropy: λ.
    public init(gradient: Gradient, baseline: Baseline = .average, entropy: Double = 0) {
      (self.gradient, self.baseline, self.entropy) = (gradient, baseline, entropy)
    }

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .choice(
        "gradient", \.gradient,
        help:
          "How the choice of a key learns: as the softmax of all, or, drawn from the softmax in training, by the loss of its sequence"
      ),
      .choice(
        "baseline", \.baseline,
        help: "With reinforce, what a loss is compared with: the moving average of earlier steps, or nothing"),
      .real(
        "entropy", \.entropy, in: 0...1e6,
        help:
          "With reinforce, λ: the loss is lowered by λ times the entropies of the rows, each counted as a label"
      ),
    ]

    /// Draws.
    public static let samples = [Configuration(gradient: .reinforce, entropy: 0.01)]

    /// None: any key may be taken later.
    public func evictableKeys(of count: Int) -> Range<Int>? { 0..<0 }

    /// A query sees what is not behind it.
    public var goesByDistance: Bool { true }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "hard", title: "Hard attention (straight-through, REINFORCE)",
    paper:
      "Xu et al., 2015, Show, Attend and Tell; Bengio et al., 2013 (straight-through gradient); Williams, 1992 (REINFORCE)",
    idea:
      "A query takes the value of one key; its scores learn as if it had taken the softmax of all, or by what the loss was.",
    equation: "oᵢ = v at argmaxⱼ qᵢ·kⱼ,  gradient of the weights: that of softmaxⱼ(qᵢ·kⱼ/√d)",
    dependsOnData: true)

  /// u, by which a row draws its key.
  static let draws = Operand(
    "draws", [.batch, .queryHeads, .queries], .uniform, isOptional: true,
    help: "numbers of [0, 1), by which every row draws a key; without them it takes the best")

  /// q, k and v, and what draws are made by.
  public static func operands(_ configuration: Configuration) -> [Operand] {
    Operand.standard + (configuration.gradient == .reinforce ? [draws] : [])
  }

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

  private var isStraight: Bool { configuration.gradient == .straightThrough }

  /// Plans the softmax of the way back.
  /// - Throws: `MemoryLimitExceeded`.
  public func prepare(for pass: PassKind, in context: ExecutionContext) throws {
    guard pass == .backward, isStraight else { return }
    try soft.prepare(for: .forward, in: context)
    try soft.prepare(for: .backward, in: context)
  }

  private func taken(_ inputs: Operands, in context: ExecutionContext) throws -> ChosenKeys {
    let keys = try TopKeys(
      1, of: inputs, shape: shape, scale: shape.effectiveScale, drawnBy: inputs[Self.draws.name], in: context)
    return ChosenKeys(shape: shape, scale: shape.effectiveScale, chosen: keys)
  }

  /// Takes every row's best key, or the one that it draws.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    inputs.check(operands, at: shape)
    let taken = try taken(inputs, in: context)
    let (output, lse) = try taken.forward(inputs, in: context)
    guard isStraight else { return drawn(taken, inputs, output, lse) }
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

  /// Those of the one key that a row takes: its score, and no entropy.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func statistics(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics? {
    try taken(inputs, in: context).statistics(of: inputs, in: context)
  }

  private func drawn(
    _ taken: ChosenKeys, _ inputs: Operands, _ output: Tensor, _ lse: Tensor
  ) -> Forward {
    let settings = configuration
    return Forward(output: output, lse: lse) { outputGradient, losses, context in
      var gradient = try taken.backward(outputGradient, inputs, ofScores: false, in: context)
      guard let losses, inputs[Self.draws.name] != nil else { return gradient }
      let scores = DrawnScores(
        shape: taken.shape, scale: taken.scale, chosen: taken.chosen,
        isCentred: settings.baseline == .average,
        entropy: settings.entropy)
      (gradient.query, gradient.key) = try scores.backward(inputs, knowing: losses, in: context)
      return gradient
    }
  }

  /// The value of the key that is taken, and the gradients of the softmax, or those of what was taken alone.
  public func definition(of inputs: Operands) throws -> any Definition {
    let keys = try taken(inputs, in: ExecutionContext(threads: 1)).chosen
    let hard = SoftmaxDefinition(
      shape: shape, operands: operands, multiplicity: { keys.multiplicity($0, $1, $2, $3) })
    guard isStraight else { return hard }
    return HardDefinition(
      soft: SoftmaxDefinition(
        shape: shape, multiplicity: { soft.multiplicity(batch: $0, head: $1, query: $2, key: $3) }),
      hard: hard)
  }

  /// All scores forward; going back the softmax of all pairs, both ways, or, with a loss to learn from, three products a pair.
  public func cost(of pass: PassKind) -> Cost {
    var cost = TopKeys.cost(of: pass, shape: shape, count: 1, stateBytes: stateBytes)
    guard pass == .backward else { return cost }
    guard isStraight else {
      cost.flops += 6 * Double(shape.headDim) * (soft.cost(of: .forward).neededPairs ?? 0)
      return cost
    }
    let (forward, backward) = (soft.cost(of: .forward), soft.cost(of: .backward))
    cost.flops += forward.flops + backward.flops
    let rows = Double(shape.batch * shape.queryHeads * shape.queryLength)
    cost.workspaceBytes += max(forward.workspaceBytes, backward.workspaceBytes)
    // Output and LSE of the softmax, the LSE without rows that overflow, and gradients that values take no part in.
    cost.workspaceBytes += 4 * rows * Double(shape.valueDim + 2) + shape.gradientBytes(Operand.standard)
    return cost
  }
}
