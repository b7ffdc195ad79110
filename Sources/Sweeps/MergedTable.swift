import Basics
import Presets
import Records

/// The rows of one kind of experiment from several folders, each cell once.
///
/// A cell that was done counts before one that was not; of attempts that failed the last one counts. Equal rows count once.
/// Cells that were done on machines of several kinds stay side by side, since nobody mixes their times. Done on machines
/// of one kind and yet different, they contradict each other: none of them is chosen.
/// - Complexity: O(n log n) in the rows.
struct MergedTable<Kind: ExperimentKind> {
  /// The cells, by number; those without one after them, in the order in which they were found.
  let cells: [CellRows<Kind>]
  /// What was left out, a line each.
  private(set) var notes: [String] = []

  /// Puts the rows of folders together.
  /// - Throws: `UsageError` that names both files and the column in which they contradict each other.
  init(_ folders: [SweepFolder]) throws(UsageError) {
    var found: [CellRows<Kind>] = []
    for folder in folders {
      let (cells, torn) = try folder.cells(of: Kind.self)
      // A run that was ended before the last row of a cell begins the cell anew.
      found += cells.filter { $0.last != nil }
      if torn > 0 {
        notes.append("\(folder.path)/\(Kind.table): a torn last line (\(torn) bytes) is not counted")
      }
    }
    var numbers: [String: Int] = [:]
    for cell in found { if let number = cell.number { numbers[cell.id] = numbers[cell.id] ?? number } }
    var kept: [(number: Int, cell: CellRows<Kind>)] = []
    let groups = found.grouped { cell in numbers[cell.id].map { "\($0)" } ?? "id " + cell.id }
    for group in groups {
      for cell in try Self.chosen(group.elements) { kept.append((numbers[cell.id] ?? .max, cell)) }
    }
    cells = kept.stablySorted(by: \.number).map(\.cell)
  }

  /// What counts among the rows that folders have of one cell.
  private static func chosen(_ all: [CellRows<Kind>]) throws(UsageError) -> [CellRows<Kind>] {
    let done = all.filter(\.isDone)
    guard !done.isEmpty else {
      func age(_ cell: CellRows<Kind>) -> (String, String) {
        (cell.last?.startedAt ?? "", cell.rows.flatMap(\.fields).joined(separator: ","))
      }
      return all.max { age($0) < age($1) }.map { [$0] } ?? []
    }
    var kept: [CellRows<Kind>] = []
    for cell in done {
      let same = kept.first { $0.id == cell.id && $0.last?.machine == cell.last?.machine }
      if let same {
        try refuseContradiction(same, cell)
      } else {
        kept.append(cell)
      }
    }
    return kept.sorted { ($0.last?.machine ?? "", $0.id) < ($1.last?.machine ?? "", $1.id) }
  }

  private static func refuseContradiction(
    _ one: CellRows<Kind>, _ other: CellRows<Kind>
  ) throws(UsageError) {
    let name = "\(Kind.words.cell) \(one.id), \(one.last.map { Kind.description(of: $0) } ?? "")"
    func refuse(_ what: String) throws(UsageError) {
      throw UsageError(
        "\(one.file) and \(other.file): \(name): \(what); they cannot both be right: merge without one of them"
      )
    }
    guard one.rows.count == other.rows.count else {
      return try refuse("\(one.rows.count) rows there, \(other.rows.count) here")
    }
    for (row, second) in zip(one.rows, other.rows) where row.fields != second.fields {
      guard let column = Kind.Row.schema.first(where: { $0.text(row) != $0.text(second) }) else { continue }
      try refuse(
        "column \(column.name): \(shown(column.text(row))) there, \(shown(column.text(second))) here")
    }
  }

  /// The table.
  var text: String {
    ([Kind.Row.columns] + cells.flatMap { $0.rows.map(\.fields) }).map(CSVTable.line).joined()
  }

  /// The other tables of the kind by name: of each cell that is kept the lines of the folder that it comes from.
  /// - Throws: `UsageError` for a table that is none.
  func companions() throws(UsageError) -> [(name: String, text: String)] {
    var texts: [(String, String)] = []
    for table in Kind.tables where table.name != Kind.table {
      let columns = table.columns.map(\.name)
      var read: [String: [String: [[String]]]] = [:]
      var lines: [[String]] = []
      for cell in cells {
        if read[cell.folder] == nil {
          read[cell.folder] = try Self.rows(of: "\(cell.folder)/\(table.name)", columns)
        }
        lines += read[cell.folder]?[cell.id] ?? []
      }
      if !lines.isEmpty { texts.append((table.name, ([columns] + lines).map(CSVTable.line).joined())) }
    }
    return texts
  }

  /// The rows of a companion by the id of their cell, in columns as they are declared.
  private static func rows(
    of file: String, _ columns: [String]
  ) throws(UsageError) -> [String: [[String]]] {
    guard let table = try CSVTable.wholeLines(of: file).table else { return [:] }
    let id = try table.index(of: Kind.Row.idColumn)
    let places = columns.map { table.header.firstIndex(of: $0) }
    return Dictionary(grouping: table.rows) { $0[id] }.mapValues { rows in
      rows.map { row in places.map { place in place.map { row[$0] } ?? "" } }
    }
  }
}
