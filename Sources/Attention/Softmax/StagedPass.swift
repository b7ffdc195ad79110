import AttentionCore
import Tensors

/// A pass over a variant's tiles whose scores are not, or not only, products of q and k.
struct StagedPass {
  private let softmax: SoftmaxSettings
  private let variant: any PatternVariant
  private let scale: Double

  init(_ softmax: SoftmaxSettings, over variant: any PatternVariant, scale: Double) {
    (self.softmax, self.variant, self.scale) = (softmax, variant, scale)
  }

  private var shape: AttentionShape { variant.shape }

  private var relative: RelativeScore? {
    softmax.score == .relative ? RelativeScore(shape: shape, scale: scale) : nil
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
    try Engine.prepare(
      pass == .backward ? variant.backwardPattern : variant.pattern, for: pass, shape: passShape,
      staged: hasStages, in: context)
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
    let variant = variant
    let forward = try Engine.attend(
      lengthened?.inputs ?? inputs, stages, shape: passShape, scale: softmax.score == .additive ? 1 : scale,
      pattern: variant.pattern, backwardPattern: { variant.backwardPattern }, in: context
    ) { energy, sums, context in
      var learned: [Operand.Name: Tensor] = [:]
      if let energy { learned[energyName] = energy }
      if let sums { learned[biasName] = try sums.summedByHead(in: context) }
      return learned
    }
    return lengthened.map { forward.turningBack($0.back) } ?? forward
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
