import AttentionCore
import Settings
import Tensors

/// The shape of a Transformer, declared once for YAML, `--set`, checkpoints and the CSV.
public struct ModelConfiguration: ParameterSet {
  /// Which stacks there are.
  public enum Kind: String, CaseIterable, Hashable, Sendable {
    /// Causal blocks (GPT-like).
    case decoder
    /// Bidirectional blocks (BERT-like).
    case encoder
    /// Bidirectional blocks read the source, causal blocks with cross-attention write the target.
    case encoderDecoder = "encoder-decoder"
  }
  /// What normalises.
  public enum Norm: String, CaseIterable, Hashable, Sendable {
    /// LayerNorm (Ba et al., 2016).
    case layer
    /// RMSNorm (Zhang and Sennrich, 2019).
    case rms
    /// BatchNorm over all tokens of a batch, with running moments for evaluation.
    case batch
  }
  /// How the layers of a stack are wired.
  public enum Residual: String, CaseIterable, Hashable, Sendable {
    /// `x + f(norm(x))`, with a norm at the end.
    case pre
    /// `norm(x + f(x))`.
    case post
    /// Two streams, `y₁ = x₁ + f(norm(x₂))`, `y₂ = x₂ + g(norm(y₁))`, and a norm at the end: backward computes the
    /// activations again, so that memory does not grow with depth (Reformer).
    case reversible
  }
  /// What a reversible stack gives of its two streams.
  public enum StreamJoin: String, CaseIterable, Hashable, Sendable {
    /// `(y₁ + y₂)/2` (lucidrains' code).
    case mean
    /// Both beside each other, twice as wide (Hugging Face's code).
    case concat
  }
  /// How positions enter.
  public enum Position: String, CaseIterable, Hashable, Sendable {
    /// Added sines and cosines, interleaved, base 10000.
    case sinusoidal
    /// An added learned table.
    case learned
    /// Rotated q and k, pairs (i, i + d/2).
    case rope
    /// Rotated q and k, pairs (2i, 2i + 1).
    case ropeInterleaved = "rope-interleaved"
    /// A bias −slope·(i − j) on the scores.
    case alibi
    /// Not at all.
    case none
  }
  /// The feed-forward layer.
  public enum FeedForwardKind: String, CaseIterable, Hashable, Sendable {
    /// `W₂·max(W₁x, 0)`.
    case relu
    /// `W₂·GELU(W₁x)` with the error function.
    case gelu
    /// `W₂·GELU(W₁x)` with the tanh form.
    case geluTanh = "gelu-tanh"
    /// `W₂·(SiLU(W_g x)∘W_u x)`.
    case swiglu
  }

  /// Which stacks there are.
  public var kind = Kind.decoder
  /// Token ids are below this.
  public var vocabulary = 256
  /// The longest sequence that a learned position table covers.
  public var maximumLength = 1024
  /// The width of the residual stream, d_model.
  public var width = 128
  /// Blocks (of the decoder, where there are two stacks).
  public var layers = 4
  /// Blocks of the encoder of an encoder–decoder; 0: as many as `layers`.
  public var encoderLayers = 0
  /// Query heads.
  public var heads = 4
  /// Key and value heads; 0: as many as `heads`.
  public var keyHeads = 0
  /// The feed-forward layer's inner width; 0: 4·width.
  public var hidden = 0
  /// The attention of the layers in turn, such as `sliding-window(left=63) x3, full`.
  public var attention = "full"
  /// How positions enter.
  public var position = Position.rope
  /// The feed-forward layer.
  public var feedForward = FeedForwardKind.gelu
  /// What normalises.
  public var norm = Norm.layer
  /// How the layers are wired.
  public var residual = Residual.pre
  /// What a reversible stack gives of its two streams.
  public var reversibleOutput = StreamJoin.mean
  /// Rows that the feed-forward layer computes at a time; 0: all.
  public var feedForwardChunk = 0
  /// ε of the norms.
  public var epsilon = 1e-5
  /// The share of activations dropped in training.
  public var dropout = 0.0
  /// Whether linear layers have biases.
  public var bias = true
  /// Whether the output uses the embedding's weights.
  public var tied = true
  /// Whether embeddings are multiplied by √width.
  public var scaleEmbedding = true
  /// Whether the embedding's sum is normalised (BERT).
  public var embeddingNorm = false
  /// Rows of a token-type table of which row 0 is added to every token (BERT has 2); 0: none.
  public var tokenTypes = 0
  /// Classes of a classification head on the mean of the encoder's outputs; 0: a token at every position.
  public var classes = 0
  /// The seed of the initial weights and of the attention patterns.
  public var seed = 1

  /// The defaults.
  public init() {}

