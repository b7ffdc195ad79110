import AttentionCore
import Basics
import Hierarchies
import Layers
import Settings
import Tensors
import Vision

/// A Transformer: decoder, encoder or encoder–decoder. Every layer's forward pass carries its way back.
///
/// Parameter names (checkpoints, gradients): `embedding.weight` `[vocabulary, width]`;
/// `{encoder,decoder}.positions.weight`; for layer l and sublayer s of `attention`, `cross`:
/// `{stack}.layers.l.s.{query,key,value,output}.{weight,bias}` (weights `[output, input]`) and
/// `{stack}.layers.l.s.norm.{weight,bias}`; for the operands of an attention variant's own
/// `{stack}.layers.l.attention.{operand}.{weight,bias}`, or `{stack}.layers.l.attention.{operand}` of those that are parameters
/// themselves; with latent rows `{stack}.layers.l.attention.{latent,keyRope}` `[latent, width]` and `[ropeWidth, width]`,
/// `latentNorm.weight`, `{key,value}.weight` `[heads·d, latent]` without biases, `queryRope` beside `query`, and with a queries'
/// latent `queryLatent`, `queryNorm.weight`, behind which `query` and `queryRope` have no biases either;
/// with `shortConvolution` of recurrent layers `{stack}.layers.l.attention.convolution.{weight,bias}`, `[rows, columns of q, k and v]`, row 0
/// the oldest, and with `outputGate` `….gate.{weight,bias}` `[heads·d, width]` and `….gateNorm.weight`, `[d]`, or `[heads·d]` of silu-first;
/// with `head_norm` `….{queryHeadNorm,keyHeadNorm}.weight` `[d]`, with `attention_gate` `….gate.{weight,bias}`;
/// `{stack}.layers.l.feedForward.{inner,outer}.{weight,bias}`
/// (`gate`, `up` instead of `inner` for gated units; with `experts` `router.{weight,bias}` `[experts, width]`, `router.correction`,
/// `experts.e.{gate,up,outer}.{weight,bias}`, `shared.{gate,up,outer}.weight`, `shared.scale.weight`) and `….feedForward.norm.…`; `….outputNorm.weight` of residual sandwich; `{stack}.norm.…` (not in post-norm stacks);
/// `output.weight` `[vocabulary, width]` when not tied (2·width for `reversibleOutput: concat`);
/// `classifier.{weight,bias}`; of an auxiliary task `heads.NAME.weight` `[tokens, width]`, or `heads.NAME.{weight,bias}` `[classes, width]`. Of kind vit `encoder.patches.{weight,bias}` `[width, patch·patch·channels]`, `encoder.class`
/// `[1, width]`, `encoder.positions.weight`, `encoder.times.weight`, and with video divided `….time.…` beside `….attention.…`.
public final class TransformerModel {
  /// The shape.
  public let configuration: ModelConfiguration
  /// All parameters by name.
  public let layout: ParameterLayout
  /// What is saved but not trained.
  public let buffers: [BufferSlot]
  /// Where operations run.
  public var context: ExecutionContext
  /// The variants that its layers may use.
  public let catalog: Catalog

  /// Whether some layer learns from what the loss turns out to be: one that draws in training, or one with a loss of its own.
  package let draws: Bool
  package let state: ModelState
  let planner: AttentionPlanner
  /// `nil`: the trunk reads images itself.
  let embedding: Embedding?
  let sourceEmbedding: Embedding?
  /// What reads a document in segments, or images.
  package let trunk: (any Trunk)?
  package let encoder: Stack?
  package let decoder: Stack?
  /// What the main task's predictions are made by.
  let mainHead: TaskHead
  /// The same of auxiliary tasks, in their order.
  let taskHeads: [TaskHead]
  /// What is learned without labels; `nil`: labels are.
  package let pretext: PretextHead?

