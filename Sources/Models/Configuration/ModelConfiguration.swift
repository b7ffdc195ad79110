import AttentionCore
import Hierarchies
import Layers
import Settings
import Tensors
import Vision

/// The shape of a Transformer, declared once for YAML, `--set`, checkpoints and the CSV.
@dynamicMemberLookup
public struct ModelConfiguration: ParameterSet {
  /// Which stacks there are.
  public var kind = Kind.decoder
  /// What its layers have in common; its settings read as the model's own.
  public var layer = LayerConfiguration()
  /// Blocks (of the decoder, where there are two stacks; of the tokens in a pair).
  public var layers = 4
  /// Blocks of the encoder of an encoder–decoder or a pair; 0: as many as `layers`.
  public var encoderLayers = 0
  /// The attention of the layers in turn, such as `sliding-window(left=63) x3, full`.
  public var attention = "full"
  /// Whether the output uses the embedding's weights.
  public var tied = true
  /// c of a soft cap on the logits of tokens, `c·tanh(z/c)`; 0: none.
  public var logitSoftcap = 0.0
  /// Classes of a classification head on the mean of the encoder's outputs; 0: a token at every position.
  public var classes = 0
  /// Tokens that the output tells apart, where auxiliary tasks read more; 0: all of the vocabulary.
  public var outputVocabulary = 0
  /// The heads of auxiliary tasks.
  public var taskHeadsLine = ""
  /// What a class is told from.
  public var pooling = PoolingKind.mean
  /// How two sequences are read by each other.
  public var coAttention = CoAttentionKind.parallel
  /// Positions of earlier segments that every layer keeps (Transformer-XL); 0: none.
  public var memory = 0
  /// What stands before the first segment of a text.
  public var emptyMemory = EmptyMemory.absent
  /// What becomes of stored pairs where a text begins.
  public var storedTexts = StoredTexts.forget
  /// How documents are read in two levels.
  public var hierarchy = HierarchyConfiguration()
  /// How images become rows, of kind vit.
  public var images = PatchConfiguration()
  /// What is learned without labels, of kind vit.
  public var pretext = PretextConfiguration()
  /// The convolutions of kind `cnn`.
  public var cnn = ConvolutionalConfiguration()
  /// The seed of the initial weights and of the attention patterns.
  public var seed = 1

  /// The defaults.
  public init() {}

  /// All parameters, in the order in which they are shown.
  public static let parameters =
    ownParameters + headParameters
    + ConvolutionalConfiguration.parameters.map { $0.within(\.cnn, quietly: true) }

