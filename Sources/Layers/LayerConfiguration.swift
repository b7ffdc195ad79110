import AttentionCore
import Experts
import Settings
import Tensors

/// What the layers of a model have in common: sizes, norms, wiring, positions. Part of a model's configuration, which declares
/// the settings.
public struct LayerConfiguration: Hashable, Sendable {
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
    /// `x + norm₂(f(norm₁(x)))`, with a norm at the end (Gemma 2).
    case sandwich
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
    /// A bias on scores that every head learns by bucket of distances, the same in all layers of a stack.
    case t5
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
    /// `W₂·(GELU(W_g x)∘W_u x)` with the error function.
    case geglu
    /// `W₂·(GELU(W_g x)∘W_u x)` with the tanh form.
    case gegluTanh = "geglu-tanh"
    /// There is none: a block is its attention.
    case none

    /// The gated unit; `nil`: it has none.
    package var unit: GatedUnit? {
      switch self {
      case .relu, .gelu, .geluTanh, .none: nil
      case .swiglu: .silu
      case .geglu: .gelu
      case .gegluTanh: .geluTanh
      }
    }
  }

  /// Which linear maps of attention have biases.
  public enum AttentionBias: String, CaseIterable, Hashable, Sendable {
    /// All or none, as `bias` says.
    case asBias = "as-bias"
    /// All.
    case all
    /// Those that make q, k and v.
    case inputs
    /// None.
    case none
  }

  /// Whether the short convolution has a bias.
  public enum ConvolutionBias: String, CaseIterable, Hashable, Sendable {
    /// As `bias` says.
    case asBias = "as-bias"
    /// It has.
    case yes
    /// It has none.
    case no
  }

  /// What becomes of the heads' outputs of a layer that is no recurrence.
  public enum AttentionGate: String, CaseIterable, Hashable, Sendable {
    /// Nothing.
    case none
    /// Times the logistic function of a map of the layer's input.
    case sigmoid
  }

  /// What becomes of the heads' outputs of a recurrent layer.
  public enum OutputGate: String, CaseIterable, Hashable, Sendable {
    /// Nothing.
    case none
    /// RMSNorm of each head, times SiLU of a map of the layer's input.
    case silu
    /// RMSNorm of each head, times the logistic function of that map.
    case sigmoid
    /// Times SiLU of that map, then RMSNorm over all heads, or those of each of `recurrentGroups`.
    case siluFirst = "silu-first"
  }

  /// Token ids are below this.
  public var vocabulary = 256
  /// Numbers that describe a row in place of a token; 0: rows are tokens.
  public var features = 0
  /// The longest sequence that a learned position table covers.
  public var maximumLength = 1024
  /// The width of the residual stream, d_model.
  public var width = 128
  /// Query heads.
  public var heads = 4
  /// Key and value heads; 0: as many as `heads`.
  public var keyHeads = 0
  /// The width of a head, d; 0: width/heads.
  public var headWidth = 0
  /// The factor on products of q and k; 0: 1/√d.
  public var attentionScale = 0.0
  /// Which linear maps of attention have biases.
  public var attentionBias = AttentionBias.asBias
  /// Whether every head of q and of k is normalised by RMSNorm before positions turn it.
  public var headNorm = false
  /// How far positions turn q and k, a layer after the other; the list is repeated.
  public var rotary = [RotaryPositions()]
  /// The width of the latent row that keys and values of all heads are made of (MLA); 0: they are made of the layer's input.
  public var latent = 0
  /// The width of the latent row that queries are made of, beside `latent`; 0: they are made of the layer's input.
  public var queryLatent = 0
  /// The width of a head's values beside `latent`; 0: that of a head.
  public var valueWidth = 0
  /// ε of the norms of latent rows; 0: that of the others.
  public var latentEpsilon = 0.0
  /// The elements that rotary positions turn beside the d of a head, beside `latent`; 0: half of d, an even number.
  public var ropeWidth = 0
  /// Pairs of a key and a value of earlier segments that one layer may look up, of every stream (Memorizing Transformers); 0: none.
  public var stored = 0
  /// Over how many of them a row's softmax goes, those with the nearest keys; 0: over all.
  public var storedNearest = 32
  /// The layer that looks them up, counted from 1; 0: the last.
  public var storedLayer = 0
  /// The feed-forward layer's inner width; 0: 4·width.
  public var hidden = 0
  /// Rows that a convolution before q, k and v of recurrent layers reads; 0: there is none.
  public var shortConvolution = 0
  /// Whether that convolution has a bias.
  public var convolutionBias = ConvolutionBias.asBias
  /// Heads of recurrent layers; 0: as others have them.
  public var recurrentHeads = 0
  /// Heads of q and k in recurrent layers, each of them for as many neighbouring heads; 0: q, k and v as others have them.
  public var recurrentGroups = 0
  /// The width of a head of q and k in recurrent layers; 0: that of others.
  public var recurrentKeyWidth = 0
  /// The width of a head of v in recurrent layers; 0: that of q and k of others.
  public var recurrentValueWidth = 0
  /// What becomes of the heads' outputs of other layers.
  public var attentionGate = AttentionGate.none
  /// What becomes of the heads' outputs of recurrent layers.
  public var outputGate = OutputGate.none
  /// How positions enter.
  public var position = Position.rope
  /// The feed-forward layer.
  public var feedForward = FeedForwardKind.gelu
  /// Experts in the place of feed-forward layers, a layer after the other; the list is repeated. `nil`: none.
  public var experts: [ExpertMixture?] = [nil]
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
  /// Whether embeddings are multiplied by √width.
  public var scaleEmbedding = true
  /// Whether the embedding's sum is normalised (BERT).
  public var embeddingNorm = false
  /// Rows of a token-type table of which row 0 is added to every token (BERT has 2); 0: none.
  public var tokenTypes = 0

  /// The defaults.
  public init() {}

  /// The width of a head.
  public var headDim: Int { headWidth == 0 ? width / heads : headWidth }
  /// The width of a head's values and output.
  public var valueDim: Int { valueWidth == 0 ? headDim : valueWidth }
  /// Whether the short convolution has a bias.
  public var hasConvolutionBias: Bool { convolutionBias == .asBias ? bias : convolutionBias == .yes }
  /// The same with the heads that recurrent layers have.
  public var ofRecurrences: LayerConfiguration {
    var own = self
    if recurrentHeads > 0 { (own.heads, own.keyHeads) = (recurrentHeads, 0) }
    if recurrentGroups > 0 { own.keyHeads = 0 }
    own.headWidth = recurrentKeyWidth == 0 ? headDim : recurrentKeyWidth
    own.valueWidth = recurrentValueWidth == 0 ? headDim : recurrentValueWidth
    own.attentionScale = 0
    return own
  }
  /// Whether the maps that make q, k and v have biases.
  public var hasInputBias: Bool { attentionBias == .asBias ? bias : attentionBias != .none }
  /// Whether the map of the heads' outputs has one.
  public var hasOutputBias: Bool { attentionBias == .asBias ? bias : attentionBias == .all }
  /// `experts` as a line of text.
  public var expertsLine: String {
    get { LayerAttention.line(experts.map { $0?.layer ?? LayerAttention("dense") }) }
    set { if let read = try? Self.experts(reading: newValue) { experts = read } }
  }
  /// Reads a line of experts.
  /// - Throws: `ConfigurationError`.
  public static func experts(reading line: String) throws(ConfigurationError) -> [ExpertMixture?] {
    var result: [ExpertMixture?] = []
    for layer in try LayerAttention.parse(line) { result.append(try ExpertMixture.read(layer)) }
    return result
  }
  /// `rotary` as a line of text.
  public var rotaryLine: String {
    get { LayerAttention.line(rotary.map(\.layer)) }
    set { if let read = try? Self.rotary(reading: newValue) { rotary = read } }
  }
  /// Reads a line of rotary positions.
  /// - Throws: `ConfigurationError`.
  public static func rotary(reading line: String) throws(ConfigurationError) -> [RotaryPositions] {
    var result: [RotaryPositions] = []
    for layer in try LayerAttention.parse(line) { result.append(try RotaryPositions(layer)) }
    return result
  }
  /// Whether positions turn q and k.
  public var isRotary: Bool { position == .rope || position == .ropeInterleaved }
  /// The elements of a head that are turned beside the others, in force; 0 without a latent row or without rotary positions.
  public var effectiveRopeWidth: Int {
    guard latent > 0, isRotary else { return 0 }
    return ropeWidth == 0 ? max(2, headDim / 4 * 2) : ropeWidth
  }
  /// The width of a stack's output.
  public var outputWidth: Int { residual == .reversible && reversibleOutput == .concat ? 2 * width : width }
  /// Key heads in force.
  public var effectiveKeyHeads: Int { keyHeads == 0 ? heads : keyHeads }
  /// The inner width in force.
  public var effectiveHidden: Int { hidden == 0 ? 4 * width : hidden }
}
