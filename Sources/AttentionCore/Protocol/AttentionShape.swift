import Basics
import Settings
import Tensors

/// The sizes of one attention call, and how its inputs are stored.
///
/// Shapes: q `[batch, queryHeads, queryLength, headDim]`, k `[batch, keyHeads, keyLength, headDim]`,
/// v `[batch, keyHeads, keyLength, valueDim]`, output `[batch, queryHeads, queryLength, valueDim]`.
/// Query head `h` reads key head `h / (queryHeads / keyHeads)`.
///
/// Positions: query row `r` stands at the absolute position `i = r + queryOffset`. When `isCausal`, the *last* query
/// is aligned with the *last* key (`queryOffset = keyLength − queryLength`); otherwise `queryOffset = 0`.
public struct AttentionShape: Hashable, Sendable {
  /// Sequences in the batch.
  public var batch: Int
  /// Heads of q and of the output.
  public var queryHeads: Int
  /// Heads of k and v; divides `queryHeads`.
  public var keyHeads: Int
  /// Rows of q.
  public var queryLength: Int
  /// Rows of k and v.
  public var keyLength: Int
  /// The last axis of q and k.
  public var headDim: Int
  /// The last axis of v and of the output.
  public var valueDim: Int
  /// Whether a query sees only keys at its own position or before.
  public var isCausal: Bool
  /// Valid keys of every sequence; keys `j ≥ keyLengths[b]` are masked. `nil`: all are valid.
  public var keyLengths: [Int]?
  /// The factor on `q·k`; `nil`: `1/√headDim`.
  public var scale: Double?
  /// The bound c of a soft cap: a score s becomes `c·tanh(s/c)` before it is masked; `nil`: none.
  public var softcap: Double?
  /// How q, k and v are stored; outputs, log-sum-exp and gradients are float32 whatever they are.
  public var precision = Precision.float32

  /// Creates a shape; what is left out follows the query side.
  /// - Throws: `ConfigurationError` naming the first field that is out of range.
  public init(
    batch: Int = 1, queryHeads: Int = 1, keyHeads: Int? = nil, queryLength: Int, keyLength: Int? = nil,
    headDim: Int, valueDim: Int? = nil, isCausal: Bool = false, keyLengths: [Int]? = nil,
    scale: Double? = nil,
    precision: Precision = .float32
  ) throws(ConfigurationError) {
    self.batch = batch
    self.queryHeads = queryHeads
    self.keyHeads = keyHeads ?? queryHeads
    self.queryLength = queryLength
    self.keyLength = keyLength ?? queryLength
    self.headDim = headDim
    self.valueDim = valueDim ?? headDim
    self.isCausal = isCausal
    self.keyLengths = keyLengths
    self.scale = scale
    self.precision = precision
    try validate()
  }

  /// The factor on `q·k` in force.
  public var effectiveScale: Double { scale ?? Self.defaultScale(headDim: headDim) }

  /// `1/√headDim`: the factor on q·k where nothing else is said, and in every layer, whatever the variant.
  public static func defaultScale(headDim: Int) -> Double { 1 / Double(headDim).squareRoot() }

  /// Query heads that share one key head.
  public var groupSize: Int { queryHeads / keyHeads }

  /// The absolute position of query row 0; negative when a causal shape has more queries than keys.
  public var queryOffset: Int { isCausal ? keyLength - queryLength : 0 }

  /// The key head that a query head reads.
  public func keyHead(of queryHead: Int) -> Int { queryHead / groupSize }

  /// The number of valid keys of a sequence.
  public func validKeys(batch: Int) -> Int { keyLengths.map { min($0[batch], keyLength) } ?? keyLength }

  /// The shape of q.
  public var queryShape: [Int] { [batch, queryHeads, queryLength, headDim] }
  /// The shape of k.
  public var keyShape: [Int] { [batch, keyHeads, keyLength, headDim] }
  /// The shape of v.
  public var valueShape: [Int] { [batch, keyHeads, keyLength, valueDim] }
  /// The shape of the output and of its gradient.
  public var outputShape: [Int] { [batch, queryHeads, queryLength, valueDim] }
  /// The shape of the log-sum-exp.
  public var lseShape: [Int] { [batch, queryHeads, queryLength] }

  private static let largestSize = 1 << 30
  private static let largestCount = 0x1p48

  /// Checks every field.
  /// - Throws: `ConfigurationError` naming the first field that is out of range.
  public func validate() throws(ConfigurationError) {
    let sizes = [
      ("batch", batch), ("heads", queryHeads), ("key heads", keyHeads), ("query length", queryLength),
      ("key length", keyLength), ("head dim", headDim), ("value dim", valueDim),
    ]
    for (field, value) in sizes {
      guard value >= 1 else {
        throw ConfigurationError(field: field, value: "\(value)", allowed: "a whole number of at least 1")
      }
      // Rows are numbered with 32 bits.
      guard value <= Self.largestSize else {
        throw ConfigurationError(
          field: field, value: "\(value)", allowed: "a whole number of at most \(Self.largestSize)")
      }
    }
    for axes in [queryShape, keyShape, valueShape, outputShape] {
      let count = axes.reduce(1.0) { $0 * Double($1) }
      guard count <= Self.largestCount else {
        throw ConfigurationError(
          field: "shape", value: "\(axes)", allowed: "[batch, heads, length, dim] of at most 2^48 elements")
      }
    }
    guard queryHeads % keyHeads == 0 else {
      throw ConfigurationError(
        field: "key heads", value: "\(keyHeads)", allowed: "a divisor of the \(queryHeads) heads")
    }
    if let keyLengths {
      guard keyLengths.count == batch, keyLengths.allSatisfy({ $0 >= 0 && $0 <= keyLength }) else {
        throw ConfigurationError(
          field: "key lengths", value: "\(keyLengths)",
          allowed: "\(counted(batch, "whole number")) from 0 to \(keyLength)")
      }
    }
    // Scores are scaled in single precision.
    if let scale, !Float(scale).isFinite {
      throw ConfigurationError(
        field: "scale", value: "\(scale)", allowed: "a finite number of at most 3.4e38 in magnitude")
    }
  }
}
