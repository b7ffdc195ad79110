import AttentionCore
import Basics
import Settings
import Tensors

/// Which cells a measurement experiment has: every field may be a list, and all combinations are measured.
public struct MeasurementPlan: Sendable {
  /// A variant with one combination of its settings.
  public struct Choice: Hashable, Sendable {
    /// The variant's id.
    public let variant: String
    /// Its settings; what is left out has its default.
    public let settings: [String: ParameterValue]
  }

  /// The variants, interleaved at every combination of the other fields.
  public var choices: [Choice]
  /// Query lengths.
  public let lengths: [Int]
  /// Key lengths; empty: the query length.
  public let keyLengths: [Int]
  /// Batch sizes.
  public let batches: [Int]
  /// Query heads.
  public let heads: [Int]
  /// Key heads; empty: as many as query heads.
  public let keyHeads: [Int]
  /// The last axis of q and k.
  public let headDims: [Int]
  /// The last axis of v; empty: as q and k.
  public let valueDims: [Int]
  /// Whether a query sees only its past.
  public let causal: [Bool]
  /// The passes.
  public let passes: [PassKind]
  /// How q, k and v are stored; the precisions of a variant follow one another.
  public let precisions: [Precision]
  /// Threads; 0: all processors.
  public var threads: [Int]
  /// Instruction sets; empty: the best.
  public let instructionSets: [String]
  /// Where q, k and v come from.
  public let inputs: [InputSource]
  /// Seeds.
  public let seeds: [UInt64]
  /// Passes before the first timed one.
  public let warmup: Int
  /// The most timed repeats of a cell.
  public let repeats: Int
  /// Once a cell has timed this many seconds and three repeats, it stops repeating.
  public let budgetSeconds: Double

  /// Reads the fields of a plan.
  /// - Throws: `UsageError` with place and what is allowed.
  init(_ reader: inout FieldReader, _ context: Preset.PlanContext) throws(UsageError) {
    let size = FieldKind.integer(1...(1 << 30))
    let passNames = PassKind.allCases.map(\.rawValue)
    let isaNames = InstructionSet.allCases.map(\.rawValue)
    let variants = reader.node("variants")
    lengths = try reader.sweep("n", size, default: [])
    keyLengths = try reader.sweep("key_length", size, default: [])
    batches = try reader.sweep("batch", .integer(1...65536), default: [1])
    heads = try reader.sweep("heads", .integer(1...4096), default: [1])
    keyHeads = try reader.sweep("key_heads", .integer(1...4096), default: [])
    headDims = try reader.sweep("head_dim", .integer(1...4096), default: [64])
    valueDims = try reader.sweep("value_dim", .integer(1...4096), default: [])
    causal = try reader.sweep("causal", .flag, default: [false])
    passes = try reader.sweep("pass", .word(passNames), default: ["forward"]).compactMap(PassKind.init)
    precisions = try reader.sweep(
      "precision", .word(Precision.allCases.map(\.rawValue)), default: [Precision.float32.rawValue]
    ).compactMap(Precision.init)
    threads = try reader.sweep("threads", .threads, default: [0])
    instructionSets = try reader.sweep("isa", .word(isaNames), default: [])
    inputs = try reader.sweep("input", .input(folder: context.folder), default: [.gaussian])
    seeds = try reader.sweep("seed", .seed, default: [1])
    warmup = try reader.value("warmup", .integer(0...1000), default: 1)
    repeats = try reader.value("repeats", .integer(1...100_000), default: 5)
    budgetSeconds = try reader.value("budget", .seconds, default: 10)
    choices = []
    try reader.finish(also: Preset.sharedFields)
    guard let variants else {
      throw UsageError(
        "\(reader.place): variants is missing; it takes a list of \(context.catalog.ids.joined(separator: ", "))"
      )
    }
    choices = try MeasurementPlan.choices(variants, catalog: context.catalog)
    guard !lengths.isEmpty else {
      throw UsageError("\(reader.place): n is missing; it takes a whole number or a list of them")
    }
  }

  private static func choices(_ node: PresetNode, catalog: Catalog) throws(UsageError) -> [Choice] {
    var choices: [Choice] = []
    for element in node.alternatives {
      switch element.content {
      case .scalar(let id, _):
        try choices.append(contentsOf: expand(id, settings: [], at: element.place, catalog))
      case .mapping(let entries) where entries.count == 1:
        let settings = entries[0].value
        guard let fields = settings.entries else {
          throw settings.error(
            "\(entries[0].key): \(settings.summary) is not allowed; it takes settings such as {name: value}")
        }
        try choices.append(
          contentsOf: expand(entries[0].key, settings: fields, at: entries[0].place, catalog))
      default:
        throw element.error(
          "variants: \(element.summary) is not allowed; it takes a variant or {variant: settings}")
      }
    }
    guard !choices.isEmpty else {
      throw node.error("variants: an empty list; it takes \(catalog.ids.joined(separator: ", "))")
    }
    if let index = choices.indices.first(where: { choices[..<$0].contains(choices[$0]) }) {
      throw node.error("variants: \(choices[index].variant) appears twice with the same settings")
    }
    return choices
  }

  /// All combinations of the settings of one variant, each checked.
  private static func expand(
    _ id: String, settings: [PresetNode.Entry], at place: String, _ catalog: Catalog
  ) throws(UsageError) -> [Choice] {
    guard let type = catalog.types.first(where: { $0.card.id == id }) else {
      let nearest = nearestName(to: id, among: catalog.ids).map { "did you mean \($0)? " } ?? ""
      throw UsageError(
        "\(place): there is no variant \(id); \(nearest)it takes one of \(catalog.ids.joined(separator: ", "))"
      )
    }
    let description = VariantDescription(type)
    var combinations: [[String: ParameterValue]] = [[:]]
    for entry in settings {
      let parameter = description.parameters.first { $0.name == entry.key }
      var isList = false
      if case .list = parameter?.defaultValue { isList = true }
      let sweepsLists = entry.value.elements?.contains { $0.elements != nil } ?? false
      let nodes = isList && !sweepsLists ? [entry.value] : entry.value.alternatives
      let before = combinations
      combinations = []
      for node in nodes {
        guard let value = ParameterValue(node) else {
          throw node.error("\(id): \(entry.key): \(node.summary) is not a value or a list of values")
        }
        do throws(ConfigurationError) {
          try description.check([entry.key: value])
        } catch {
          throw node.error("\(id): \(error)")
        }
        combinations += before.map { $0.merging([entry.key: value]) { _, new in new } }
      }
    }
    return combinations.map { Choice(variant: id, settings: $0) }
  }
}

extension Preset {
  /// Fields that may stand above all experiments without belonging to each kind.
  static let sharedFields = ["experiment", "name"]
}

extension FieldKind where Value == Int {
  /// `all` (0) or a number of threads.
  static let threads = FieldKind("all or a whole number from 1 to 1024") { node in
    guard let text = node.text else { return nil }
    if text == "all" { return 0 }
    return Int(text).flatMap { (1...1024).contains($0) ? $0 : nil }
  }
}

extension ParameterValue {
  /// The value of a scalar, or of a list of whole numbers.
  init?(_ node: PresetNode) {
    switch node.content {
    case .scalar(let text, let isQuoted):
      self =
        isQuoted
        ? .string(text)
        : text.isEmpty || text == "~" || text == "null" ? .string("none") : .init(parsing: text)
    case .list(let nodes):
      let numbers = nodes.map { $0.text.flatMap { Int($0) } }
      guard !numbers.contains(nil) else { return nil }
      self = .list(numbers.compactMap(\.self))
    case .mapping: return nil
    }
  }
}