  private static let ownParameters: [Parameter<ModelConfiguration>] = [
    .choice("kind", \.kind, help: "which stacks there are"),
    .integer(
      "vocabulary", \.layer.vocabulary, in: 2...1_000_000, unit: "tokens", help: "token ids are below this"),
    .integer(
      "maximum_length", \.layer.maximumLength, in: 1...4_194_304, unit: "tokens", help: "the longest sequence"
    ),
    .integer(
      "features", \.layer.features, in: 0...1_000_000,
      help: "numbers that describe a row in place of a token (nodes of a graph); 0: tokens"),
    .integer("width", \.layer.width, in: 1...65_536, help: "the width of the residual stream, d_model"),
    .integer("layers", \.layers, in: 1...1000, help: "blocks (of the decoder, where there are two stacks)"),
    .integer("encoder_layers", \.encoderLayers, in: 0...1000, help: "blocks of the encoder; 0: as layers"),
    .integer("heads", \.layer.heads, in: 1...1024, help: "query heads; divides width"),
    .integer(
      "key_heads", \.layer.keyHeads, in: 0...1024, help: "key and value heads; divides heads; 0: as heads"),
    .integer(
      "head_width", \.layer.headWidth, in: 0...65_536, help: "width of a head; 0: width/heads"
    ).quiet,
    .flag(
      "head_norm", \.layer.headNorm,
      help: "whether every head of q and of k is normalised by RMSNorm, before positions turn it"
    ).quiet,
    .real(
      "attention_scale", \.layer.attentionScale, in: 0...1e6,
      help: "factor on products of q and k; 0: 1/√(width of a head)"
    ).quiet,
    .choice(
      "attention_bias", \.layer.attentionBias, quietly: true,
      help:
        "which linear maps of attention have biases: all or none as bias says, all, those of q, k and v, or none"
    ),
    .integer(
      "latent", \.layer.latent, in: 0...65_536,
      help: "width of the latent row that keys and values of all heads are made of (MLA); 0: none"
    ).quiet,
    .integer(
      "query_latent", \.layer.queryLatent, in: 0...65_536,
      help: "width of the latent row that queries are made of, with latent; 0: none"
    ).quiet,
    .integer(
      "rope_width", \.layer.ropeWidth, in: 0...65_536,
      help: "elements that rotary positions turn beside those of a head, with latent; 0: half of a head"
    ).quiet,
    .integer(
      "value_width", \.layer.valueWidth, in: 0...65_536,
      help: "width of a head's values, with latent; 0: that of a head"
    ).quiet,
    .real(
      "latent_epsilon", \.layer.latentEpsilon, in: 0...1, help: "ε of the norms of latent rows; 0: as epsilon"
    ).quiet,
    .integer(
      "hidden", \.layer.hidden, in: 0...262_144, help: "the feed-forward layer's inner width; 0: 4·width"),
    .text(
      "attention", \.attention, allowed: "text",
      help: "the layers' attention in turn: sliding-window(left=63) x3, full", reading: { Spelling.line($0) }),
    .integer(
      "short_convolution", \.layer.shortConvolution, in: 0...ExecutionContext.mostTaps, unit: "rows",
      help: "rows that a causal convolution with SiLU before q, k and v of recurrent layers reads; 0: none"
    ).quiet,
    .choice(
      "convolution_bias", \.layer.convolutionBias, quietly: true, help: "whether that convolution has a bias"),
    .integer(
      "recurrent_heads", \.layer.recurrentHeads, in: 0...1024, help: "heads of recurrent layers; 0: as heads"
    ).quiet,
    .integer(
      "recurrent_groups", \.layer.recurrentGroups, in: 0...1024,
      help:
        "heads of q and k in recurrent layers, each for as many neighbouring heads; 0: as heads and key heads say"
    ).quiet,
    .integer(
      "recurrent_key_width", \.layer.recurrentKeyWidth, in: 0...4096,
      help: "width of a head of q and k in recurrent layers; 0: that of a head"
    ).quiet,
    .integer(
      "recurrent_value_width", \.layer.recurrentValueWidth, in: 0...4096,
      help: "width of a head of v in recurrent layers; 0: that of a head"
    ).quiet,
    .choice(
      "attention_gate", \.layer.attentionGate, quietly: true,
      help:
        "what the heads' outputs of layers that are no recurrences are multiplied by: nothing, or σ of a map of the input"
    ),
    .choice(
      "output_gate", \.layer.outputGate, quietly: true,
      help:
        "a norm and a gate on the heads' outputs of recurrent layers: RMSNorm a head, then SiLU or logistic; silu-first: SiLU, then RMSNorm over all"
    ),
    .choice("position", \.layer.position, help: "how positions enter"),
    .text(
      "rotary", \.layer.rotaryLine, allowed: "a list such as: plain x5, linear(base=1e6, factor=8)",
      help: "how far rotary positions turn, by layers in turn; see attnlab list rotary",
      reading: { line throws(ConfigurationError) in
        LayerAttention.line(try LayerConfiguration.rotary(reading: line).map(\.layer))
      }
    ).quiet,
    .choice("feed_forward", \.layer.feedForward, help: "the feed-forward layer"),
    .text(
      "experts", \.layer.expertsLine, allowed: "a list such as: dense x3, routed(experts=64, chosen=6)",
      help: "experts in the place of feed-forward layers, by layers in turn; see attnlab list experts",
      reading: { line throws(ConfigurationError) in
        LayerAttention.line(
          try LayerConfiguration.experts(reading: line).map { $0?.layer ?? LayerAttention("dense") })
      }
    ).quiet,
    .choice("norm", \.layer.norm, help: "what normalises"),
    .choice(
      "residual", \.layer.residual,
      help: "norm before or after the residual sum, or two streams whose memory does not grow with depth"),
    .choice(
      "reversible_output", \.layer.reversibleOutput,
      help: "what a reversible stack gives of its two streams; concat: twice the width, needs tied=false"),
    .integer(
      "feed_forward_chunk", \.layer.feedForwardChunk, in: 0...(1 << 30), unit: "rows",
      help: "rows that feed-forward computes at a time, and again on the way back; 0: all"),
    .real("epsilon", \.layer.epsilon, in: 0...1, help: "ε of the norms"),
    .real("dropout", \.layer.dropout, in: 0...0.99, help: "the share of activations dropped in training"),
    .flag("bias", \.layer.bias, help: "whether linear layers have biases"),
    .flag("tied", \.tied, help: "whether the output uses the embedding's weights"),
    .flag("scale_embedding", \.layer.scaleEmbedding, help: "whether embeddings are multiplied by √width"),
    .real(
      "logit_softcap", \.logitSoftcap, in: 0...1e6,
      help: "c of a soft cap on logits: a logit z becomes c·tanh(z/c); 0: none"
    ).quiet,
    .flag("embedding_norm", \.layer.embeddingNorm, help: "whether the embedding's sum is normalised (BERT)"),
    .integer("token_types", \.layer.tokenTypes, in: 0...16, help: "rows of a token-type table (BERT: 2)"),
    .integer("classes", \.classes, in: 0...100_000, help: "classes of a classification head; 0: none"),
    .choice(
      "pooling", \.pooling,
      help: "what a class is told from; segments: the first tokens of a hierarchy's segments"),
    .choice("co_attention", \.coAttention, help: "how the two sequences of kind pair are read by each other"),
    .choice(
      "hierarchy", \.hierarchy.kind,
      help:
        "documents in segments; han: attention to words, then segments; hat: blocks inside and across segments"
    ),
    .integer(
      "segment_length", \.hierarchy.segmentation.length, in: 0...4_194_304, unit: "tokens",
      help: "the most tokens of a segment of a hierarchy; 0: no limit"),
    .integer(
      "separator", \.hierarchy.segmentation.separator, in: -1...999_999,
      help: "the token that begins a segment of a hierarchy; -1: none"),
    .integer(
      "segment_layers", \.hierarchy.segmentLayers, in: 0...1000,
      help: "layers of a hierarchy across segments; 0: as layers"),
    .choice("han_encoder", \.hierarchy.encoder, help: "what reads words and segments in hierarchy han"),
    .integer(
      "memory", \.memory, in: 0...(1 << 24), unit: "tokens",
      help: "positions of earlier segments that every layer keeps, without gradient (Transformer-XL); 0: none"
    ).quiet,
    .choice(
      "empty_memory", \.emptyMemory,
      help: "what stands before the first segment of a text: nothing, or rows of zeros that attention sees"
    ).quiet,
    .integer(
      "stored", \.layer.stored, in: 0...(1 << 24), unit: "pairs",
      help:
        "keys and values of earlier segments that one layer may look up (Memorizing Transformers); 0: none"
    ).quiet,
    .integer(
      "stored_nearest", \.layer.storedNearest, in: 0...(1 << 20), unit: "keys",
      help: "of the stored keys those that a row's softmax goes over, the nearest; 0: all"
    ).quiet,
    .integer(
      "stored_layer", \.layer.storedLayer, in: 0...1000,
      help: "the layer that looks up stored keys, counted from 1; 0: the last"
    ).quiet,
    .choice(
      "stored_texts", \.storedTexts, quietly: true,
      help: "what becomes of stored keys where a text begins"),
    .integer(
      "patch", \.images.patch, in: 1...4096, unit: "pixels",
      help: "pixels along a side of a patch of kind vit; divides the sides of an image"
    ).quiet,
    .integer(
      "image_height", \.images.height, in: 0...(1 << 20), unit: "pixels",
      help: "pixels of a column of kind vit, all frames of a video below each other; a task says it"
    ).quiet,
    .integer(
      "image_width", \.images.width, in: 0...(1 << 20), unit: "pixels",
      help: "pixels of a row of kind vit; a task says it"
    ).quiet,
    .integer(
      "frames", \.images.frames, in: 1...65_536, help: "frames of a video of kind vit; a task says it"
    ).quiet,
    .choice(
      "video", \.images.video, quietly: true,
      help: "how patches of frames see each other: all jointly, or over time and then space (TimeSformer)"),
    .choice(
      "pretext", \.pretext.kind, quietly: true,
      help:
        "what kind vit learns without labels, with a linear probe beside it: masked patches, contrastive views, or nothing"
    ),
    .real(
      "mask_share", \.pretext.maskShare, in: 0...1, help: "the share of patches that pretext masked hides"
    ).quiet,
    .real(
      "temperature", \.pretext.temperature, in: 0.001...1000,
      help: "what pretext contrastive divides cosines by"
    ).quiet,
    .real(
      "view_crop", \.pretext.crop, in: 0.05...1, help: "the least side of a view, as a share of the image's"
    ).quiet,
    .real(
      "view_shift", \.pretext.shift, in: 0...1,
      help: "how far a view is moved at most, as a share of the side"
    ).quiet,
    .real("view_noise", \.pretext.noise, in: 0...10, help: "the standard deviation of a view's noise").quiet,
    .integer("seed", \.seed, help: "the seed of the initial weights and of the attention patterns"),
  ]

