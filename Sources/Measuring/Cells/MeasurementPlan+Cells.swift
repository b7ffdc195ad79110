import AttentionCore
import Basics
import Presets
import Records
import Tensors

extension MeasurementPlan {
  /// All cells: lengths ascend, and at each length the variants follow one another, so that a machine that drifts
  /// favours none.
  /// - Throws: `UsageError` when key heads do not divide heads, or there are more than `mostCells`.
  /// - Complexity: O(number of cells).
  public func cells(preset: String, experiment: String) throws(UsageError) -> [Cell] {
    let name = experiment.isEmpty ? preset : experiment
    let count = sweeps.reduce(Double(choices.count)) { $0 * Double($1.changes.count) }
    guard count <= Double(Self.mostCells) else {
      throw UsageError(
        "experiment \(shown(name)): its lists make \(Quantity.significant(count, 3)) cells; at most "
          + "\(Self.mostCells) are allowed")
    }
    var base = Cell()
    (base.preset, base.experiment) = (preset, experiment)
    var cells = [base]
    for level in levels {
      cells = cells.flatMap { cell in
        level.map { change in
          var cell = cell
          change(&cell)
          return cell
        }
      }
    }
    let given = Set(sweeps.map(\.key))
    for index in cells.indices { cells[index].complete(given: given) }
    if let odd = cells.first(where: { $0.heads % $0.keyHeads != 0 }) {
      throw UsageError(
        "experiment \(shown(name)): key_heads \(odd.keyHeads) is no divisor of heads \(odd.heads)")
    }
    // What two values come to can be one cell: `threads: [2, all]` on two processors, lengths of the query when decoding.
    var seen: Set<String> = []
    return cells.filter { seen.insert($0.id).inserted }
  }

  /// The most cells of an experiment: at a tenth of a second each, a day.
  static let mostCells = 1_000_000

  /// What is varied, outermost first.
  private var levels: [[@Sendable (inout Cell) -> Void]] {
    let variants = choices.map { choice -> @Sendable (inout Cell) -> Void in
      { ($0.variant, $0.settings) = (choice.variant, choice.settings) }
    }
    let inner = Self.nesting.drop { $0 != Self.variants }
    let outside = sweeps.filter { !inner.contains($0.key) }, inside = sweeps.filter { inner.contains($0.key) }
    return outside.map { $0.changes.map(\.apply) } + [variants] + inside.map { $0.changes.map(\.apply) }
  }
}
