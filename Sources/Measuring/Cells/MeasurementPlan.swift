import AttentionCore
import Basics
import Presets
import Records
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
  public let choices: [Choice]
  /// The values of every field that was given, outermost first.
  let sweeps: [Sweep]
  /// What its rows are to reach.
  public let targets: [Target]

  /// The values of one field of a cell.
  struct Sweep: Sendable {
    /// The field, as presets name it.
    let key: String
    /// Its values.
    let changes: [Change<Cell>]
  }

  /// What changes seldom stands outside; fields that are not named here stand outside all of them. Variants follow one
  /// another inside the pass, and the precisions of a variant inside the variants.
  static let nesting = [
    "input", "seed", "isa", "threads", "ranks", "causal", "head_dim", "value_dim", "heads", "key_heads",
    "batch", "n",
    "key_length", "pass", variants, "precision",
  ]
  static let variants = "variants"
  /// How a cell is timed, not what: one value, no list.
  private static let single: Set = ["warmup", "repeats", "budget", "quiet"]

  /// Reads the fields of a plan.
  /// - Throws: `UsageError` with place and what is allowed.
  init(_ reader: inout FieldReader, _ context: PlanContext) throws(UsageError) {
    let variants = reader.node(Self.variants)
    var sweeps: [Sweep] = []
    for field in Cell.schema {
      let isSwept = field.key.map { !Self.single.contains($0) } ?? false
      if let key = field.key,
        let changes = try reader.changes(field, isSwept: isSwept, folder: context.folder)
      {
        sweeps.append(Sweep(key: key, changes: changes))
      }
    }
    targets = try reader.targets { node throws(UsageError) in try Target(node, context) }
    try reader.finish(also: Preset.sharedFields)
    guard let variants else {
      throw UsageError(
        "\(reader.place): variants is missing; it takes a list of \(context.catalog.ids.joined(separator: ", "))"
      )
    }
    choices = try MeasurementPlan.choices(variants, catalog: context.catalog)
    guard sweeps.contains(where: { $0.key == "n" }) else {
      throw UsageError("\(reader.place): n is missing; it takes a whole number or a list of them")
    }
    let rank = Dictionary(uniqueKeysWithValues: Self.nesting.enumerated().map { ($1, $0) })
    self.sweeps = sweeps.stablySorted { rank[$0.key] ?? -1 }
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
            "\(shown(entries[0].key)): \(settings.summary) is not allowed; it takes settings such as {name: value}"
          )
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
      throw UsageError(
        "\(place): there is no variant \(shown(id)); it takes one of \(Basics.choices(catalog.ids, near: id))"
      )
    }
    let description = VariantDescription(type)
    var combinations: [[String: ParameterValue]] = [[:]]
    for entry in settings {
      let parameter = description.parameters.first { $0.name == entry.key.replacing("-", with: "_") }
      var isList = false
      if case .list = parameter?.defaultValue { isList = true }
      let sweepsLists = entry.value.elements?.contains { $0.elements != nil } ?? false
      let nodes = isList && !sweepsLists ? [entry.value] : entry.value.alternatives
      let before = combinations
      combinations = []
      for node in nodes {
        guard let value = ParameterValue(node) else {
          throw node.error("\(id): \(shown(entry.key)): \(node.summary) is not a value or a list of values")
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

extension ParameterValue {
  /// The value of a scalar, or of a list of whole numbers.
  init?(_ node: PresetNode) {
    switch node.content {
    case .scalar(let text, let isQuoted):
      self = isQuoted ? .string(text) : text.isEmpty ? .string("none") : .init(parsing: text)
    case .list(let nodes):
      let numbers = nodes.map { $0.scalar?.whole }
      guard !numbers.contains(nil) else { return nil }
      self = .list(numbers.compactMap(\.self))
    case .mapping: return nil
    }
  }
}