  /// Names that older files use.
  public static let formerNames = ["placement": "residual"]

  /// A setting of the layers.
  public subscript<Value>(dynamicMember path: WritableKeyPath<LayerConfiguration, Value>) -> Value {
    get { layer[keyPath: path] }
    set { layer[keyPath: path] = newValue }
  }
  /// What follows from settings of the layers.
  public subscript<Value>(dynamicMember path: KeyPath<LayerConfiguration, Value>) -> Value {
    layer[keyPath: path]
  }
  /// Blocks whose activations a training step keeps until it comes back to them.
  public var storedBlocks: Int { layer.residual == .reversible ? 1 : layers }
  /// Elements that a training step keeps for every row until it comes back to it, at the least.
  public var storedElements: Double {
    kind == .cnn ? cnn.leastKept : 8 * Double(storedBlocks) * Double(layer.width)
  }
  /// The width of the last hidden states.
  public var outputWidth: Int { kind == .cnn ? cnn.outputWidth : layer.outputWidth }
  /// Whether layers normalise by moments of a batch.
  public var hasBatchMoments: Bool { kind == .cnn || layer.norm == .batch }
  /// Encoder blocks in force.
  public var effectiveEncoderLayers: Int {
    switch kind {
    case .decoder, .cnn: 0
    case .encoder, .vit: layers
    case .encoderDecoder, .pair: encoderLayers == 0 ? layers : encoderLayers
    }
  }
  /// Decoder blocks in force.
  public var effectiveDecoderLayers: Int { kind == .encoder || kind.readsImages ? 0 : layers }

