import AttentionCore
import Basics
import Settings
import Tensors

/// DeepSeek's sparse attention: a small indexer scores all keys, and the softmax of all heads goes over the `keys` best of them.
///
/// The indexer has heads of its own (`Indexer`): `I_ts = Σ_h w_th · ReLU(q^I_th·k^I_s)/√(heads·dim)`. A row takes the keys of the largest
/// I, of equal ones the first, the same for all heads. The choice has no gradient.
///
/// The indexer learns to say where attention looks: a training adds `indexer_loss · Σ_t KL(p_t ‖ softmax(I_t))` to its loss, p the mean of
/// the weights of all heads (`IndexerLoss`). It is told by what a nat of a labelled position counts, so that without a loss there is no
/// such gradient. What the indexer reads are maps of a layer's input that pass no gradient on to it.
///
/// `stage: dense` is how the paper's training begins: attention over all keys, the indexer learning of all of them.
/// - Complexity: O(n²·indexer heads·indexer dim) for the choice, O(n·keys·d) for the rest; O(n·(d + keys)) memory.
/// - Source: DeepSeek-AI, 2025, DeepSeek-V3.2: Pushing the Frontier of Open Large Language Models.
public struct DSA: AttentionVariant {
  /// Which keys a row attends to.
  public enum Stage: String, CaseIterable, Sendable {
    /// Those that the indexer chooses.
    case sparse
    /// All, while the indexer learns of them.
    case dense
  }

  /// The indexer and its choice.
  public struct Configuration: VariantConfiguration {
    /// Keys of a row.
    public var keys = 64
    /// Heads of the indexer.
    public var indexerHeads = 4
    /// Elements of a head of the indexer.
    public var indexerDim = 32
    /// Which keys a row attends to.
    public var stage = Stage.sparse
    /// What the divergence counts in a training's loss.
    public var indexerLoss = 1.0

    /// The defaults.
    public init() {}

    /// Creates settings.
    /// - Parameters:
    ///   - keys: keys of a row.
    ///   - indexerHeads: heads of the indexer.
    ///   - indexerDim: elements of a head of the indexer.
    ///   - stage: which keys a row attends to.
    ///   - indexerLoss: what the divergence counts in a training's loss.
    public init(
      keys: Int, indexerHeads: Int, indexerDim: Int, stage: Stage = .sparse, indexerLoss: Double = 1
    ) {
      (self.keys, self.indexerHeads, self.indexerDim) = (keys, indexerHeads, indexerDim)
      (self.stage, self.indexerLoss) = (stage, indexerLoss)
    }

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer(
        "keys", \.keys, in: 1...(1 << 20), unit: "keys",
        help: "Keys of a row: those of the largest indexer scores"),
      .integer("indexer_heads", \.indexerHeads, in: 1...1024, help: "Heads of the indexer"),
      .integer("indexer_dim", \.indexerDim, in: 1...4096, help: "Elements of a head of the indexer"),
      .choice(
        "stage", \.stage,
        help: "Keys of a row: those that the indexer chooses, or all, with which its training begins"),
      .real(
        "indexer_loss", \.indexerLoss, in: 0...1e6,
        help: "What a row's divergence of indexer and attention counts in a training's loss, as a label does"),
    ]

    /// Few keys; more than there are; all.
    public static let samples = [
      Configuration(keys: 5, indexerHeads: 2, indexerDim: 8),
      Configuration(keys: 900, indexerHeads: 1, indexerDim: 3),
      Configuration(keys: 3, indexerHeads: 3, indexerDim: 5, stage: .dense),
    ]

    /// None: any key may be chosen later.
    public func evictableKeys(of count: Int) -> Range<Int>? { 0..<0 }

