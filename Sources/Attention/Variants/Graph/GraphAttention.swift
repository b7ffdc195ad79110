import AttentionCore
import Basics
import Settings
import Tensors

/// Attention on the edges of a graph: GAT, GATv2, dot product or additive score.
///
/// Every row of q is a target and attends to the rows of k from which an edge leads to it; an edge that stands twice counts
/// twice. With `selfLoops` each row gets one edge from its own position, in the place of those given. k is the source's
/// projection `W_s x_j`, q the target's `W_t x_i` (for GAT, as published, the same map); the message is k for GAT and GATv2, v
/// otherwise. Edges are an operand; without it a random graph is drawn, in which a target has from 0 to 2·degree sources, as
/// many as not, drawn one by one.
///
/// Scores: `gat` `s = leaky(a_s·k_j + a_t·q_i)`, `gatv2` `s = a·leaky(q_i + k_j)`, `dot` `s = q_i·k_j/√d`, `additive`
/// `s = a·tanh(q_i + k_j)`. The scale of a shape is the factor on `q·k`, which dot alone has. `leaky(x)` is x for x > 0, else slope·x.
/// - Complexity: O(edges · heads · d) time; O(edges + n·d·heads) memory.
/// - Source: Veličković et al., 2018 (GAT); Brody, Alon and Yahav, 2022 (GATv2).
public struct GraphAttention: AttentionVariant {
  /// The score of an edge.
  public enum Score: String, CaseIterable, Sendable {
    /// GAT.
    case gat
    /// GATv2.
    case gatv2
    /// A scaled dot product.
    case dot
    /// Bahdanau's.
    case additive
  }
  /// What a source sends.
  public enum Message: String, CaseIterable, Sendable {
    /// k for GAT and GATv2, v for dot and additive.
    case published
    /// k.
    case key
    /// v.
    case value
  }
  /// What an edge that stands several times counts.
  public enum Duplicates: String, CaseIterable, Sendable {
    /// As often as it stands (torch_geometric).
    case keep
    /// Once.
    case drop
    /// It is an error.
    case refuse
  }

  /// The score, the message and the edges.
  public struct Configuration: VariantConfiguration {
    /// The score of an edge.
    public var score = Score.gat
    /// What a source sends.
    public var message = Message.published
    /// The slope of the leaky ReLU below 0.
    public var slope = 0.2
    /// Whether every row has exactly one edge from its own position.
    public var selfLoops = true
    /// What an edge that stands several times counts.
    public var duplicates = Duplicates.keep
    /// What becomes of the heads' outputs in a layer.
    public var output = LayerWiring.Output.projected
    /// Whether one map makes q and k in a layer.
    public var sharedMap = false
    /// The mean number of sources of a target in the graph that is drawn when none is given.
    public var degree = 16

    /// The defaults.
    public init() {}

    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .choice("score", \.score, help: "The score of an edge"),
      .choice(
        "message", \.message,
        help: "What a source sends; published: k with gat and gatv2, v with dot and additive"),
      .real("slope", \.slope, in: -1...1, help: "The slope of the leaky ReLU below 0 (gat, gatv2)"),
      .flag("self_loops", \.selfLoops, help: "Whether every row has exactly one edge from its own position"),
      .choice("duplicates", \.duplicates, help: "What an edge that stands several times counts"),
      .choice(
        "output", \.output,
        help: "In a layer: the heads' outputs through a map, or side by side or their mean with a bias (GAT)"),
      .flag("shared_map", \.sharedMap, help: "In a layer: whether one map makes q and k (GAT as published)"),
      .integer(
        "degree", \.degree, in: 0...(1 << 20), unit: "edges",
        help: "The mean number of sources of a target in the graph that is drawn when none is given"),
    ]

    /// All scores, with and without self loops, sparse and with many edges that stand several times.
    public static let samples: [Configuration] = {
      func sample(_ change: (inout Configuration) -> Void) -> Configuration {
        var sample = Configuration()
        change(&sample)
        return sample
      }
      return [
        sample { ($0.score, $0.degree) = (.gatv2, 5) },
        sample { ($0.score, $0.selfLoops, $0.degree) = (.dot, false, 2) },
        sample { ($0.score, $0.degree, $0.duplicates) = (.additive, 40, .drop) },
        sample { ($0.message, $0.selfLoops, $0.degree) = (.value, false, 3) },
        sample { ($0.score, $0.message, $0.degree) = (.dot, .key, 8) },
      ]
    }()

    /// A layer makes no v that nobody reads.
    public var wiring: LayerWiring {
      LayerWiring(output: output, queryIsKey: sharedMap, makesValue: !sendsKey)
    }

    /// Whether the message is k.
    var sendsKey: Bool {
      switch message {
      case .published: score == .gat || score == .gatv2
      case .key: true
      case .value: false
      }
    }

