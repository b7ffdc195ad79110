import Records
import Formulas

// A time belongs to the machine on which it was measured. Where rows of several machines are read for a time, every machine
// has groups of its own, as it has panels of its own in a comparison.

extension FitTable {
  /// The column that names a row's machine in every table of the lab.
  static let machineColumn = "machine"

  /// The machines of rows, where they have to be told apart.
  /// - Parameters:
  ///   - rows: the numbers of the rows.
  ///   - quantities: what is read of them.
  ///   - group: what splits the rows already.
  /// - Returns: the machine of each row by its number; `nil`: no time is read, there is one machine, or `group` is the machine.
  /// - Complexity: O(rows).
  func machines(of rows: [Int], reading quantities: [Quantity], splitBy group: Quantity?) -> [Int: String]? {
    guard let column = index[Self.machineColumn], group?.column != Self.machineColumn,
      quantities.contains(where: { reads(timeColumns, $0.expression) })
    else { return nil }
    let machines = rows.map { row in
      let name = table.rows[row][column].trimmed
      return (row, name.isEmpty ? "an unnamed machine" : name)
    }
    guard Set(machines.map(\.1)).count > 1 else { return nil }
    return Dictionary(uniqueKeysWithValues: machines)
  }

  /// Whether an expression needs a column of a set, itself or by what is derived.
  private func reads(_ columns: Set<String>, _ expression: FormulaExpression) -> Bool {
    expression.names.contains { name in
      if columns.contains(name) { return true }
      // A derived column is made of earlier ones alone.
      return derivedIndex[name].map { reads(columns, derived[$0].expression) } ?? false
    }
  }
}
