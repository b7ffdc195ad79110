import Basics
import Settings
import Tensors

/// A graph whose nodes have features and classes.
public struct NodeGraph: Sendable {
  /// `[nodes, width]`.
  public let features: FeatureRows
  /// The class of every node; below 0: not known.
  public let labels: [Int32]
  /// Labels are below this.
  public let classCount: Int
  /// Who sends to whom.
  public let edges: EdgeList
  /// What each node's label is for; `nil`: for nothing. Every node sends and receives, whatever its label is for.
  public let splits: [Split?]

  /// The labels of one split, those of other nodes left out.
  func targets(_ split: Split) -> [Int32] {
    zip(labels, splits).map { $0 >= 0 && $1 == split ? $0 : TaskBatch.ignored }
  }
}

/// The class of every node of one graph, of which some are known: the whole graph is one batch, and a split is which labels
/// are scored.
public protocol NodeTask: SequenceTask {
  /// The graph.
  var graph: NodeGraph { get }
}

extension NodeTask {
  /// A class for every row.
  public var kind: TaskKind { .nodeClassification }
  /// Classes.
  public var vocabularySize: Int { graph.classCount }
  /// Nodes.
  public var length: Int { graph.features.count }
  /// Numbers of a node.
  public var featureWidth: Int { graph.features.width }
  /// The whole graph is one.
  public func batchCount(of split: Split) -> Int? { 1 }

  /// All nodes, with the labels of a split; `batchSize` does not matter.
  /// - Throws: `ConfigurationError` when the split has no label.
  public func batch(split: Split, index: Int, batchSize: Int) throws -> TaskBatch {
    let batch = TaskBatch(graph, targets: graph.targets(split))
    guard batch.scoredCount > 0 else {
      throw ConfigurationError(
        field: Self.card.id, value: configuration.summary,
        allowed: "settings that leave at least one known label to \(split.rawValue)")
    }
    return batch
  }

  /// Splits by shares of the nodes with a label, in an order that is drawn: at least one each for training and validation where
  /// there are three.
  static func splits(_ labels: [Int32], train: Double, validation: Double, key: RandomKey) -> [Split?] {
    var generator = key.generator()
    let known = labels.indices.filter { labels[$0] >= 0 }.shuffled(using: &generator)
    let count = Double(known.count), most = max(0, known.count - 2)
    let trained = min(max(1, Int((count * train).rounded())), max(1, most))
    let chosen = min(max(1, Int((count * validation).rounded())), max(0, known.count - trained - 1))
    var splits = [Split?](repeating: nil, count: labels.count)
    for (place, node) in known.enumerated() {
      splits[node] = place < trained ? .train : place < trained + chosen ? .validation : .test
    }
    return splits
  }
}