    /// A query sees what is not behind it.
    public var goesByDistance: Bool { true }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "dsa", title: "DeepSeek sparse attention (DSA)",
    paper: "DeepSeek-AI, 2025, DeepSeek-V3.2: Pushing the Frontier of Open Large Language Models",
    idea: "A small indexer scores all keys; the softmax of all heads goes over the best of them.",
    equation: "oᵢ = Σⱼ softmaxⱼ(qᵢ·kⱼ/√d) vⱼ,  j among the largest Iᵢⱼ = Σ_h wᵢ_h·ReLU(q^Iᵢ_h·k^Iⱼ)",
    dependsOnData: true)

  static let indexerQuery: Operand.Name = "indexer_query"
  static let indexerKey: Operand.Name = "indexer_key"
  static let indexerWeight: Operand.Name = "indexer_weight"

  /// q, k and v, and what the indexer reads.
  public static func operands(_ configuration: Configuration) -> [Operand] {
    let (heads, dim) = (configuration.indexerHeads, configuration.indexerDim)
    return Operand.standard + [
      Operand(
        indexerQuery, [.batch, .queries, .fixed(heads * dim)], .projected(like: nil), isDetached: true,
        help: "q of the indexer's heads, side by side"),
      Operand(
        indexerKey, [.batch, .keys, .fixed(dim)], .projected(like: nil), isDetached: true,
        help: "k of the indexer, the same for its heads"),
      Operand(
        indexerWeight, [.batch, .queries, .fixed(heads)], .projected(like: nil), isDetached: true,
        help: "w, what a head of the indexer counts"),
    ]
  }

  /// The configuration in force.
  public let configuration: Configuration
  /// The shape planned for.
  public let shape: AttentionShape
  private let full: FullAttention

  /// Plans for a shape.
  public init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey)
    throws(ConfigurationError)
  {
    (self.configuration, self.shape) = (configuration, shape)
    full = try FullAttention(.init(), for: shape, key: key)
  }

  private var isDense: Bool { configuration.stage == .dense }

  /// Bytes of the tile list of attention over all keys.
  public var planBytes: Int { isDense ? full.planBytes : 0 }

  /// Plans attention over all keys.
  /// - Throws: `MemoryLimitExceeded`.
  public func prepare(for pass: PassKind, in context: ExecutionContext) throws {
    if isDense { try full.prepare(for: pass, in: context) }
  }

  private var indexer: Indexer {
    Indexer(shape: shape, heads: configuration.indexerHeads, dim: configuration.indexerDim)
  }

  /// The keys that the indexer chooses.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func chosen(_ inputs: Operands, in context: ExecutionContext) throws -> RowChoice {
    try indexer.chosen(configuration.keys, IndexerInputs(inputs), in: context)
  }

  private func softmax(over choice: RowChoice) -> ChosenKeys {
    ChosenKeys(shape: shape, scale: shape.effectiveScale, chosen: TopKeys(choice))
  }

  /// Chooses keys.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func chooseKeys(of inputs: Operands, in context: ExecutionContext) throws -> Bool {
    guard !isDense else { return false }
    _ = try chosen(inputs, in: context)
    return true
  }

  /// Output and LSE over the keys that are chosen, or over all.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    inputs.check(operands, at: shape)
    let choice = isDense ? nil : try chosen(inputs, in: context)
    let loss = IndexerLoss(indexer: indexer, scale: shape.effectiveScale, choice: choice)
    let coefficient = configuration.indexerLoss
    @Sendable func adding(_ gradient: Operands, _ losses: LossSignal?, _ context: ExecutionContext) throws
      -> Operands
    {
      var gradient = gradient
      let factor = Float(coefficient * (losses?.weight ?? 0))
      for (name, own) in try loss.gradients(inputs, factor: factor, in: context).gradient {
        gradient[name] = own
      }
      return gradient
    }
    guard let choice else {
      let all = try full.forward(inputs, in: context)
      return Forward(output: all.output, lse: all.lse) { outputGradient, losses, context in
        try adding(all.backward(outputGradient, in: context), losses, context)
      }
    }
    let softmax = softmax(over: choice)
    let (output, lse) = try softmax.forward(inputs, in: context)
    return Forward(output: output, lse: lse) { outputGradient, losses, context in
      try adding(softmax.backward(outputGradient, inputs, in: context), losses, context)
    }
  }

  /// Those over the keys that are chosen, or over all.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  public func statistics(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics? {
    guard !isDense else { return try full.statistics(of: inputs, in: context) }
    return try softmax(over: chosen(inputs, in: context)).statistics(of: inputs, in: context)
  }

  /// The softmax over the keys chosen for these inputs: the choice is part of the definition, since two computations of a near tie must
  /// not disagree; tests of their own compare it with sorted scores in Double, and what the indexer learns with differences.
  public func definition(of inputs: Operands) throws -> any Definition {
    let shape = shape
    guard !isDense else {
      return SoftmaxDefinition(shape: shape, operands: operands) { _, _, query, key in
        shape.isFuture(query: query, key: key) ? 0 : 1
      }
    }
    let choice = try chosen(inputs, in: ExecutionContext(threads: 1))
    return SoftmaxDefinition(shape: shape, operands: operands) { batch, head, query, key in
      choice.contains(key, batch, head, query) ? 1 : 0
    }
  }

  /// The indexer's scores of all keys, and the pairs that are chosen; going back also the divergences that the indexer learns of.
  /// - Complexity: O(rows).
  public func cost(of pass: PassKind) -> Cost {
    let count = isDense ? shape.keyLength : configuration.keys
    var pairs = 0.0
    for batch in 0..<shape.batch {
      for row in 0..<shape.queryLength {
        pairs += Double(min(count, shape.visibleKeys(batch: batch, row: row)))
      }
    }
    let heads = Double(shape.queryHeads), rows = Double(shape.batch * shape.queryLength)
    let kept = min(count, shape.keyLength), isBackward = pass == .backward
    var workspace = isDense ? full.cost(of: pass).workspaceBytes : RowChoice.byteCount(kept, rows: rows)
    if isBackward {
      workspace += 4 * Double((3 + configuration.indexerHeads) * kept) + 8 * Double(shape.batch)
    }
    if !isDense {
      workspace += isBackward ? ChosenKeys.scratchBytes(kept, shape) : 4 * Double(kept) + indexer.scratchBytes
    }
    var cost = Cost(
      of: pass, shape: shape, operands: operands, neededPairs: pairs * heads,
      executedPairs: isDense ? full.cost(of: .forward).executedPairs ?? 0 : pairs * heads,
      workspaceBytes: workspace,
      stateBytes: stateBytes)
    if pass != .backward, !isDense { cost.addChoice(indexer.operations(of: pass)) }
    if isBackward {
      cost.flops += pairs * (2 * heads * Double(shape.headDim) + 6 * Double(indexer.heads * indexer.dim))
    }
    return cost
  }
}
