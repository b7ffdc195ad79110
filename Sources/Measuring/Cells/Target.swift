import AttentionCore
import Basics
import Figures
import Presets
import Records
import Tensors

/// What rows of a measurement are to reach: an entry of the field `targets` of an experiment.
///
/// ```yaml
/// targets:
///   - {pass: forward, causal: false, figure: fraction_of_limit, at_least: 0.85}
///   - {figure: fraction_executed, at_least: 0.9, of: full}   # nine tenths of what full attention reaches
/// ```
/// Besides `figure`, `at_least` and `of` an entry has conditions: fields of a cell by their names in presets, `variant`
/// with its `settings`, and the `road` of bfloat16. A row has the first target whose conditions it meets.
public struct Target: Sendable {
  /// A figure of a row, named as JSON names it.
  public enum Figure: String, CaseIterable, Sendable {
    /// The share of the multiply-add peak on needed pairs; when decoding, of the rate of reading as many bytes.
    case fractionOfLimit = "fraction_of_limit"
    /// The fraction of the peak on the pairs that the tiles execute, needed or not.
    case fractionExecuted = "fraction_executed"
    /// How many times as fast as the float32 row of the same cell.
    case timesFloat32 = "times_float32"

    /// What `fraction_executed` was called in earlier versions; presets may still say so.
    static let formerExecuted = "fraction_visited"
  }

  /// The figure and what it is to reach; with a reference, as a fraction of the reference's figure.
  public let goal: Goal<Figure>
  /// The figure.
  public var figure: Figure { goal.figure }
  /// What it is to reach.
  public var atLeast: Double { goal.atLeast }
  /// The variant whose figure on the same pass is the unit; it has no such target itself.
  public let reference: String?
  /// The columns of a row that must agree, with the values of which one must stand there.
  private let columns: [(column: String, values: [String])]
  private let settings: [String]
  private let road: BFloat16Road?

  /// Whether a row is to reach it.
  public func applies(to row: MeasurementRow) -> Bool {
    guard row.variant != reference, columns.allSatisfy({ $0.values.contains(row[$0.column]) }) else {
      return false
    }
    let own = Set(row.configuration.split(separator: ";").map(String.init))
    guard own.isSuperset(of: settings) else { return false }
    guard let road else { return true }
    return InstructionSet(rawValue: row.isa).map { BFloat16Choice.of($0).road } == road
  }

  /// Reads an entry of `targets`.
  /// - Throws: `UsageError` with place and what is allowed.
  init(_ node: PresetNode, _ context: PlanContext) throws(UsageError) {
    var reader = try FieldReader(node)
    goal = try Goal(&reader, of: node, formerly: [Figure.formerExecuted: .fractionExecuted])
    reference = try reader.optional("of", .words(context.catalog.ids))
    road = try reader.optional("road", .words(BFloat16Road.allCases.map(\.rawValue)))
      .flatMap(BFloat16Road.init)
    let variants = try reader.sweep("variant", .words(context.catalog.ids), default: [])
    var columns = variants.isEmpty ? [] : [(column: "variant", values: variants)]
    settings = try Target.settings(reader.node("settings"), of: variants, context)
    for field in Cell.schema {
      guard let changes = try reader.changes(field, isSwept: true, folder: context.folder) else { continue }
      columns.append((field.name, changes.map(\.text)))
    }
    self.columns = columns
    try reader.finish()
  }

  /// `name=value` as a row's configuration holds them.
  private static func settings(
    _ node: PresetNode?, of variants: [String], _ context: PlanContext
  ) throws(UsageError) -> [String] {
    guard let node else { return [] }
    guard variants.count == 1, let type = context.catalog.types.first(where: { $0.card.id == variants[0] })
    else { throw node.error("settings: name the one variant whose settings they are") }
    let names = VariantDescription(type).parameters.map(\.name)
    var settings: [String] = []
    for entry in node.entries ?? [] {
      guard names.contains(entry.key), let value = entry.value.text else {
        throw entry.value.error(
          "settings: \(shown(entry.key)): it takes one value of one of \(choices(names, near: entry.key))")
      }
      settings.append("\(entry.key)=\(value)")
    }
    return settings
  }
}

extension Preset {
  /// The targets of every experiment that has some, by its name.
  public var targets: [String: [Target]] { byExperiment(of: MeasurementExperiment.self, \.targets) }
}