  /// Builds a model with initial weights.
  /// - Throws: `ConfigurationError` before anything is allocated; `MemoryLimitExceeded`.
  public convenience init(
    _ configuration: ModelConfiguration, catalog: Catalog, context: ExecutionContext = .recycling()
  ) throws {
    try self.init(configuration, catalog: catalog, context: context) { layout, buffers in
      let key = RandomKey(seed: UInt64(configuration.seed))("weights")
      return (
        try layout.initialValues(key: key),
        buffers.flatMap { [Float](repeating: $0.initial, count: $0.count) }
      )
    }
  }

  /// Builds a model around weights.
  /// - Parameter weights: makes the flat array of parameters and that of buffers. It is called once the layout is known
  ///   and before anything is allocated, so that a file's shapes can be compared with it.
  /// - Throws: `ConfigurationError` before anything is allocated; `MemoryLimitExceeded`; what `weights` throws.
  package init(
    _ configuration: ModelConfiguration, catalog: Catalog, context: ExecutionContext,
    weights: (ParameterLayout, [BufferSlot]) throws -> (weights: Tensor, buffers: [Float])
  ) throws {
    try configuration.validate(in: catalog)
    self.configuration = configuration
    self.catalog = catalog
    self.context = context
    let key = RandomKey(seed: UInt64(configuration.seed))
    planner = AttentionPlanner(catalog: catalog, key: key)
    var layout = ParameterLayout()
    var buffers: [BufferSlot] = []
    let attention = try configuration.layerAttention()
    let operands = try attention.map { layer throws(ConfigurationError) in try catalog.operands(of: layer) }
    draws = operands.contains { $0.declared.contains { $0.source == .uniform || $0.isDetached } }
    let isSingle = !configuration.kind.hasSource
    let main = TransformerModel.mainName(of: configuration.kind)
    embedding =
      configuration.kind.readsImages
      ? nil
      : Embedding("\(main).positions", configuration.layer, sharing: nil, in: &layout, buffers: &buffers)
    sourceEmbedding =
      isSingle
      ? nil
      : Embedding(
        "encoder.positions", configuration.layer, sharing: embedding?.table, in: &layout, buffers: &buffers)
    trunk = try TransformerModel.trunk(configuration, attention, operands, &layout, &buffers)
    encoder =
      configuration.effectiveEncoderLayers == 0 || trunk != nil
      ? nil
      : Stack(
        "encoder", configuration.layer, layers: configuration.effectiveEncoderLayers, isCausal: false,
        hasMemory: false, attention: attention, operands: operands, in: &layout, buffers: &buffers)
    decoder =
      configuration.effectiveDecoderLayers == 0
      ? nil
      : Stack(
        main, configuration.layer, layers: configuration.effectiveDecoderLayers,
        isCausal: !configuration.kind.isBidirectional, hasMemory: configuration.kind == .encoderDecoder,
        attention: attention, operands: operands, in: &layout, buffers: &buffers)
    let deviation = 1 / Double(configuration.outputWidth).squareRoot()
    let outputs = configuration.effectiveOutputVocabulary
    let outputWeight =
      configuration.classes > 0
      ? nil
      : configuration.tied
        ? embedding?.table?.rows(0..<outputs)
        : layout.add(
          "output.weight", [outputs, configuration.outputWidth], .normal(deviation), decays: true)
    let pooling = TransformerModel.pooling(configuration, &layout)
    let classifier =
      configuration.classes > 0
      ? Linear(
        "classifier", from: configuration.outputWidth, to: configuration.classes, bias: true, in: &layout)
      : nil
    mainHead = TaskHead(
      name: nil, outputs: classifier == nil ? outputs : configuration.classes, output: outputWeight,
      pooling: pooling, classifier: classifier)
    pretext = PretextHead("pretext", configuration.pretext, trunk as? VisionTransformer, in: &layout)
    // Behind all else: what stands before has the same places, and so the same bits, whatever heads there are.
    taskHeads = try configuration.taskHeads().map { TaskHead($0, of: configuration, in: &layout) }
    if configuration.pretext.kind == .frozen { layout.leaveUndecayed { !$0.hasPrefix("classifier.") } }
    // Weights as they are drawn, as they are kept, and their gradients: 12 bytes a parameter, before any is drawn.
    if let limit = context.ledger?.limitBytes, layout.count > limit / 12 {
      throw ConfigurationError(
        field: "model", value: "\(layout.count) parameters",
        allowed:
          "at most \(limit / 12) in the memory of this machine; width, hidden, layers and vocabulary decide")
    }
    self.layout = layout
    self.buffers = buffers
    let values = try weights(layout, buffers)
    state = try ModelState(weights: values.weights, buffers: values.buffers)
  }