  /// Checks what depends on several parameters; nothing is allocated before this passed.
  /// - Throws: `ConfigurationError`.
  public func validate(in catalog: Catalog) throws(ConfigurationError) {
    // A configuration may come from elsewhere than settings: nothing is multiplied before its numbers are in range.
    for parameter in Self.parameters {
      var copy = self
      try parameter.assign(parameter.get(self), to: &copy)
    }
    try require(
      layer.headWidth > 0 || layer.width % layer.heads == 0, "heads", layer.heads,
      "a divisor of the width \(layer.width)")
    try require(
      layer.heads % layer.effectiveKeyHeads == 0, "key_heads", layer.keyHeads,
      "a divisor of the \(layer.heads) heads, or 0")
    try checkLatent(in: catalog)
    try checkHeads(in: catalog)
    try require(
      layer.position != .alibi || kind == .decoder, "position", layer.position.rawValue,
      "alibi only in a decoder; another here")
    try require(
      layer.features == 0 || (kind == .encoder || kind == .vit) && !tied || kind == .cnn, "features",
      layer.features, "0 unless kind is cnn, or encoder or vit and tied is false")
    try require(
      classes == 0 || kind.isBidirectional, "classes", classes, "0 unless kind is encoder, pair, vit or cnn")
    try require(
      classes > 0 || (kind != .pair && kind != .vit), "kind", kind.rawValue,
      "another for a task that is no classification")
    try require(
      layer.outputWidth == layer.width || classes > 0 || !tied, "reversible_output",
      layer.reversibleOutput.rawValue,
      "mean, or concat with tied=false (concat is twice as wide as the embedding)")
    try checkTaskHeads()
    try checkImages(in: catalog)
    try checkHierarchy()
    try checkMemory(of: memory, in: catalog)
    try checkStored(in: catalog)
    for attention in try layerAttention() {
      let isRecurrent = try catalog.operands(of: attention).isRecurrent
      let own = isRecurrent ? layer.ofRecurrences : layer
      let shape = try AttentionShape(
        queryHeads: own.heads, keyHeads: own.effectiveKeyHeads, queryLength: longestSequence,
        keyLength: kind == .decoder ? memory + layer.maximumLength : nil,
        headDim: own.headDim + (isRecurrent ? 0 : layer.effectiveRopeWidth), valueDim: own.valueDim,
        isCausal: !kind.isBidirectional)
      // Ranges and names are checked against the longest shape; a plan for it is not built.
      try catalog.check(attention.id, settings: attention.settings, for: shape)
    }
    try checkOperands(in: catalog)
  }

  /// The attention of every layer, the list repeated as often as needed. Positions of T5 are a setting of it.
  /// - Throws: `ConfigurationError`.
  public func layerAttention() throws(ConfigurationError) -> [LayerAttention] {
    var pattern = try LayerAttention.parse(attention)
    if layer.position == .t5 {
      for index in pattern.indices { pattern[index].settings["bias"] = .string("t5") }
    }
    return (0..<max(layers, effectiveEncoderLayers, hierarchy.segmentLayers)).map {
      pattern[$0 % pattern.count]
    }
  }
}
