import AttentionCore
import Basics
import Settings
import Tensors

/// Native sparse attention: three softmaxes with gates, over compressed blocks, over selected blocks, and over a window.
///
/// `o_i = Σ_b σ(g_ib) o_ib`, g of every head and query.
///
/// *Compressed*: blocks of `compress_block` keys, one beginning every `compress_stride` keys, each one key and one value
/// (`CompressedBlocks`); a query sees those that end at it or before.
///
/// *Selected*: blocks of `block_size` keys. The score of one is the sum of the compressed branch's weights over the heads of a group of
/// query heads and over its strides, a weight counting for every stride that its compressed block has of the selected one. All heads of a
/// group take the same `blocks`: the first, the query's own and the one before it, and those of the largest scores, of equal ones the
/// first. The choice has no gradient.
///
/// *Window*: the last `window` keys, the query's own counted.
///
/// It has no log-sum-exp: its weights are those of three softmaxes.
/// - Complexity: O(n²·d/compress_stride) for the compressed branch and the choice, O(n·(blocks·block_size + window)·d) for the rest.
/// - Source: Yuan et al., 2025, Native Sparse Attention: Hardware-Aligned and Natively Trainable Sparse Attention.
public struct NSA: AttentionVariant {
  /// Blocks and window.
  public struct Configuration: VariantConfiguration {
    /// Keys of a compressed block.
    public var compressBlock = 32
    /// Keys from the beginning of a compressed block to that of the next.
    public var compressStride = 16
    /// Keys of a selected block.
    public var blockSize = 64
    /// Selected blocks of a row.
    public var blocks = 16
    /// Keys of the window.
    public var window = 512

    /// The defaults.
    public init() {}

    /// Creates settings.
    /// - Parameters:
    ///   - compressBlock: keys of a compressed block.
    ///   - compressStride: keys from one compressed block to the next.
    ///   - blockSize: keys of a selected block.
    ///   - blocks: selected blocks of a row.
    ///   - window: keys of the window.
    public init(compressBlock: Int, compressStride: Int, blockSize: Int, blocks: Int, window: Int) {
      (self.compressBlock, self.compressStride) = (compressBlock, compressStride)
      (self.blockSize, self.blocks, self.window) = (blockSize, blocks, window)
    }

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer(
        "compress_block", \.compressBlock, in: 1...(1 << 16), unit: "keys",
        help: "Keys of a compressed block; a multiple of compress_stride"),
      .integer(
        "compress_stride", \.compressStride, in: 1...(1 << 16), unit: "keys",
        help: "Keys from the beginning of a compressed block to that of the next"),
      .integer(
        "block_size", \.blockSize, in: 1...(1 << 24), unit: "keys",
        help: "Keys of a selected block; a multiple of compress_stride"),
      .integer(
        "blocks", \.blocks, in: 3...(1 << 20), unit: "blocks",
        help: "Selected blocks of a row: the first, its own, the one before, and the best of the others"),
      .integer(
        "window", \.window, in: 1...(1 << 24), unit: "keys",
        help: "Keys of the window, the query's own counted"),
    ]

    /// Blocks that overlap; blocks that are all the same (flash-linear-attention's); more than there are.
    public static let samples = [
      Configuration(compressBlock: 8, compressStride: 4, blockSize: 16, blocks: 4, window: 9),
      Configuration(compressBlock: 12, compressStride: 12, blockSize: 12, blocks: 3, window: 1),
      Configuration(compressBlock: 6, compressStride: 2, blockSize: 4, blocks: 30, window: 300),
    ]

    /// None: any block may be chosen later.
    public func evictableKeys(of count: Int) -> Range<Int>? { 0..<0 }

