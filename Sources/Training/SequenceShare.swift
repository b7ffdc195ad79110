import AttentionCore
import Basics
import Layers
import Models
import Ranks
import Settings
import Tensors

/// Ranks that share sequences: each has some rows of every sequence of its group, and computes all that is theirs.
///
/// A group of S ranks shares its sequences, P/S groups share the sequences of a pass. A causal stack is dealt in zigzag, so that
/// every rank has as many pairs; others, and stacks of recurrences alone, in runs. Weights are on every rank; activations and what the way back keeps of them are
/// those of a rank's rows, N/S of them. Between layers nothing moves but the keys and values that the rows of other ranks of
/// the group see, or the states of recurrences (`RankedAttention`), and after the way back one sum of gradients over all ranks.
final class SequenceShare {
  /// All ranks, and those of this rank's group.
  private let communicator: any Communicator, group: RankSubset
  private let hasPairs: Bool, hasClasses: Bool

  private struct Key: Hashable {
    let layer: String
    let shape: AttentionShape
  }
  private var attentions: [Key: RankedAttention] = [:]

  /// - Parameters:
  ///   - model: the model that all ranks train.
  ///   - configuration: sequences of a pass, and how many ranks share one.
  ///   - communicator: the ranks.
  /// - Throws: `ConfigurationError` for a model whose rows meet elsewhere than in attention, for numbers that do not divide.
  init(
    _ model: TransformerModel, _ configuration: TrainingConfiguration, over communicator: any Communicator
  ) throws(ConfigurationError) {
    let catalog = model.catalog, model = model.configuration
    try Self.check(model)
    let ranks = communicator.count
    let size = configuration.sequenceRanks == 0 ? ranks : configuration.sequenceRanks
    guard ranks % size == 0 else {
      throw ConfigurationError(
        field: "ranks", value: "\(ranks)", allowed: "a multiple of sequence_ranks = \(size): groups are alike"
      )
    }
    guard ranks / size <= configuration.batch else {
      throw ConfigurationError(
        field: "ranks", value: "\(ranks) in groups of \(size)",
        allowed:
          "at most \(configuration.batch * size) here: every group needs one of \(configuration.batch) sequences"
      )
    }
    self.communicator = communicator
    group = RankSubset(of: communicator, size: size)
    var types: [any AttentionVariant.Type] = []
    for layer in try model.layerAttention() { types.append(try catalog.type(of: layer.id)) }
    let isRecurrent = types.allSatisfy { $0 is any RecurrentVariant.Type }
    (hasPairs, hasClasses) = (model.kind == .decoder && !isRecurrent, model.classes > 0)
  }

  private static func check(_ model: ModelConfiguration) throws(ConfigurationError) {
    let field: (name: String, value: String, allowed: String)? =
      switch true {
      case model.kind != .decoder && model.kind != .encoder:
        ("kind", model.kind.rawValue, "decoder or encoder")
      case model.classes > 0 && model.pooling == .attention: ("pooling", "attention", "mean or first")
      case model.hierarchy.kind != .none: ("hierarchy", model.hierarchy.kind.rawValue, "none")
      case model.features > 0: ("features", "\(model.features)", "tokens alone")
      case model.layer.norm == .batch: ("norm", "batch", "any other norm")
      case model.keepsSegments: ("memory", "\(model.memory)", "0, and nothing stored,")
      case model.layer.shortConvolution > 0:
        // Its first rows would lack those of the rank before.
        ("short_convolution", "\(model.layer.shortConvolution)", "0")
      default: nil
      }
    guard let field else { return }
    throw ConfigurationError(
      field: field.name, value: field.value, allowed: field.allowed + " where ranks share sequences")
  }

  /// This rank's rows of its group's sequences, which count no padding among their targets, and what they are a part of.
  /// - Throws: `ConfigurationError` for sequences that are too short.
  func part(of whole: ModelInput) throws -> (input: ModelInput, of: any SpreadSequence) {
    let groups = communicator.count / group.count, number = communicator.rank / group.count
    let input =
      try groups == 1
      ? whole : whole.rows(whole.batch * number / groups..<whole.batch * (number + 1) / groups)
    let (length, ranks) = (whole.length, group.count)
    guard length >= 2 * ranks else {
      throw ConfigurationError(
        field: "ranks", value: "\(ranks)",
        allowed: "at most \(length / 2) here: every rank needs rows at two places of \(length) tokens")
    }
    let layout =
      hasPairs
      ? SequenceLayout.zigzag(length, ranks: ranks) : SequenceLayout.contiguous(length, ranks: ranks)
    let rows = layout.rows[group.rank]
    func own(_ values: [Int32]) -> [Int32] {
      (0..<input.batch).flatMap { sequence in
        rows.runs.flatMap { values[sequence * length + $0.lowerBound..<sequence * length + $0.upperBound] }
      }
    }
    return (
      ModelInput(
        batch: input.batch, tokens: own(input.tokens),
        targets: hasClasses ? input.targets : own(input.scoredTargets)),
      Part(share: self, layout: layout, rows: rows, lengths: input.lengths)
    )
  }

