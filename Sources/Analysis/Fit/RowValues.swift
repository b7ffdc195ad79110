import Basics
import Records
import Formulas

/// The cells of one row as numbers and texts. Each derived column is computed once, however often others use it.
struct RowValues {
  private let table: FitTable
  private let row: Int
  private var known: [Double??]

  init(_ table: FitTable, row: Int) {
    (self.table, self.row) = (table, row)
    known = [Double??](repeating: nil, count: table.derived.count)
  }

  /// The line of the file on which the row starts.
  var line: Int { table.table.lines[row] }

  private var place: String { "\(table.table.file):\(line)" }

  /// A column as a number: nil when the cell, or one that it is derived from, is empty.
  /// - Throws: `UsageError` for a cell that is no finite number.
  mutating func number(_ name: String) throws -> Double? {
    if let column = table.index[name] { return try cell(column, name) }
    guard let number = table.derivedIndex[name] else { return nil }
    if let value = known[number] { return value }
    let value = try value(of: table.derived[number].expression)
    known[number] = .some(value)
    return value
  }

  private func cell(_ column: Int, _ name: String) throws -> Double? {
    let text = table.table.rows[row][column]
    if let number = CSVTable.number(text), number.isFinite { return number }
    if text.trimmed.isEmpty { return nil }
    let hint = CSVDialect.isWithComma(text) ? "; --decimal-comma reads decimal commas" : ""
    throw UsageError("\(place): column \(shown(name)): '\(shown(text))' is not a finite number\(hint)")
  }

  /// An expression: nil when a cell in it is empty.
  mutating func value(of expression: FormulaExpression) throws -> Double? {
    do {
      return try expression.value { name in
        guard let value = try number(name) else { throw EmptyCell() }
        return value
      }
    } catch is EmptyCell { return nil }
  }

  private struct EmptyCell: Error {}

  /// A weight: zero leaves the row out, so it is not refused.
  /// - Throws: `UsageError` for one that is negative or not finite.
  mutating func weight(_ weights: FitTable.Quantity) throws -> Double? {
    guard let value = try value(of: weights.expression) else { return nil }
    guard value >= 0, value.isFinite else {
      throw UsageError(
        "\(place): weight \(shown(weights.label)): \(value) is not allowed; a weight is finite and not negative"
      )
    }
    return value
  }

  /// A column's text without spaces around it, or the digits of a formula's value.
  mutating func text(of expression: FormulaExpression) throws -> String {
    if case .name(let name) = expression, let column = table.index[name] {
      return table.table.rows[row][column].trimmed
    }
    guard let value = try value(of: expression) else { return "" }
    return value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
  }

  /// Whether the row passes a filter; comparisons with an empty cell do not.
  mutating func passes(_ filter: FormulaExpression) throws -> Bool {
    switch filter {
    case .binary(.and, let a, let b): return try passes(a) && passes(b)
    case .binary(.or, let a, let b): return try passes(a) || passes(b)
    case .call(.not, let a): return try !passes(a)
    case .binary(.equal, .name(let name), .text(let text)), .binary(.equal, .text(let text), .name(let name)):
      return try self.text(of: .name(name)) == text.trimmed
    case .binary(.notEqual, .name(let name), .text(let text)),
      .binary(.notEqual, .text(let text), .name(let name)):
      return try self.text(of: .name(name)) != text.trimmed
    default: return try (value(of: filter) ?? 0) != 0
    }
  }
}
