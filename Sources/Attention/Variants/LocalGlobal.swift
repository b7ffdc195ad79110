import AttentionCore
import Basics
import Settings
import Tensors

/// Local and global attention (Longformer).
///
/// Global positions `G`: the first `globalTokens`, and the list `globalPositions`. A local row sees its window and `G`,
/// each key once, in one softmax; a global row sees every key. Causal keeps `j ≤ i`. With `projections: separate`, global
/// *rows* read a second q, k and v (`query_global`, `key_global`, `value_global`); local rows see global keys through the
/// first.
/// - Complexity: O(n·(left + right + |G|)·d) time, O(n·d) memory.
/// - Source: Beltagy et al., 2020.
public struct LocalGlobal: PatternVariant {
  /// What makes q, k and v of the global rows.
  public enum Projections: String, CaseIterable, Hashable, Sendable {
    /// The same as for all rows.
    case tied
    /// Second ones.
    case separate
  }

  /// The window and the global positions.
  public struct Configuration: VariantConfiguration {
    /// Keys of the window before the query.
    public var left = 256
    /// Keys of the window after the query; 0 in a causal shape.
    public var right = 256
    /// How many of the first positions are global.
    public var globalTokens = 1
    /// More global positions.
    public var globalPositions: [Int] = []
    /// What makes q, k and v of the global rows.
    public var projections = Projections.tied

    /// The defaults.
    public init() {}

    /// Creates a window with global positions.
    public init(
      left: Int, right: Int, globalTokens: Int = 1, globalPositions: [Int] = [],
      projections: Projections = .tied
    ) {
      self.left = left
      self.right = right
      self.globalTokens = globalTokens
      self.globalPositions = globalPositions
      self.projections = projections
    }

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("left", \.left, in: 0...(1 << 24), unit: "keys", help: "Keys of the window before the query"),
      .integer(
        "right", \.right, in: 0...(1 << 24), unit: "keys",
        help: "Keys of the window after the query; 0 when causal"),
      .integer(
        "global_tokens", \.globalTokens, in: 0...(1 << 24), unit: "positions",
        help: "How many of the first positions see, and are seen by, all"),
      .integers(
        "global_positions", \.globalPositions, unit: "positions",
        help: "More positions that see, and are seen by, all"),
      .choice(
        "projections", \.projections,
        help: "What makes q, k, v of the global rows: those of all rows, or second ones (Longformer)"),
    ]

    /// Windows that matter at a few hundred tokens.
    public static let samples = [
      Configuration(left: 16, right: 8), Configuration(left: 20, right: 20, globalTokens: 70),
      Configuration(left: 9, right: 30, globalTokens: 0, globalPositions: [0, 5, 40, 41, 62]),
      Configuration(left: 3, right: 3, globalTokens: 0),
      Configuration(left: 7, right: 12, globalTokens: 2, globalPositions: [30, 31], projections: .separate),
    ]

    /// The last of the global positions; `nil`: there are none.
    public var lastGlobalPosition: Int? {
      (globalPositions + (globalTokens > 0 ? [globalTokens - 1] : [])).max()
    }

    /// Rows read the second projections up to the last global position.
    public func lastReader(of operand: Operand.Name) -> Int? { lastGlobalPosition }

    /// Once all global positions have passed, those between the last of them and the window.
    public func evictableKeys(of count: Int) -> Range<Int>? {
      let first = lastGlobalPosition.map { $0 + 1 } ?? 0
      return min(first, count)..<max(min(first, count), count - left)
    }

    /// The global positions that the shape has.
    public func fitted(to shape: AttentionShape) -> Configuration {
      var fitted = self
      fitted.globalPositions.removeAll { $0 >= shape.positions }
      return fitted
    }

