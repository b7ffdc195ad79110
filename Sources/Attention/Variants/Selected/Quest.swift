import AttentionCore
import Basics
import Settings
import Tensors

/// Query-aware pages (Quest): the exact softmax over the pages of keys whose products with the query may be the largest.
///
/// The score of a page is the largest product that a key within its bounds could have, `Σ_t max(q_t·min_t, q_t·max_t)`, min and max those of
/// its keys by element. A row takes the `pages` pages of the largest scores, of equal ones the first; none is always in. A causal row
/// bounds its own page by the keys up to itself, as a decoder that has no others: every row of a whole pass makes the choice that it makes
/// against its cache. The choice has no gradient.
/// - Complexity: O(n²·d/page_size) for the choice, O(n·pages·page_size·d) for the rest.
/// - Source: Tang et al., 2024, Quest: Query-Aware Sparsity for Efficient Long-Context LLM Inference.
public struct Quest: SoftmaxVariant, BlockSelection {
  /// Pages.
  public struct Configuration: VariantConfiguration {
    /// Keys of a page.
    public var pageSize = 16
    /// Pages of a row.
    public var pages = 64

    /// The defaults.
    public init() {}

    /// Creates settings.
    /// - Parameters:
    ///   - pageSize: keys of a page.
    ///   - pages: pages of a row.
    public init(pageSize: Int, pages: Int) { (self.pageSize, self.pages) = (pageSize, pages) }

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("page_size", \.pageSize, in: 1...(1 << 24), unit: "keys", help: "Keys of a page"),
      .integer(
        "pages", \.pages, in: 1...(1 << 20), unit: "pages",
        help: "Pages of a row: those within whose bounds a key could have the largest product with the query"),
    ]

    /// Few pages; pages that end inside a tile; more than there are.
    public static let samples = [
      Configuration(pageSize: 8, pages: 3), Configuration(pageSize: 11, pages: 1),
      Configuration(pageSize: 20, pages: 90),
    ]

    /// None: any page may be chosen later.
    public func evictableKeys(of count: Int) -> Range<Int>? { 0..<0 }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "quest", title: "Query-aware pages (Quest)",
    paper: "Tang et al., 2024, Quest: Query-Aware Sparsity for Efficient Long-Context LLM Inference",
    idea: "A query sees the pages of keys within whose bounds a key could have the largest product with it.",
    equation: "oᵢ = Σⱼ softmaxⱼ(qᵢ·kⱼ/√d) vⱼ,  j in one of the pages largest Σ_t max(qᵢ_t·min_t, qᵢ_t·max_t)",
    dependsOnData: true)

  /// Bounds of keys stand for products.
  public static var reasonForProducts: String {
    "pages are chosen by bounds of products, which say nothing of another score or of distances"
  }

  /// bfloat16 rows are scored in float32.
  public static var precisions: [Precision] { Precision.allCases }

  /// The configuration in force.
  public let configuration: Configuration
  /// The shape planned for.
  public let shape: AttentionShape

  /// Plans nothing: pages are chosen by q and k.
  public init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey)
    throws(ConfigurationError)
  { (self.configuration, self.shape) = (configuration, shape) }

  /// No plan.
  public var planBytes: Int { 0 }

  /// The pages.
  var blocks: KeyBlocks { KeyBlocks(shape: shape, size: configuration.pageSize) }

  var takesOwnBlock: Bool { false }

  /// The pages of every row.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func chosen(_ inputs: Operands, in context: ExecutionContext) throws -> RowChoice {
    let wide = try inputs.converted(to: .float32, declared: [.query, .key], ledger: context.ledger)
    let pages = blocks, shape = shape
    let choice = try RowChoice(
      min(configuration.pages, pages.count), batch: shape.batch, heads: shape.queryHeads,
      length: shape.queryLength, in: context)
    let bounds = try pages.bounds(wide.key, in: context)
    let keys = wide.key.rows(), isa = context.instructionSet.code
    try pages.forEachBlockOfProducts(wide.query, bounds, halves: scale < 0 ? -1 : 1, in: context) {
      products in
      let (batch, head) = (products.batch, products.head), keyHead = shape.keyHead(of: head)
      let valid = shape.validKeys(batch: batch), count = pages.count(valid: valid)
      let isCausal = shape.isCausal, offset = shape.queryOffset
      GrowingBounds.with(dim: shape.headDim) { bounds in
        for row in products.rows {
          var (candidates, own) = pages.reach(row, of: count)
          let scores = products.of(row)
          if isCausal, let page = own.first {
            let visible = pages.keys(page, valid: min(valid, row + offset + 1))
            bounds.take(visible, of: keys, batch, keyHead)
            scores[page] = bounds.product(products.left(row), isa)
            candidates = 0..<page + 1
          }
          choice.choose(scores, of: candidates, into: choice.slots(batch, head, row))
        }
      }
    }
    return choice
  }

  /// The products with the bounds of pages, which are no padding of pairs, and the pairs of the chosen pages: as if every row chose its own.
  /// - Complexity: O(rows).
  public func cost(of pass: PassKind) -> Cost {
    let selection = SelectionCost(blocks: blocks, count: configuration.pages, choosingHeads: shape.queryHeads)
    let pairs = selection.pairs(), heads = Double(shape.queryHeads)
    var cost = Cost(
      of: pass, shape: shape, neededPairs: pairs.needed * heads, executedPairs: pairs.executed * heads,
      workspaceBytes: selection.workspaceBytes(of: pass), stateBytes: stateBytes)
    guard pass != .backward else { return cost }
    let dim = Double(shape.headDim), fraction = pass == .decode ? 1 / Double(shape.queryLength) : 1
    let keys = Double(shape.batch * shape.keyHeads * shape.keyLength)
    let rows = Double(shape.batch * shape.queryLength) * heads
    // Two bounds an element; those of its own page grow by a key from row to row.
    let own = shape.isCausal ? 4 * rows * dim : 0
    cost.addChoice((4 * dim * pairs.scored * heads + own) * fraction + 2 * keys * dim)
    let bounds = 8 * Double(shape.batch * shape.keyHeads * blocks.count) * dim
    let converted = shape.precision == .float32 ? 0 : 2 * shape.inputBytes([.query, .key])
    let halves = 8 * Double(min(AttentionShape.rowBlock, shape.queryLength)) * dim
    cost.workspaceBytes += bounds + halves + blocks.productBytes(2 * shape.headDim) + converted
    return cost
  }
}
