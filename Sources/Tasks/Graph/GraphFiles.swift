import ArrayFiles
import Basics
import Settings
import Tensors

/// Node classification on a user's graph: edges, features, labels and, if given, which label is for what.
///
/// `edges`: what `EdgeFile` reads. `features`: a `.npy` `[nodes, width]`, or text, one node a line, numbers separated by commas,
/// semicolons or blanks. `labels`: a `.npy` `[nodes]` of whole numbers, or text, one a line; below 0 means not known. `split`
/// likewise, 0 or `train`, 1 or `validation`, 2 or `test`, −1 or `none`; without it a draw decides, 60, 20 and 20 of 100.
public struct GraphFiles: NodeTask {
  /// The files.
  public struct Configuration: ParameterSet {
    /// The file of edges.
    public var edges = ""
    /// The file of features.
    public var features = ""
    /// The file of labels.
    public var labels = ""
    /// The file of splits; empty: they are drawn.
    public var split = ""

    /// The defaults.
    public init() {}
    /// All parameters.
    public static let parameters: [Parameter<Self>] = [
      .text("edges", \.edges, allowed: "a file", help: "pairs (source, target), .npy or .csv"),
      .text("features", \.features, allowed: "a file", help: "[nodes, width], .npy or .csv"),
      .text("labels", \.labels, allowed: "a file", help: "a class for every node, .npy or text; −1: unknown"),
      .text(
        "split", \.split, allowed: "a file, or nothing",
        help: "train, validation, test or none for every node, or 0, 1, 2, −1; nothing: drawn"),
    ]
  }

  /// What the task is.
  public static let card = TaskCard(
    id: "graph-files", title: "Nodes of a graph of one's own",
    paper: "Kipf and Welling, 2017, Semi-supervised classification with graph convolutional networks",
    idea: "the class of every node of a user's graph, some of which are known")

  /// The configuration in force.
  public let configuration: Configuration
  /// The graph.
  public let graph: NodeGraph
  /// The names and marks of the files: a training that goes on over others is refused.
  public let text: TextCorpus?

  /// Reads the files.
  /// - Throws: `TextError`, `FileFailure`: a file that is not named, cannot be read, or does not fit the others.
  public init(_ configuration: Configuration, key: RandomKey) throws {
    self.configuration = configuration
    for (name, path) in [
      ("edges", configuration.edges), ("features", configuration.features), ("labels", configuration.labels),
    ] where path.isEmpty {
      throw TextError("task.\(name): no file is named; give task.edges, task.features and task.labels")
    }
    let features = try NodeFile.features(configuration.features)
    let nodes = features.shape[0]
    let edges = try EdgeFile.edges(configuration.edges)
    if let place = edges.firstOutside(sources: nodes, targets: nodes) {
      throw TextError(
        "\(configuration.edges): edge \(place), \(edges[place].source) → \(edges[place].target); "
          + "\(configuration.features) has nodes from 0 to \(nodes - 1)")
    }
    let labels = try NodeFile.numbers(configuration.labels, words: [:], nodes: nodes, largest: 1 << 20)
    guard let classes = labels.max(), classes >= 0 else {
      throw TextError(
        "\(configuration.labels): no node has a class; at least one label of 0 or more is needed")
    }
    let splits: [Split?]
    if configuration.split.isEmpty {
      splits = GraphFiles.splits(labels, train: 0.6, validation: 0.2, key: key("splits"))
    } else {
      let words: [String: Int32] = ["none": -1, "train": 0, "validation": 1, "val": 1, "test": 2]
      splits = try NodeFile.numbers(configuration.split, words: words, nodes: nodes, largest: 2)
        .map { $0 < 0 ? nil : Split.allCases[Int($0)] }
    }
    graph = NodeGraph(
      features: FeatureRows(features), labels: labels, classCount: Int(classes) + 1, edges: edges,
      splits: splits)
    let files = [configuration.edges, configuration.features, configuration.labels, configuration.split]
    let marks = try files.filter { !$0.isEmpty }.map { Fingerprint.of(try InputFile.bytes($0)) }
    text = TextCorpus(bytes: Array(marks.joined(separator: " ").utf8), named: configuration.edges)
    for split in Split.allCases where !graph.targets(split).contains(where: { $0 >= 0 }) {
      throw TextError(
        "\(configuration.split.isEmpty ? configuration.labels : configuration.split): no node with a label is for "
          + "\(split.rawValue); train, validation and test need one each")
    }
  }
}