    /// The positions exist.
    public func validate(for shape: AttentionShape) throws(ConfigurationError) {
      if let position = globalPositions.first(where: { $0 >= shape.positions }) {
        throw ConfigurationError(
          field: "global_positions", value: "\(position)",
          allowed: "positions from 0 to \(shape.positions - 1)")
      }
    }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "local-global", title: "Local and global",
    paper: "Beltagy et al., 2020, Longformer: The Long-Document Transformer",
    idea: "A sliding window, and a few positions that see and are seen by all.",
    equation: "oᵢ = Σⱼ softmaxⱼ(qᵢ·kⱼ/√d) vⱼ,  j ∈ window(i) ∪ G, or all j when i ∈ G")

  /// The configuration in force.
  public let configuration: Configuration
  /// The shape planned for.
  public let shape: AttentionShape
  private let globals: Set<Int>
  private let patterns: [PassRows: Once<TilePattern>]

  /// Plans for a shape.
  public init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey)
    throws(ConfigurationError)
  {
    try self.init(configuration, for: shape, key: key, sharing: nil)
  }

  /// Plans for a shape, with the patterns that other variants of one owner have, too.
  public init(
    _ configuration: Configuration, for shape: AttentionShape, key: RandomKey, sharing patterns: PatternCache?
  ) throws(ConfigurationError) {
    self.configuration = configuration
    self.shape = shape
    let first = 0..<min(configuration.globalTokens, shape.positions)
    let globals = Set(first).union(configuration.globalPositions)
    self.globals = globals
    var made: [PassRows: Once<TilePattern>] = [:]
    for rows in Rows.allCases {
      for isBackward in [false, true] {
        let part = PassRows(rows: rows, isBackward: isBackward)
        made[part] = Once { LocalGlobal.pattern(part, configuration, shape, globals, patterns) }
      }
    }
    self.patterns = made
    // Those of the forward pass are planned here, as in every other variant.
    for rows in separateRows { _ = part(rows, .forward) }
  }

  /// Rows that read the same projections.
  enum Rows: String, CaseIterable { case all, local, global }

  /// Rows in a pass.
  struct PassRows: Hashable {
    var rows: Rows
    var isBackward: Bool
  }

  /// What passes compute one after the other: all rows at once, or the local and then the global ones.
  var separateRows: [Rows] {
    operands.count > Operand.standard.count && !globalRows.isEmpty ? [.local, .global] : [.all]
  }

  /// The tiles of the local or the global rows alone: they read different projections when the inputs have them.
  func part(_ rows: Rows, _ pass: PassKind) -> TilePattern {
    let part = PassRows(rows: rows, isBackward: pass == .backward)
    guard let pattern = patterns[part]?.value else { preconditionFailure("no pattern of \(part)") }
    return pattern
  }

  /// The tiles of all rows.
  public var pattern: TilePattern { part(.all, .forward) }

  /// The same pairs in higher tiles.
  public var backwardPattern: TilePattern { part(.all, .backward) }

  /// Bytes of the tile lists and schedules of the passes that were planned.
  public var planBytes: Int { patterns.values.reduce(0) { $0 + ($1.valueIfMade?.planBytes ?? 0) } }

  /// The second q, k and v that global rows read where there are such.
  static let second: [Operand] = [
    Operand(
      .queryGlobal, Operand.query.axes, .projected(like: .query), help: "q of the global rows"),
    Operand(
      .keyGlobal, Operand.key.axes, .projected(like: .key), help: "k as the global rows see it"),
    Operand(
      .valueGlobal, Operand.value.axes, .projected(like: .value), help: "v as the global rows see it"),
  ]

  /// q, k and v; with separate projections a second set for the global rows.
  public static func operands(_ configuration: Configuration) -> [Operand] {
    let hasSecond = configuration.projections == .separate && configuration.lastGlobalPosition != nil
    return Operand.standard + (hasSecond ? second : [])
  }

  /// Flags and a setting of whole models that said it before the variant had a setting of its own.
  public static let formerNames: [FormerName] = {
    let separate = ["projections": ParameterValue.string("separate")]
    return [
      .operand(flag: "global-q", .queryGlobal, settings: separate),
      .operand(flag: "global-k", .keyGlobal, settings: separate),
      .operand(flag: "global-v", .valueGlobal, settings: separate),
      .modelSetting("global_projections", parameter: "projections"),
    ]
  }()

  /// Of the second set: the global rows of q, and the keys that one of them sees, which when causal end with the last of them.
  public func rows(of operand: Operand.Name) -> [Int]? {
    guard LocalGlobal.second.contains(where: { $0.name == operand }) else { return nil }
    let rows = globalRows
    guard let last = rows.last, operand != .queryGlobal else { return rows }
    let end = last + shape.queryOffset + 1
    return shape.isCausal && end < shape.keyLength ? Array(0..<max(0, end)) : nil
  }

  private static func pattern(
    _ part: PassRows, _ configuration: Configuration, _ shape: AttentionShape, _ globals: Set<Int>,
    _ patterns: PatternCache?
  ) -> TilePattern {
    let name = part.rows.rawValue + (part.isBackward ? " backward" : "")
    return patterns.pattern(.init(LocalGlobal.self, configuration, shape: shape, part: name)) {
      let tiles = LocalGlobalTiles(
        configuration, shape, globals: globals.sorted(), part.isBackward ? .backward : .forward)
      return TilePattern(shared: tiles.list(local: part.rows != .global, global: part.rows != .local))
    }
  }

  /// The global rows of q, rising.
  public var globalRows: [Int] {
    globals.map { $0 - shape.queryOffset }.filter { (0..<shape.queryLength).contains($0) }.sorted()
  }

  /// Whether a query row is global.
  public func isGlobal(row: Int) -> Bool { globals.contains(row + shape.queryOffset) }

  /// 1 inside the window, for a global key, for a global row.
  public func multiplicity(batch: Int, head: Int, query: Int, key: Int) -> Int {
    let position = query + shape.queryOffset
    if shape.isFuture(query: query, key: key) { return 0 }
    let right = shape.isCausal ? 0 : configuration.right
    let isInWindow = key >= position - configuration.left && key <= position + right
    return isInWindow || globals.contains(position) || globals.contains(key) ? 1 : 0
  }

  /// The plain definition; with a second set of operands global rows read that.
  public func definition(of inputs: Operands) throws -> any Definition {
    let count: @Sendable (Int, Int, Int, Int) -> Int = {
      multiplicity(batch: $0, head: $1, query: $2, key: $3)
    }
    guard inputs[.queryGlobal] != nil else { return SoftmaxDefinition(shape: shape, multiplicity: count) }
    return SoftmaxDefinition(
      shape: shape, operands: operands,
      terms: { row in
        let isGlobal = isGlobal(row: row.query)
        return [
          .product(
            isGlobal ? .queryGlobal : .query, isGlobal ? .keyGlobal : .key, factor: shape.effectiveScale)
        ]
      }, value: { isGlobal(row: $0.query) ? .valueGlobal : .value }, multiplicity: count)
  }
}

extension Operand.Name {
  static let queryGlobal: Operand.Name = "query_global"
  static let keyGlobal: Operand.Name = "key_global"
  static let valueGlobal: Operand.Name = "value_global"
}
