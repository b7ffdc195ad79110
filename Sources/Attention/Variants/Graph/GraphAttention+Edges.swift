import AttentionCore
import Basics
import Settings
import Synchronization
import Tensors

extension Operand.Name {
  static let edges: Operand.Name = "edges"
  static let attention: Operand.Name = "attention"
  static let attentionSource: Operand.Name = "attention_source"
  static let attentionTarget: Operand.Name = "attention_target"
}

/// Edges that are there or are drawn when somebody first needs them: a plan that will be given others draws none.
final class PlannedEdges: Sendable {
  private let made: Mutex<EdgeList?>
  private let make: @Sendable () -> EdgeList
  private let given: EdgeList?

  init(_ make: @escaping @Sendable () -> EdgeList) {
    made = Mutex(nil)
    self.make = make
    given = nil
  }

  /// - Parameter given: what they were made of.
  init(_ edges: EdgeList, given: EdgeList) {
    made = Mutex(edges)
    make = { edges }
    self.given = given
  }

  /// Whether they were made of this very list.
  func isOf(_ edges: EdgeList) -> Bool { given === edges }

  var edges: EdgeList {
    made.withLock { made in
      if let made { return made }
      let edges = make()
      made = edges
      return edges
    }
  }

  /// Bytes of what has been made.
  var byteCount: Int { made.withLock { $0?.byteCount ?? 0 } }
}

extension GraphAttention {
  /// q and k, v when it is the message, what the score learns, and the edges.
  public static func operands(_ configuration: Configuration) -> [Operand] {
    let start = Operand.Source.learned(.normal(0.2))
    func vector(_ name: Operand.Name, _ help: String) -> Operand {
      Operand(name, [.queryHeads, .headDim], start, help: help)
    }
    let learned: [Operand] =
      switch configuration.score {
      case .dot: []
      case .gat:
        [
          vector(.attentionSource, "what k is multiplied by in the score"),
          vector(.attentionTarget, "what q is multiplied by in the score"),
        ]
      case .gatv2, .additive: [vector(.attention, "the weights of the elements of f(q + k) in the score")]
      }
    let edges = Operand(
      .edges, [.any, .fixed(2)], .edges, isOptional: true,
      help: "pairs (source row of k, target row of q), .npy or .csv; a graph is drawn when not given")
    return [.query, .key] + (configuration.sendsKey ? [] : [.value]) + learned + [edges]
  }

  /// The edges in use.
  public static let exports = [
    Export(.edges, help: "the edges in use, self loops included, [edges, 2]: source and target, by target")
  ]

  /// The edges in use.
  /// - Throws: `ConfigurationError` for edges that do not fit.
  public func export(_ name: Operand.Name, of inputs: Operands, in context: ExecutionContext) throws
    -> (values: [Int32], shape: [Int])
  {
    let rows = try reading(inputs.graphs).rows
    var pairs: [Int32] = []
    pairs.reserveCapacity(2 * rows.count)
    for target in 0..<shape.queryLength {
      for edge in rows.edges(to: target) { pairs += [rows.sources[edge], Int32(target)] }
    }
    return (pairs, [rows.count, 2])
  }

  /// The variant with given edges.
  /// - Throws: `ConfigurationError` for an edge of a row that is not there, or one that stands twice where that is refused.
  public func reading(_ graphs: [Operand.Name: EdgeList]) throws(ConfigurationError) -> GraphAttention {
    guard let edges = graphs[.edges] else { return self }
    if planned.isOf(edges) { return self }
    func error(_ place: Int, _ problem: String, _ allowed: String) -> ConfigurationError {
      let (source, target) = edges[place]
      return ConfigurationError(
        field: "edges", value: "edge \(place), \(source) → \(target)\(problem)", allowed: allowed)
    }
    if let place = edges.firstOutside(sources: shape.keyLength, targets: shape.queryLength) {
      throw error(
        place, "", "sources from 0 to \(shape.keyLength - 1) and targets from 0 to \(shape.queryLength - 1)")
    }
    if configuration.duplicates == .refuse, let (place, earlier) = edges.firstDuplicate() {
      throw error(
        place, ", which edge \(earlier) is already",
        "each edge once (duplicates=keep counts them, duplicates=drop drops them)")
    }
    let used = configuration.duplicates == .drop ? edges.withoutDuplicates() : edges
    return GraphAttention(configuration, shape, PlannedEdges(used, given: edges))
  }

  /// What the edges are sorted for.
  var use: EdgeRows.Use {
    EdgeRows.Use(
      queries: shape.queryLength, keys: shape.keyLength, offset: shape.queryOffset,
      isCausal: shape.isCausal, selfLoops: configuration.selfLoops)
  }

  /// Edges whose sources are valid in a sequence.
  func edges(of batch: Int, _ rows: EdgeRows) -> Int {
    let valid = shape.validKeys(batch: batch)
    guard valid < shape.keyLength else { return rows.count }
    return (0..<shape.queryLength).reduce(0) { $0 + rows.count(to: $1, among: valid) }
  }

  /// A random graph: every target draws how many sources it has, uniformly from 0 to 2·degree, then each of them; in a causal
  /// shape from its past.
  static func drawn(_ configuration: Configuration, _ shape: AttentionShape, key: RandomKey) -> EdgeList {
    var generator = key.generator()
    var sources: [Int32] = [], targets: [Int32] = []
    sources.reserveCapacity(configuration.degree * shape.queryLength)
    targets.reserveCapacity(configuration.degree * shape.queryLength)
    for target in 0..<shape.queryLength {
      let seen = shape.isCausal ? min(shape.keyLength, target + shape.queryOffset + 1) : shape.keyLength
      let count = generator.integer(below: 2 * configuration.degree + 1)
      guard seen > 0, sources.count + count <= EdgeList.mostEdges else { continue }
      for _ in 0..<count {
        sources.append(Int32(generator.integer(below: seen)))
        targets.append(Int32(target))
      }
    }
    let edges = EdgeList(sources: sources, targets: targets)
    return configuration.duplicates == .keep ? edges : edges.withoutDuplicates()
  }
}
