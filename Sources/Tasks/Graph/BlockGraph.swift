import Basics
import Settings
import Tensors

/// Node classification on a stochastic block model with features.
///
/// Every node has one of C classes. `nodes · degree / 2` pairs are drawn: a node, and a partner from its own class with
/// probability `homophily`, else from another class; each pair gives an edge both ways. The features of a node of class c are
/// `signal · μ_c + ε`, μ_c a random unit vector, ε N(0, 1) in every element. With `homophily = 1/C` the edges say nothing about
/// the classes.
///
/// Source: Holland, Laskey and Leinhardt, 1983 (block models); Deshpande et al., 2018 (with features).
public struct BlockGraph: NodeTask {
  /// The settings.
  public struct Configuration: ParameterSet {
    /// Nodes.
    public var nodes = 1000
    /// Classes.
    public var classes = 4
    /// The mean number of neighbours.
    public var degree = 10
    /// The probability that a neighbour is of the node's own class.
    public var homophily = 0.8
    /// Numbers of a node.
    public var features = 16
    /// The length of the mean of a class's features.
    public var signal = 1.0
    /// The share of nodes whose labels are learned from.
    public var train = 0.1
    /// The share of nodes whose labels are chosen by; the rest is for the test.
    public var validation = 0.2

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .integer("nodes", \.nodes, in: 2...(1 << 26), unit: "nodes", help: "nodes of the graph"),
      .integer("classes", \.classes, in: 2...4096, help: "classes, equally likely"),
      .integer("degree", \.degree, in: 0...4096, unit: "nodes", help: "the mean number of neighbours"),
      .real(
        "homophily", \.homophily, in: 0...1,
        help: "the probability that a neighbour is of the node's own class; 1/classes: edges say nothing"),
      .integer("features", \.features, in: 1...65_536, help: "numbers of a node"),
      .real(
        "signal", \.signal, in: 0...1000, help: "the length of the mean of a class's features; noise is 1"),
      .real("train", \.train, in: 0...1, help: "the share of nodes whose labels are learned from"),
      .real(
        "validation", \.validation, in: 0...1,
        help: "the share of nodes whose labels are chosen by; the rest is for the test"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "block-graph", title: "Nodes of a block model",
    paper: "Holland, Laskey and Leinhardt, 1983, Stochastic blockmodels: first steps",
    idea: "the class of every node of a random graph whose edges prefer their own class")

  /// The configuration in force.
  public let configuration: Configuration
  /// The graph.
  public let graph: NodeGraph

  /// Draws the graph.
  /// - Throws: `ConfigurationError` when the shares leave nothing for the test; `MemoryLimitExceeded`.
  public init(_ configuration: Configuration, key: RandomKey) throws {
    guard configuration.train + configuration.validation < 1 else {
      throw ConfigurationError(
        field: "validation", value: "\(configuration.validation)",
        allowed: "less than 1 − train = \(1 - configuration.train): the rest is for the test")
    }
    self.configuration = configuration
    let count = configuration.nodes, classes = configuration.classes
    var generator = key("labels").generator()
    let labels = (0..<count).map { _ in Int32(generator.integer(below: classes)) }
    graph = NodeGraph(
      features: FeatureRows(try BlockGraph.features(configuration, labels, key: key("features"))),
      labels: labels, classCount: classes,
      edges: BlockGraph.edges(configuration, labels, key: key("edges")),
      splits: BlockGraph.splits(
        labels, train: configuration.train, validation: configuration.validation, key: key("splits")))
  }

  private static func features(
    _ configuration: Configuration, _ labels: [Int32], key: RandomKey
  ) throws -> Tensor {
    let width = configuration.features
    var means = try Tensor.normal([configuration.classes, width], key: key("means")).array()
    for start in stride(from: 0, to: means.count, by: width) {
      let length = means[start..<start + width].reduce(0) { $0 + $1 * $1 }.squareRoot()
      for t in start..<start + width { means[t] *= Float(configuration.signal) / length }
    }
    var values = try Tensor.normal([labels.count, width], key: key("noise")).array()
    for (node, label) in labels.enumerated() {
      for t in 0..<width { values[node * width + t] += means[Int(label) * width + t] }
    }
    return try Tensor(values, shape: [labels.count, width])
  }

  private static func edges(_ configuration: Configuration, _ labels: [Int32], key: RandomKey) -> EdgeList {
    var members = [[Int32]](repeating: [], count: configuration.classes)
    for (node, label) in labels.enumerated() { members[Int(label)].append(Int32(node)) }
    var generator = key.generator()
    var sources: [Int32] = [], targets: [Int32] = []
    for _ in 0..<labels.count * configuration.degree / 2 {
      let node = generator.integer(below: labels.count), own = Int(labels[node])
      var other = own
      if generator.uniform() >= configuration.homophily {
        other = generator.integer(below: configuration.classes - 1)
        if other >= own { other += 1 }
      }
      guard !members[other].isEmpty else { continue }
      let partner = members[other][generator.integer(below: members[other].count)]
      sources += [Int32(node), partner]
      targets += [partner, Int32(node)]
    }
    return EdgeList(sources: sources, targets: targets)
  }
}