/// Reads what nodes have from a user's file.
enum NodeFile {
  /// `[nodes, width]` of finite numbers.
  /// - Throws: `TextError`, `FileFailure`, `NpyError`.
  static func features(_ path: String) throws -> Tensor {
    if path.hasSuffix(".npy") {
      let array = try NpyArray(contentsOf: path)
      guard array.shape.count == 2, !array.shape.contains(0) else {
        throw TextError("\(path): shape \(array.shape); features take [nodes, width], none of them 0")
      }
      let values = array.floats
      if let bad = values.firstIndex(where: { !$0.isFinite }) {
        throw TextError(
          "\(path): element [\(bad / array.shape[1]), \(bad % array.shape[1])] is \(values[bad]) in single "
            + "precision; finite numbers are needed")
      }
      return try Tensor(values, shape: array.shape)
    }
    var values: [Float] = []
    var width = 0, rows = 0
    for (number, line) in try lines(path) {
      let words = line.split { ",; \t".contains($0) }
      let numbers = words.map { Float($0) }
      if rows == 0, values.isEmpty, numbers.allSatisfy({ $0 == nil }) { continue }
      if rows == 0 { width = words.count }
      guard words.count == width, !numbers.contains(where: { $0?.isFinite != true }) else {
        throw TextError(
          "\(path): line \(number): \(words.count) words; \(max(width, 1)) finite numbers are needed, "
            + "as in the first row"
        )
      }
      values += numbers.compactMap(\.self)
      rows += 1
    }
    guard rows > 0 else { throw TextError("\(path): no node in it; one line of numbers for each is needed") }
    return try Tensor(values, shape: [rows, width])
  }

  /// A whole number for every node, or a word that stands for one; −1 for any below 0.
  /// - Throws: `TextError`, `FileFailure`, `NpyError`.
  static func numbers(_ path: String, words: [String: Int32], nodes: Int, largest: Int64) throws -> [Int32] {
    var result: [Int32] = []
    func add(_ value: Int64, _ place: String) throws {
      guard value <= largest else {
        throw TextError("\(path): \(place) is \(value); whole numbers up to \(largest) are needed")
      }
      result.append(Int32(max(-1, value)))
    }
    if path.hasSuffix(".npy") {
      let array = try NpyArray(contentsOf: path)
      guard let values = array.integers, array.shape.count == 1 else {
        throw TextError("\(path): \(array.type) \(array.shape); whole numbers [nodes] are needed")
      }
      for (node, value) in values.enumerated() { try add(value, "node \(node)") }
    } else {
      for (number, line) in try lines(path) {
        if let value = words[line] {
          result.append(value)
        } else if let value = Int64(line) {
          try add(value, "line \(number)")
        } else if !result.isEmpty || number > 1 {
          let allowed = words.isEmpty ? "a whole number" : words.keys.sorted().joined(separator: ", ")
          throw TextError("\(path): line \(number): \"\(shown(line))\"; \(allowed) is needed")
        }
      }
    }
    guard result.count == nodes else {
      throw TextError("\(path): \(result.count) nodes; the features have \(nodes)")
    }
    return result
  }

  /// The lines that are not empty, with their numbers from 1.
  private static func lines(_ path: String) throws -> [(number: Int, line: String)] {
    let text = try InputFile.text(path, atMost: InputFile.largest)
    return text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().compactMap {
      index, line in
      let line = line.trimmed
      return line.isEmpty ? nil : (index + 1, line)
    }
  }
}
