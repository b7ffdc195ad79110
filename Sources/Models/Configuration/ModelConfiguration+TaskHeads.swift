import Layers
import Settings

/// What an auxiliary task's head predicts: tokens at every position, or a class of a sequence.
public struct TaskHeadConfiguration: Hashable, Sendable {
  /// The task's name; empty: the main task.
  public var name: String
  /// Tokens that it tells apart; 0: it tells classes.
  public var tokens = 0
  /// Classes; 0: it predicts tokens.
  public var classes = 0

  /// Creates a description.
  /// - Parameters:
  ///   - name: the task's name.
  ///   - tokens: tokens that it tells apart; 0: it tells classes.
  ///   - classes: classes; 0: it predicts tokens.
  public init(name: String, tokens: Int = 0, classes: Int = 0) {
    (self.name, self.tokens, self.classes) = (name, tokens, classes)
  }

  /// Whether it tells classes.
  public var isClassification: Bool { classes > 0 }
  /// Tokens or classes, whichever it tells apart.
  public var outputs: Int { isClassification ? classes : tokens }

  /// As `parse` reads it.
  var layer: LayerAttention {
    LayerAttention(name, settings: isClassification ? ["classes": .int(classes)] : ["tokens": .int(tokens)])
  }

  /// Reads a line such as `labelled-text(classes=4), text(tokens=256)`.
  /// - Throws: `ConfigurationError` for the field `task_heads`.
  static func parse(_ line: String) throws(ConfigurationError) -> [TaskHeadConfiguration] {
    func refuse(_ value: String, _ allowed: String) -> ConfigurationError {
      ConfigurationError(field: "task_heads", value: value, allowed: allowed)
    }
    guard !line.isEmpty else { return [] }
    var heads: [TaskHeadConfiguration] = []
    guard let layers = try? LayerAttention.parse(line) else {
      throw refuse(line, "a list such as: labelled-text(classes=4), text(tokens=256)")
    }
    for layer in layers {
      let isName = layer.id.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_".contains($0)) }
      guard isName else { throw refuse(layer.id, "names of letters, digits, - and _") }
      guard !heads.contains(where: { $0.name == layer.id }) else {
        throw refuse("\(layer.id) twice", "names that differ")
      }
      let settings = Array(layer.settings)
      guard settings.count == 1, case .int(let count) = settings[0].value, (1...1_000_000).contains(count),
        ["tokens", "classes"].contains(settings[0].key)
      else { throw refuse("\(layer)", "one of tokens and classes for each, from 1 to 1000000") }
      heads.append(
        settings[0].key == "tokens"
          ? TaskHeadConfiguration(name: layer.id, tokens: count)
          : TaskHeadConfiguration(name: layer.id, classes: count))
    }
    return heads
  }
}

extension ModelConfiguration {
  /// The settings of heads.
  static let headParameters: [Parameter<ModelConfiguration>] = [
    .integer(
      "output_vocabulary", \.outputVocabulary, in: 0...1_000_000, unit: "tokens",
      help: "tokens that the output tells apart, where auxiliary tasks read more; 0: all of the vocabulary"
    ).quiet,
    .text(
      "task_heads", \.taskHeadsLine, allowed: "a list such as: labelled-text(classes=4), text(tokens=256)",
      help: "heads of auxiliary tasks beside the main one's; the field auxiliary of a training makes them",
      reading: { line throws(ConfigurationError) in
        LayerAttention.line(try TaskHeadConfiguration.parse(line).map(\.layer))
      }
    ).quiet,
  ]

  /// Tokens that the main task's output tells apart.
  public var effectiveOutputVocabulary: Int { outputVocabulary == 0 ? layer.vocabulary : outputVocabulary }

  /// The heads of auxiliary tasks, in their order.
  /// - Throws: `ConfigurationError`.
  public func taskHeads() throws(ConfigurationError) -> [TaskHeadConfiguration] {
    try TaskHeadConfiguration.parse(taskHeadsLine)
  }

  /// Gives the model heads.
  /// - Parameter heads: those of auxiliary tasks, in their order.
  public mutating func set(taskHeads heads: [TaskHeadConfiguration]) {
    taskHeadsLine = LayerAttention.line(heads.map(\.layer))
  }

  /// What a task's head predicts.
  /// - Parameter task: an auxiliary task; `nil`: the main one.
  /// - Throws: `ConfigurationError` for the field `task` when there is no head of this name.
  public func head(of task: String?) throws(ConfigurationError) -> TaskHeadConfiguration {
    guard let task else {
      return classes > 0
        ? TaskHeadConfiguration(name: "", classes: classes)
        : TaskHeadConfiguration(name: "", tokens: effectiveOutputVocabulary)
    }
    let heads = try taskHeads()
    guard let head = heads.first(where: { $0.name == task }) else {
      throw ConfigurationError(
        field: "task", value: task,
        allowed: heads.isEmpty
          ? "nothing for this model, which has one task"
          : "an auxiliary task of this model: " + heads.map(\.name).joined(separator: ", "))
    }
    return head
  }

  /// Whether the model can have the heads that it names.
  /// - Throws: `ConfigurationError`.
  func checkTaskHeads() throws(ConfigurationError) {
    try require(
      outputVocabulary == 0 || outputVocabulary <= layer.vocabulary && classes == 0, "output_vocabulary",
      "\(outputVocabulary)",
      classes > 0 ? "0 for a task that is a classification" : "at most vocabulary = \(layer.vocabulary)")
    let heads = try taskHeads()
    guard !heads.isEmpty else { return }
    try require(
      kind == .decoder || kind == .encoder, "kind", kind.rawValue, "decoder or encoder with auxiliary tasks")
    try require(
      layer.features == 0, "features", "\(layer.features)", "0 with auxiliary tasks, which read tokens")
    try require(
      hierarchy.kind == .none, "hierarchy", hierarchy.kind.rawValue, "none with auxiliary tasks")
    try require(
      !keepsSegments, memory > 0 ? "memory" : "stored", "\(max(memory, layer.stored))",
      "0 with auxiliary tasks, whose rows continue nothing")
    for head in heads {
      try require(
        head.tokens <= layer.vocabulary, "task_heads", "\(head.layer)",
        "at most vocabulary = \(layer.vocabulary) tokens")
      // The first position of a causal stack has seen nothing but itself.
      try require(
        head.classes == 0 || kind == .encoder || pooling == .mean || pooling == .attention, "pooling",
        pooling.rawValue, "mean or attention where a decoder tells the classes of \(head.name)")
    }
  }
}