    /// A message that is k has the width of v only where both are equal.
    public func validate(for shape: AttentionShape) throws(ConfigurationError) {
      guard sendsKey, shape.valueDim != shape.headDim else { return }
      throw ConfigurationError(
        field: "message", value: message.rawValue,
        allowed: "value when k and v differ in width (\(shape.headDim) and \(shape.valueDim) here)")
    }
  }

  /// What the variant is.
  public static let card = VariantCard(
    id: "graph", title: "Graph attention",
    paper: "Veličković et al., 2018, Graph Attention Networks; Brody et al., 2022, How Attentive are GATs?",
    idea: "Rows are nodes: each attends to those from which an edge of a given graph leads to it.",
    equation: "oᵢ = Σⱼ softmaxⱼ(LeakyReLU(aₛ·kⱼ + aₜ·qᵢ)) kⱼ,  edges j → i")

  /// The configuration in force.
  public let configuration: Configuration
  /// The shape planned for.
  public let shape: AttentionShape
  let planned: PlannedEdges

  /// Names the graph that is drawn when none is given.
  public init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey)
    throws(ConfigurationError)
  {
    self.init(
      configuration, shape,
      PlannedEdges { GraphAttention.drawn(configuration, shape, key: key("graph")) })
  }

  init(_ configuration: Configuration, _ shape: AttentionShape, _ planned: PlannedEdges) {
    (self.configuration, self.shape, self.planned) = (configuration, shape, planned)
  }

  /// The factor on the score: the shape's is one on q·k.
  var scale: Double {
    configuration.score == .dot ? shape.effectiveScale : 1
  }

  /// Draws and sorts the edges.
  public func prepare(for pass: PassKind, in context: ExecutionContext) { _ = rows }

  /// Bytes of the edges and of their rows.
  public var planBytes: Int { planned.byteCount }

  /// A drawn graph has edges from the whole padded length.
  public var padding: PaddingPromise {
    .contentOnly("the graph that stands for a given one is drawn over the padded length")
  }

  /// The edges by target and by source.
  var rows: EdgeRows { planned.edges.rows(for: use) }

  /// Computes output and LSE.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`; `ConfigurationError` for edges that do not fit.
  public func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    inputs.check(operands, at: shape)
    let pass = try pass(inputs)
    let (output, lse) = try pass.forward(inputs, in: context)
    return Forward(output: output, lse: lse) { outputGradient, context in
      let found = try pass.backward(outputGradient, inputs, in: context)
      var gradient = Operands(query: found.query, key: found.key, value: found.value)
      gradient[configuration.score == .gat ? .attentionTarget : .attention] = found.vector
      gradient[.attentionSource] = found.sourceVector
      return gradient
    }
  }

  /// The pass over the edges that the inputs bring, or over those that are drawn.
  private func pass(_ inputs: Operands) throws(ConfigurationError) -> EdgePass {
    EdgePass(
      shape: shape, rows: try reading(inputs.graphs).rows, score: try score(inputs), scale: scale,
      sendsKey: configuration.sendsKey)
  }

  /// Those over the edges of every row.
  /// - Throws: `CancellationRequested`; `ConfigurationError` for edges that do not fit.
  public func statistics(of inputs: Operands, in context: ExecutionContext) throws -> RowStatistics? {
    try pass(inputs).statistics(of: inputs, in: context)
  }

  private func score(_ inputs: Operands) throws(ConfigurationError) -> EdgeScore {
    func vector(_ name: Operand.Name) throws(ConfigurationError) -> Tensor {
      guard let vector = inputs[name] else {
        throw ConfigurationError(
          field: name.description, value: "nothing",
          allowed: "[\(shape.queryHeads), \(shape.headDim)] for the score \(configuration.score)")
      }
      return vector
    }
    switch configuration.score {
    case .dot: return .dot
    case .gatv2: return .leakySum(try vector(.attention), slope: configuration.slope)
    case .additive: return .tanhSum(try vector(.attention))
    case .gat:
      return .nodes(
        source: try vector(.attentionSource), target: try vector(.attentionTarget),
        slope: configuration.slope)
    }
  }

  /// The cost over the edges: GAT's score is two products a row and an addition an edge.
  public func cost(of pass: PassKind) -> Cost {
    let rows = rows, heads = Double(shape.queryHeads)
    let counted = (0..<shape.batch).reduce(0.0) { $0 + Double(self.edges(of: $1, rows)) } * heads
    let forwardBytes =
      4 * Double(max(1, rows.mostSources)) + (configuration.score == .gat ? nodeBytes : 0)
    let parts = Double(rows.targetParts.count + (configuration.score == .gat ? rows.sourceParts.count : 0))
    let vectorBytes =
      configuration.score == .dot ? 8 : 4 * parts * Double(shape.batch) * heads * Double(shape.headDim)
    let backwardBytes =
      8 * Double(max(1, rows.count)) + vectorBytes + (configuration.score == .gat ? nodeBytes : 0)
    var cost = Cost(
      of: pass, shape: shape, operands: operands, neededPairs: counted, executedPairs: counted,
      workspaceBytes: pass == .backward ? backwardBytes : forwardBytes, stateBytes: stateBytes)
    if configuration.score == .gat {
      let perEdge = 2 * Double(shape.valueDim) * (pass == .backward ? 2 : 1)
      let perRow = 2 * Double(shape.headDim) * (pass == .backward ? 3 : 1)
      let nodes = heads * Double(shape.batch) * Double(shape.queryLength + shape.keyLength)
      cost.flops = perEdge * counted + perRow * nodes
    }
    return cost
  }

  /// Bytes of two products for every row.
  private var nodeBytes: Double {
    4 * Double(shape.batch) * Double(shape.queryHeads) * Double(shape.queryLength + shape.keyLength)
  }
}