  /// The attention of a layer over the ranks of the group, planned once for each shape.
  fileprivate func attention(
    _ variant: any AttentionVariant, of layer: String, _ layout: SequenceLayout
  ) throws(ConfigurationError) -> RankedAttention {
    let key = Key(layer: layer, shape: variant.shape)
    if let known = attentions[key] { return known }
    var options = RankOptions()
    options.layout = layout
    let attention = try RankedAttention(variant, over: group, options: options)
    // Padded batches bring a new shape each step: what is kept stays bounded.
    if attentions.count >= 256 { attentions.removeAll() }
    attentions[key] = attention
    return attention
  }

  private struct Part: SpreadSequence {
    let share: SequenceShare
    let layout: SequenceLayout
    let rows: RowRuns
    let lengths: [Int]?
    var length: Int { layout.length }
    var isFirst: Bool { share.group.rank == 0 }

    func gathered(_ own: Tensor) throws -> [Tensor] {
      try share.group.gathered(own, [Int](repeating: own.count, count: share.group.count)).map {
        $0.reshaped(own.shape)
      }
    }

    func attend(
      _ variant: any AttentionVariant, _ inputs: Operands, of layer: String, in context: ExecutionContext
    ) throws -> Forward {
      try share.attention(variant, of: layer, layout).forward(inputs, in: context)
    }
  }

  /// The sum of the ranks' losses, on every rank.
  fileprivate func sum(_ own: CrossEntropy) throws -> CrossEntropy {
    try CrossEntropy.sum([communicator.rank: own], of: communicator.count, owner: { $0 }, over: communicator)
  }

  /// The sum of the ranks' gradients, on every rank: in a tree over the ranks.
  fileprivate func sum(_ own: Tensor, _ context: ExecutionContext) throws -> Tensor {
    try GradientTree(rows: communicator.count, communicator: communicator).sum(own.count, context) { _ in own
    }
  }

  /// The dropout of a rank's rows, which is another one than that of its neighbours'.
  fileprivate func key(_ pass: RandomKey) -> RandomKey { pass("part")(communicator.rank) }
}

extension TransformerModel {
  /// Adds up the gradients of a step's passes, of which every rank walks through its rows, into the model's gradients.
  /// - Parameters:
  ///   - configuration: batch, passes, smoothing, seed.
  ///   - step: its number, from 1.
  ///   - share: who has which rows.
  ///   - input: the whole sequences of a pass; called with `(step − 1)·accumulation + pass`.
  /// - Returns: the loss over all rows, on every rank.
  /// - Throws: what the task and attention throw; `RankFailure`.
  func sumPartGradients(
    _ configuration: TrainingConfiguration, step: Int, _ share: SequenceShare,
    input: (Int) throws -> ModelInput
  ) throws -> CrossEntropy {
    clearGradients()
    var own = CrossEntropy()
    for pass in 0..<configuration.accumulation {
      let number = (step - 1) * configuration.accumulation + pass
      let whole = try input(number), counted = scoredCount(whole), part = try share.part(of: whole)
      // Every rank sees the same count, and all or none walk.
      guard counted > 0 else { continue }
      let key = RandomKey(seed: UInt64(configuration.seed))("dropout")(number)
      var run = layerRun(training: true, key: share.key(key))
      run.spread = part.of
      own =
        own
        + (try loss(
          part.input, smoothing: configuration.labelSmoothing,
          gradientScale: 1 / Double(configuration.accumulation) / Double(counted), run))
    }
    state.gradients = try share.sum(state.gradients, context)
    return try share.sum(own)
  }

  /// The loss in evaluation of sequences that ranks share, on every rank.
  /// - Throws: what attention throws; `RankFailure`.
  func loss(_ input: ModelInput, shared share: SequenceShare) throws -> CrossEntropy {
    let part = try share.part(of: input)
    var run = evaluationRun
    run.spread = part.of
    return try share.sum(loss(part.input, smoothing: 0, gradientScale: 0, run))
  }
}