    /// Blocks are made of whole strides, and compressed ones lie in the past.
    /// - Throws: `ConfigurationError`.
    public func validate(for shape: AttentionShape) throws(ConfigurationError) {
      for (field, size) in [("compress_block", compressBlock), ("block_size", blockSize)]
      where size % compressStride != 0 {
        throw ConfigurationError(
          field: field, value: "\(size)", allowed: "a multiple of compress_stride, \(compressStride)")
      }
      guard shape.isCausal else {
        throw ConfigurationError(
          field: "causal", value: "false", allowed: "true with nsa: compressed blocks are past ones")
      }
    }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "nsa", title: "Native sparse attention (NSA)",
    paper:
      "Yuan et al., 2025, Native Sparse Attention: Hardware-Aligned and Natively Trainable Sparse Attention",
    idea: "Compressed blocks, a few selected ones and a window, each a softmax with a learned gate.",
    equation:
      "oᵢ = Σ_b σ(gᵢ_b) o_b,ᵢ,  b: compressed blocks, blocks of the largest compressed weights, window",
    dependsOnData: true)

  /// g, `[batch, heads, n, 3]`: compressed, selected, window.
  static let gates = Operand(
    "gates", [.batch, .queryHeads, .queries, .fixed(3)], .projected(like: nil),
    help: "g, whose σ weighs the compressed, the selected and the window branch")

  /// w of a tensor's blocks.
  private static func weights(_ name: Operand.Name, _ axis: Operand.Axis, _ length: Int, _ what: String)
    -> Operand
  {
    Operand(
      name, [.keyHeads, .fixed(length), axis], .learned(.constant(1 / Float(length))),
      help: "w, by which the \(what) of a block are added up; at first their mean")
  }

  /// q, k and v, the gates, and what compresses keys and values.
  public static func operands(_ configuration: Configuration) -> [Operand] {
    let length = configuration.compressBlock
    return Operand.standard + [
      gates, weights(.compressKey, .headDim, length, "keys"),
      weights(.compressValue, .valueDim, length, "values"),
    ]
  }

  /// The configuration in force.
  public let configuration: Configuration
  /// The shape planned for.
  public let shape: AttentionShape
  let compressed: CompressedBlocks
  let compressedPattern: TilePattern
  let window: SlidingWindow

  /// Plans the branches that are known before q and k.
  public init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey)
    throws(ConfigurationError)
  {
    (self.configuration, self.shape) = (configuration, shape)
    let compressed = CompressedBlocks(
      shape: shape, length: configuration.compressBlock, stride: configuration.compressStride)
    self.compressed = compressed
    compressedPattern = shape.patternBySequence(where: true) {
      TilePattern(shared: compressed.tiles(valid: $0))
    }
    window = try SlidingWindow(
      .init(left: PerHead(configuration.window - 1), right: PerHead(0)), for: shape, key: key)
  }

  /// Bytes of the tile lists.
  public var planBytes: Int { compressedPattern.planBytes + window.planBytes }

  /// Plans the branches that are known before q and k.
  /// - Throws: `MemoryLimitExceeded`.
  public func prepare(for pass: PassKind, in context: ExecutionContext) throws {
    try Engine.prepare(compressedPattern, for: pass, shape: compressed.attending, in: context)
    try window.prepare(for: pass, in: context)
  }

  /// The blocks of the selected branch.
  var blocks: KeyBlocks { KeyBlocks(shape: shape, size: configuration.blockSize) }

  /// The pairs of the three branches; compressing, choosing and weighing beside them.
  /// - Complexity: O(rows + tiles).
  public func cost(of pass: PassKind) -> Cost {
    let heads = Double(shape.queryHeads), fraction = pass == .decode ? 1 / Double(shape.queryLength) : 1
    let selection = SelectionCost(
      blocks: blocks, count: configuration.blocks, choosingHeads: shape.keyHeads)
    let selected = selection.pairs(), local = window.cost(of: pass), met = compressed.pairs * heads
    let executed =
      Engine.executedPairs(shape: compressed.attending, pattern: compressedPattern) + selected.executed
      * heads
      + (local.executedPairs ?? 0) / fraction
    var cost = Cost(
      of: pass, shape: shape, operands: operands,
      neededPairs: met + selected.needed * heads + (local.neededPairs ?? 0) / fraction,
      executedPairs: executed, workspaceBytes: workspaceBytes(of: pass, selection), stateBytes: stateBytes)
    let dims = Double(shape.headDim + shape.valueDim)
    let made = Double(shape.batch * shape.keyHeads * compressed.count * compressed.length) * dims
    cost.flops += (pass == .backward ? 4 : 2) * made
    if pass != .backward { cost.addChoice(2 * Double(shape.headDim) * met * fraction) }
    return cost
  }

  /// Outputs and log-sum-exps of the branches and what they need; compressed rows, and going back the gradients of all of these.
  private func workspaceBytes(of pass: PassKind, _ selection: SelectionCost) -> Double {
    func floats(_ shape: [Int]) -> Double { shape.reduce(4) { $0 * Double($1) } }
    let own = compressed.attending
    let branch = floats(shape.outputShape) + floats(shape.lseShape)
    let rows = floats(own.keyShape) + floats(own.valueShape)
    let products =
      4 * Double(AttentionShape.rowBlock * (compressed.count + blocks.count))
      + BlockProducts.byteCount(shape, blocks: compressed.count, dim: shape.headDim)
    let engine = max(
      Engine.cost(of: pass, shape: own, pattern: compressedPattern, neededPairs: 0, stateBytes: 0)
        .workspaceBytes, window.cost(of: pass).workspaceBytes)
    var bytes = 3 * branch + rows + max(selection.workspaceBytes(of: pass), engine) + products
    guard pass == .backward else { return bytes }
    // One branch's gradients beside the sums of all, and the gradient of its output.
    bytes += shape.gradientBytes(Operand.standard) + rows + floats(shape.outputShape)
    return bytes
  }
}

extension Operand.Name {
  /// w of keys.
  static let compressKey: Operand.Name = "compress_key"
  /// w of values.
  static let compressValue: Operand.Name = "compress_value"
}