  /// All parameters, in the order in which they are shown.
  public static let parameters: [Parameter<ModelConfiguration>] = [
    .choice("kind", \.kind, help: "which stacks there are"),
    .integer("vocabulary", \.vocabulary, in: 2...1_000_000, unit: "tokens", help: "token ids are below this"),
    .integer(
      "maximumLength", \.maximumLength, in: 1...4_194_304, unit: "tokens", help: "the longest sequence"),
    .integer("width", \.width, in: 1...65_536, help: "the width of the residual stream, d_model"),
    .integer("layers", \.layers, in: 1...1000, help: "blocks (of the decoder, where there are two stacks)"),
    .integer("encoderLayers", \.encoderLayers, in: 0...1000, help: "blocks of the encoder; 0: as layers"),
    .integer("heads", \.heads, in: 1...1024, help: "query heads; divides width"),
    .integer("keyHeads", \.keyHeads, in: 0...1024, help: "key and value heads; divides heads; 0: as heads"),
    .integer("hidden", \.hidden, in: 0...262_144, help: "the feed-forward layer's inner width; 0: 4·width"),
    .text("attention", \.attention, help: "the layers' attention in turn: sliding-window(left=63) x3, full"),
    .choice("position", \.position, help: "how positions enter"),
    .choice("feedForward", \.feedForward, help: "the feed-forward layer"),
    .choice("norm", \.norm, help: "what normalises"),
    .choice(
      "residual", \.residual,
      help: "norm before or after the residual sum, or two streams whose memory does not grow with depth"),
    .choice(
      "reversibleOutput", \.reversibleOutput,
      help: "what a reversible stack gives of its two streams; concat: twice the width, needs tied=false"),
    .integer(
      "feedForwardChunk", \.feedForwardChunk, in: 0...(1 << 30), unit: "rows",
      help: "rows that feed-forward computes at a time, and again on the way back; 0: all"),
    .real("epsilon", \.epsilon, in: 0...1, help: "ε of the norms"),
    .real("dropout", \.dropout, in: 0...0.99, help: "the share of activations dropped in training"),
    .flag("bias", \.bias, help: "whether linear layers have biases"),
    .flag("tied", \.tied, help: "whether the output uses the embedding's weights"),
    .flag("scaleEmbedding", \.scaleEmbedding, help: "whether embeddings are multiplied by √width"),
    .flag("embeddingNorm", \.embeddingNorm, help: "whether the embedding's sum is normalised (BERT)"),
    .integer("tokenTypes", \.tokenTypes, in: 0...16, help: "rows of a token-type table (BERT: 2)"),
    .integer("classes", \.classes, in: 0...100_000, help: "classes of a classification head; 0: none"),
    .integer("seed", \.seed, help: "the seed of the initial weights and of the attention patterns"),
  ]

  /// Names that older files use.
  public static let formerNames = ["placement": "residual"]

  /// The width of a head.
  public var headDim: Int { width / heads }
  /// The width of a stack's output.
  public var outputWidth: Int { residual == .reversible && reversibleOutput == .concat ? 2 * width : width }
  /// Blocks whose activations a training step keeps until it comes back to them.
  public var storedBlocks: Int { residual == .reversible ? 1 : layers }
  /// Key heads in force.
  public var effectiveKeyHeads: Int { keyHeads == 0 ? heads : keyHeads }
  /// The inner width in force.
  public var effectiveHidden: Int { hidden == 0 ? 4 * width : hidden }
  /// Encoder blocks in force.
  public var effectiveEncoderLayers: Int {
    switch kind {
    case .decoder: 0
    case .encoder: layers
    case .encoderDecoder: encoderLayers == 0 ? layers : encoderLayers
    }
  }
  /// Decoder blocks in force.
  public var effectiveDecoderLayers: Int { kind == .encoder ? 0 : layers }

  /// Checks what depends on several parameters; nothing is allocated before this passed.
  /// - Throws: `ConfigurationError`.
  public func validate(in catalog: Catalog) throws(ConfigurationError) {
    func require(_ holds: Bool, _ field: String, _ value: some Sendable, _ allowed: String)
      throws(ConfigurationError)
    {
      if !holds { throw ConfigurationError(field: field, value: "\(value)", allowed: allowed) }
    }
    // A configuration may come from elsewhere than settings: nothing is multiplied before its numbers are in range.
    for parameter in Self.parameters {
      var copy = self
      try parameter.assign(parameter.get(self), to: &copy)
    }
    try require(width % heads == 0, "heads", heads, "a divisor of the width \(width)")
    try require(heads % effectiveKeyHeads == 0, "keyHeads", keyHeads, "a divisor of the \(heads) heads, or 0")
    let rotary = position == .rope || position == .ropeInterleaved
    try require(
      !rotary || headDim % 2 == 0, "position", position.rawValue,
      "an even head width for RoPE (width/heads is \(headDim))")
    try require(
      position != .alibi || kind == .decoder, "position", position.rawValue,
      "alibi only in a decoder; another here")
    try require(
      classes == 0 || kind == .encoder, "classes", classes, "0 unless kind is encoder")
    try require(
      outputWidth == width || classes > 0 || !tied, "reversibleOutput", reversibleOutput.rawValue,
      "mean, or concat with tied=false (concat is twice as wide as the embedding)")
    for layer in try layerAttention() {
      let shape = try AttentionShape(
        queryHeads: heads, keyHeads: effectiveKeyHeads, queryLength: maximumLength, headDim: headDim,
        isCausal: kind != .encoder)
      // Ranges and names are checked against the longest shape; a plan for it is not built.
      try catalog.check(layer.id, settings: layer.settings, for: shape)
    }
    try checkOperands(in: catalog)
  }

  /// The attention of every layer, the list repeated as often as needed.
  /// - Throws: `ConfigurationError`.
  public func layerAttention() throws(ConfigurationError) -> [LayerAttention] {
    let pattern = try LayerAttention.parse(attention)
    return (0..<max(layers, effectiveEncoderLayers)).map { pattern[$0 % pattern.count] }
  }
}
