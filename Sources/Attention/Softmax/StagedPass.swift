import AttentionCore
import Tensors

/// A pass over a variant's tiles whose scores are not, or not only, products of q and k.
struct StagedPass {
  private let softmax: SoftmaxSettings
  private let variant: any PatternVariant
  private let scale: Double
  /// The pairs by distance where these are clamped; `nil`: all are one pass.
  private let parts: DistanceParts?

  init(
    _ softmax: SoftmaxSettings, over variant: any PatternVariant, scale: Double, parts: DistanceParts?
  ) {
    (self.softmax, self.variant, self.scale, self.parts) = (softmax, variant, scale, parts)
  }

  private var shape: AttentionShape { variant.shape }

  private var relative: RelativeScore? {
    softmax.score == .relative ? RelativeScore(shape: shape, scale: scale, clamp: softmax.clamp) : nil
  }

  private var buckets: DistanceBuckets? {
    guard softmax.bias == .t5 else { return nil }
    return DistanceBuckets(
      count: softmax.biasBuckets, distance: softmax.biasDistance, isCausal: shape.isCausal)
  }

  /// The shape of the pass.
  private var passShape: AttentionShape { relative?.longer ?? shape }

  /// Whether the kernels do more than products.
  private var hasStages: Bool { softmax.score == .additive || buckets != nil }

  /// Plans it.
  /// - Throws: `MemoryLimitExceeded`.
  func prepare(for pass: PassKind, in context: ExecutionContext) throws {
    for (pattern, shape) in zip(patterns(pass), passShapes) {
      try Engine.prepare(pattern, for: pass, shape: shape, staged: hasStages, in: context)
    }
  }

  /// The tiles of every pass: all pairs, or near ones and then those beyond the clamp.
  private func patterns(_ pass: PassKind) -> [TilePattern] {
    parts?.patterns(pass) ?? [pass == .backward ? variant.backwardPattern : variant.pattern]
  }

  /// Their shapes.
  private var passShapes: [AttentionShape] {
    [passShape] + (relative.map { far in far.farDistances.map { _ in far.farShape } } ?? [])
  }

  /// Adds what it takes beyond the variant's products.
  func add(to cost: inout Cost, of pass: PassKind) {
    let pairs = cost.neededPairs ?? 0
    if softmax.score == .additive {
      // A sum, a tanh and a multiply-add take the place of a multiply-add; going back, the scores again, and twelve for du.
      cost.flops += (pass == .backward ? 10 : 2) * Double(shape.headDim) * pairs
    }
    if let relative {
      cost.flops +=
        (pass == .backward ? 6 : 2) * Double(relative.width) * pairs + relative.operations(of: pass)
      cost.workspaceBytes += relative.workspaceBytes(of: pass)
      cost.workspaceBytes += relative.farBytes(of: pass)
      let long = Engine.scratchBytes(relative.longer, backward: pass == .backward)
      cost.workspaceBytes += Double(long - Engine.scratchBytes(shape, backward: pass == .backward))
    }
    if let buckets {
      cost.flops += (pass == .backward ? 2 : 1) * pairs
      cost.workspaceBytes += DistanceBias.byteCount(shape)
      cost.workspaceBytes += ScoreStages.workspaceBytes(
        of: pass, passShape, isAdditive: softmax.score == .additive, buckets: buckets.count)
    } else if softmax.score == .additive {
      cost.workspaceBytes += ScoreStages.workspaceBytes(of: pass, shape, isAdditive: true, buckets: 0)
    }
  }

  /// Output and LSE, with the gradients of what scores are made of.
  /// - Parameter logits: what rows start with; `nil`: nothing.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func forward(_ inputs: Operands, startingWith logits: [Float]?, in context: ExecutionContext) throws
    -> Forward
  {
    let energyName = SoftmaxSettings.energy.name
    let biasName = DistanceBuckets.operand(count: softmax.biasBuckets).name
    var stages = ScoreStages()
    stages.logits = logits
    if softmax.score == .additive { stages.energy = inputs[energyName] }
    if let buckets, let biases = inputs[biasName] {
      stages.bias = try buckets.table(biases, shape: shape, ledger: context.ledger)
    }
    let lengthened = try relative?.lengthened(inputs, in: context)
    let read = [lengthened?.inputs ?? inputs] + (lengthened?.far ?? [])
    let (shapes, patterns) = (passShapes, patterns(.forward))
    let passes = try read.indices.map { index in
      var stages = stages
      // Rows start once, in the first of their passes.
      if index > 0 { stages.logits = nil }
      return try Engine.attend(
        read[index], stages, shape: shapes[index], scale: softmax.score == .additive ? 1 : scale,
        pattern: patterns[index], backwardPattern: { self.patterns(.backward)[index] }, in: context
      ) { energy, sums, context in
        var learned: [Operand.Name: Tensor] = [:]
        if let energy { learned[energyName] = energy }
        if let sums { learned[biasName] = try sums.summedByHead(in: context) }
        return learned
      }
    }
    guard let lengthened else { return passes[0] }
    guard passes.count > 1 else { return passes[0].turningBack { try lengthened.back([$0], $1) } }
    return try Forward(joining: passes, in: context) { gradients, context in
      var result = try lengthened.back(gradients, context)
      if let bias = gradients[0][biasName] {
        result[biasName] = try gradients.dropFirst().reduce(bias) { sum, part in
          try part[biasName].map { try context.add(sum, $0) } ?? sum
        }
      }
      return result
    }
  }

  /// Statistics of the rows under these scores.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func statistics(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics {
    let energy = softmax.score == .additive ? inputs[SoftmaxSettings.energy.name] : nil
    let lengthened = try relative?.lengthened(inputs, in: context)
    let read = [lengthened?.inputs ?? inputs] + (lengthened?.far ?? [])
    let (shapes, patterns) = (passShapes, patterns(.forward))
    let found = try read.indices.map { index in
      let score: PairScore =
        energy.map { .additive($0, dim: shape.headDim) } ?? .products(scale, dim: shapes[index].headDim)
      var statistics = TileStatistics(shape: shapes[index], pattern: patterns[index], score: score)
      if let buckets, let biases = inputs[DistanceBuckets.operand(count: softmax.biasBuckets).name] {
        let table = try buckets.table(biases, shape: shape, ledger: context.ledger)
        statistics.bias = { table.value($0, distance: $1) }
      }
      return try statistics.tallies(of: read[index], in: context)
    }
    return ScoreTally.statistics(of: found.dropFirst().reduce(found[0]) { zip($0, $1).map { $0.joined($1) } })
  }

  /// The variant's definition under these scores.
  func scoring(_ definition: SoftmaxDefinition) -> SoftmaxDefinition {
    var result = definition
    if softmax.score == .additive { result = result.scoredAdditively(by: SoftmaxSettings.energy) }
    if let relative {
      let operands = RelativeScore.operands(untie: softmax.untie)
      for term in relative.terms { result = result.adding(term, reading: operands) }
    }
    if let buckets {
      result = result.adding(buckets.term(shape), reading: [DistanceBuckets.operand(count: buckets.count)])
    }
    return result
  }
}
