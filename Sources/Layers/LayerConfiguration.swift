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
  }

  /// What becomes of the heads' outputs of a recurrent layer.
  public enum OutputGate: String, CaseIterable, Hashable, Sendable {
    /// Nothing.
    case none
    /// RMSNorm of each head, times SiLU of a map of the layer's input.
    case silu
    /// RMSNorm of each head, times the logistic function of that map.
    case sigmoid
    /// Times SiLU of that map, then RMSNorm over all heads.
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
  /// The width of the latent row that keys and values of all heads are made of (MLA); 0: they are made of the layer's input.
  public var latent = 0
  /// The width of the latent row that queries are made of, beside `latent`; 0: they are made of the layer's input.
  public var queryLatent = 0
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
  /// What becomes of the heads' outputs of recurrent layers.
  public var outputGate = OutputGate.none
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
  /// Whether embeddings are multiplied by √width.
  public var scaleEmbedding = true
  /// Whether the embedding's sum is normalised (BERT).
  public var embeddingNorm = false
  /// Rows of a token-type table of which row 0 is added to every token (BERT has 2); 0: none.
  public var tokenTypes = 0

  /// The defaults.
  public init() {}

  /// The width of a head.
  public var headDim: Int { width / heads }
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
