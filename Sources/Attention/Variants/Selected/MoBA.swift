import AttentionCore
import Basics
import Settings
import Tensors

/// Mixture of block attention: a query's softmax goes over the blocks whose mean keys have the largest products with it.
///
/// Keys are cut in blocks of `block_size`. The score of a block b is `q_i·k̄_b`, `k̄_b` the mean of its valid keys, for every query head. A
/// row takes its own block and the `blocks − 1` others of the largest scores, of equal ones the first; in a causal shape others are past
/// ones alone, and keys after the query are left out of its own. The own block is that at the query's position; a query behind the last
/// block (not causal, fewer keys) has none and takes the `blocks` best. With fewer blocks it takes all. The choice has no gradient: what
/// was not selected gets none.
/// - Complexity: O(n²·d/block_size) for the choice, O(n·blocks·block_size·d) for the rest; O(n·(d + blocks)) memory.
/// - Source: Lu et al., 2025, MoBA: Mixture of Block Attention for Long-Context LLMs.
public struct MoBA: SoftmaxVariant, BlockSelection {
  /// Blocks.
  public struct Configuration: VariantConfiguration {
    /// Keys of a block.
    public var blockSize = 128
    /// Blocks of a row, its own counted.
    public var blocks = 8

    /// The defaults.
    public init() {}

    /// Creates settings.
    /// - Parameters:
    ///   - blockSize: keys of a block.
    ///   - blocks: blocks of a row, its own counted.
    public init(blockSize: Int, blocks: Int) { (self.blockSize, self.blocks) = (blockSize, blocks) }

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("block_size", \.blockSize, in: 1...(1 << 24), unit: "keys", help: "Keys of a block"),
      .integer(
        "blocks", \.blocks, in: 1...(1 << 20), unit: "blocks",
        help: "Blocks of a row: its own, and those whose mean keys have the largest products with the query"),
    ]

    /// Blocks that end inside a tile and on its border; one block a row; more than there are.
    public static let samples = [
      Configuration(blockSize: 12, blocks: 3), Configuration(blockSize: 16, blocks: 1),
      Configuration(blockSize: 1, blocks: 7), Configuration(blockSize: 32, blocks: 100),
    ]

    /// None: any block may be chosen later.
    public func evictableKeys(of count: Int) -> Range<Int>? { 0..<0 }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "moba", title: "Mixture of block attention (MoBA)",
    paper: "Lu et al., 2025, MoBA: Mixture of Block Attention for Long-Context LLMs",
    idea: "A query sees its own block of keys and those whose mean keys have the largest products with it.",
    equation: "oᵢ = Σⱼ softmaxⱼ(qᵢ·kⱼ/√d) vⱼ,  j in i's own block or one of the blocks − 1 largest qᵢ·k̄_b",
    dependsOnData: true)

  /// Mean keys stand for products.
  public static var reasonForProducts: String {
    "blocks are chosen by products with mean keys, which say nothing of another score or of distances"
  }

  /// bfloat16 rows are scored in float32.
  public static var precisions: [Precision] { Precision.allCases }

  /// The configuration in force.
  public let configuration: Configuration
  /// The shape planned for.
  public let shape: AttentionShape

  /// Plans nothing: blocks are chosen by q and k.
  public init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey)
    throws(ConfigurationError)
  { (self.configuration, self.shape) = (configuration, shape) }

  /// No plan.
  public var planBytes: Int { 0 }

  var blocks: KeyBlocks { KeyBlocks(shape: shape, size: configuration.blockSize) }

  var takesOwnBlock: Bool { true }

  /// The blocks of every row.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func chosen(_ inputs: Operands, in context: ExecutionContext) throws -> RowChoice {
    let wide = try inputs.converted(to: .float32, declared: [.query, .key], ledger: context.ledger)
    let blocks = blocks, sign: Float = scale < 0 ? -1 : 1
    let choice = try RowChoice(
      min(configuration.blocks, blocks.count), batch: shape.batch, heads: shape.queryHeads,
      length: shape.queryLength, in: context)
    let means = try blocks.means(wide.key, in: context)
    try blocks.forEachBlockOfProducts(wide.query, means, scale: shape.effectiveScale, in: context) {
      products in
      let count = blocks.count(valid: blocks.shape.validKeys(batch: products.batch))
      for row in products.rows {
        let (candidates, own) = blocks.reach(row, of: count)
        choice.choose(
          products.of(row), of: candidates, sign: sign, always: .init(range: own),
          into: choice.slots(products.batch, products.head, row))
      }
    }
    return choice
  }

  /// The products with mean keys, which are no padding of pairs, and the pairs of the chosen blocks.
  /// - Complexity: O(rows).
  public func cost(of pass: PassKind) -> Cost {
    let selection = SelectionCost(
      blocks: blocks, count: configuration.blocks, choosingHeads: shape.queryHeads)
    let pairs = selection.pairs(), heads = Double(shape.queryHeads)
    var cost = Cost(
      of: pass, shape: shape, neededPairs: pairs.needed * heads, executedPairs: pairs.executed * heads,
      workspaceBytes: selection.workspaceBytes(of: pass), stateBytes: stateBytes)
    guard pass != .backward else { return cost }
    let dim = Double(shape.headDim), fraction = pass == .decode ? 1 / Double(shape.queryLength) : 1
    let keys = Double(shape.batch * shape.keyHeads * shape.keyLength)
    cost.addChoice(2 * dim * pairs.scored * heads * fraction + 2 * keys * dim)
    let means = 4 * Double(shape.batch * shape.keyHeads * blocks.count) * dim
    let converted = shape.precision == .float32 ? 0 : 2 * shape.inputBytes([.query, .key])
    cost.workspaceBytes += means + blocks.productBytes(shape.headDim) + converted
    return cost
  }
}