  /// The name of the main stack in checkpoints.
  private static func mainName(of kind: ModelConfiguration.Kind) -> String {
    switch kind {
    case .encoder, .vit: "encoder"
    case .decoder, .encoderDecoder: "decoder"
    case .pair: "question"
    case .cnn: "network"
    }
  }

  private static func pooling(
    _ configuration: ModelConfiguration, _ layout: inout ParameterLayout
  ) -> (any Layer)? {
    guard configuration.classes > 0, !configuration.poolsInTrunk else { return nil }
    guard configuration.kind == .pair else {
      return configuration.pooling.layer("pooling", width: configuration.outputWidth, in: &layout)
    }
    return CoAttention("pair", configuration.coAttention, width: configuration.width, in: &layout)
  }

  private static func trunk(
    _ configuration: ModelConfiguration, _ attention: [LayerAttention], _ operands: [LayerOperands],
    _ layout: inout ParameterLayout, _ buffers: inout [BufferSlot]
  ) throws(MemoryLimitExceeded) -> (any Trunk)? {
    if configuration.kind == .vit {
      return try VisionTransformer(
        "encoder", configuration.layer, configuration.images, layers: configuration.layers,
        hasClassToken: configuration.hasClassToken, attention: attention, operands: operands, in: &layout,
        buffers: &buffers)
    }
    if configuration.kind == .cnn {
      return ResidualNetwork(
        mainName(of: .cnn), configuration.cnn, from: configuration.features, epsilon: configuration.epsilon,
        in: &layout, buffers: &buffers)
    }
    return switch configuration.hierarchy.kind {
    case .none: nil
    case .han:
      HierarchicalAttentionNetwork(
        "encoder", configuration.layer, configuration.hierarchy, layers: configuration.layers,
        attention: attention, operands: operands, in: &layout, buffers: &buffers)
    case .hat:
      HierarchicalTransformer(
        "encoder", configuration.layer, configuration.hierarchy, layers: configuration.layers,
        attention: attention, operands: operands, in: &layout, buffers: &buffers)
    }
  }

  /// The same weights with other attention in its layers, or with rotary positions that turn otherwise: how a trained model fares
  /// under another variant, or on longer texts.
  ///
  /// Parameters of a variant's own stay where a layer still has them, are left out where it has none any more, and start as in
  /// a fresh model where it had none before.
  /// - Throws: `ConfigurationError`.
  public func replacingAttention(_ attention: String?, rotary: String? = nil) throws -> TransformerModel {
    var changed = try attention.map { try configuration.replacingAttention($0, in: catalog) } ?? configuration
    if let rotary { changed.layer.rotary = try LayerConfiguration.rotary(reading: rotary) }
    let model = try TransformerModel(changed, catalog: catalog, context: context)
    model.state.weights = try model.layout.values(
      from: layout, state.weights, fresh: model.state.weights)
    model.state.buffers = state.buffers
    return model
  }

  /// Parameters in all.
  public var parameterCount: Int { layout.count }

  /// Parameters without embedding and position tables: the N of scaling laws (Kaplan et al., 2020).
  public var nonEmbeddingParameterCount: Int {
    layout.slots.filter { !$0.name.hasSuffix("embedding.weight") && !$0.name.contains(".positions.") }
      .reduce(0) { $0 + $1.count }
  }

  package func layerRun(training: Bool, key: RandomKey = RandomKey(seed: 0)) -> LayerRun {
    LayerRun(state: state, context: context, planner: planner, training: training, key: key)
  }

  /// A walk without dropout and without a way back.
  package var evaluationRun: LayerRun { layerRun(training: false).withoutWayBack }
}
