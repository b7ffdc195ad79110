import Tensors

/// A variant whose rows are a softmax over pairs that count, and whose way back can be one part of a softmax over more keys
/// (`Forward.partialPullback`).
///
/// So it takes what every softmax takes, such as a sink in its denominator; `listed` is the variant with these settings.
public protocol RowSoftmaxVariant: AttentionVariant {
  /// The factor on q·k.
  var scale: Double { get }
  /// Whether scores can be capped; not where part of a score says how often a key counts.
  static var takesSoftcap: Bool { get }
  /// Why it has products of q and k for scores and no others, in words that follow a colon; of a variant whose pairs are tiles that
  /// are known before q and k, and which reads one q, k and v, it is not asked.
  static var reasonForProducts: String { get }
}

extension RowSoftmaxVariant {
  /// That of the shape.
  public var scale: Double { shape.effectiveScale }
  /// They can.
  public static var takesSoftcap: Bool { true }
  /// What all such variants have in common.
  public static var reasonForProducts: String {
    "other scores take tiles that are known before q and k, and one q, k and v"
  }
}

/// A variant that is a softmax over the pairs of a tile pattern: the engine computes over whatever pattern it gives.
///
/// Fixed patterns, hashed buckets and selections by data differ in where the pattern comes from, and in nothing else.
public protocol SoftmaxVariant: RowSoftmaxVariant {
  /// The tiles of every (batch, head) for inputs: fixed ones ignore the inputs.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func pattern(for inputs: Operands, in context: ExecutionContext) throws -> TilePattern
  /// The tiles of the backward pass: the same pairs, in tiles of another height where that is faster.
  func backwardPattern(of pattern: TilePattern) -> TilePattern
}

extension SoftmaxVariant {
  /// The tiles of the inputs are the choice, where they depend on data.
  public func chooseKeys(of inputs: Operands, in context: ExecutionContext) throws -> Bool {
    guard Self.card.dependsOnData else { return false }
    _ = try pattern(for: inputs, in: context)
    return true
  }

  /// The tiles of the forward pass.
  public func backwardPattern(of pattern: TilePattern) -> TilePattern { pattern }
}

/// A softmax variant whose pattern is known before its inputs are: it declares tiles, the engine computes.
///
/// `forward` and its way back come from the `Attention` module's engine; `pattern` is built in `init`.
public protocol PatternVariant: SoftmaxVariant {
  /// The tiles of every (batch, head).
  var pattern: TilePattern { get }
  /// The tiles of the backward pass: the same pairs, in tiles of another height where that is faster. Made once, like `pattern`.
  var backwardPattern: TilePattern { get }
  /// How often a pair counts: 0 masked, 1, 2, … Written from the definition, not from the tiles.
  /// `query` is a row of q, `key` a row of k; causality is included, key padding is not (it applies to all alike).
  func multiplicity(batch: Int, head: Int, query: Int, key: Int) -> Int
}

extension PatternVariant {
  /// All: the engine takes them.
  public static var precisions: [Precision] { Precision.allCases }

  /// The fixed one.
  public func backwardPattern(of pattern: TilePattern) -> TilePattern { backwardPattern }

  /// The fixed one.
  public func pattern(for inputs: Operands, in context: ExecutionContext) -> TilePattern { pattern }

  /// The tiles of the forward pass.
  public var backwardPattern: TilePattern { pattern }

  /// Bytes of the tile lists and of the schedules that were made of them.
  public var planBytes: Int { pattern.planBytes }

  /// The plain definition over `multiplicity`.
  public func definition(of inputs: Operands) throws -> any Definition {
    SoftmaxDefinition(shape: shape, multiplicity: { multiplicity(batch: $0, head: $1, query: $2, key: $3) })
  }
}
