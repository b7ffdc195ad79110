import Basics

/// A table that the program writes, with its columns.
public struct ResultTable: Sendable {
  /// The file's name.
  public let name: String
  /// What a row is.
  public let row: String
  /// The columns.
  public let columns: [Column]

  /// One column, without the type of its row.
  public struct Column: Sendable {
    /// The name.
    public let name: String
    /// Its type in words.
    public let type: String
    /// The unit; empty for none.
    public let unit: String
    /// What is allowed, in words.
    public let allowed: String
    /// The meaning, in one line.
    public let help: String
    /// The column as JSON.
    public let json: JSONValue

    init<Row>(_ field: Field<Row>) {
      (name, type, unit) = (field.name, field.type, field.unit)
      (allowed, help, json) = (field.allowed, field.help, field.json)
    }
  }

  /// The table of a type of row.
  public init<Row: Record>(_ name: String, _ type: Row.Type, _ row: String) {
    (self.name, self.row, columns) = (name, row, type.schema.map { Column($0) })
  }
}

/// Tables as `attnlab list columns` shows them, and scripts read them.
public struct ResultTables: Sendable {
  /// The tables.
  public let tables: [ResultTable]

  /// The tables of a program: those of its kinds of experiment, that of a run's cells, that of a row's statistics, and that of fits.
  public init(_ kinds: [ResultTable]) {
    tables =
      kinds + [
        ResultTable(CellEntry.table, CellEntry.self, "one cell that a run was asked for"),
        ResultTable("stats.csv", StatisticsRow.self, "one query row of apply --stats"),
        ResultTable("fits.csv", FitRow.self, "one parameter of a fit"),
      ]
  }

  /// The tables as JSON.
  public var json: JSONValue {
    .object([
      "tables": .array(
        tables.map {
          .object([
            "name": .string($0.name), "row": .string($0.row), "columns": .array($0.columns.map(\.json)),
          ])
        })
    ])
  }

  /// The tables for people.
  public var text: String {
    tables.map { "\($0.name): a row is \($0.row)\n\($0.grid.text)" }.joined(separator: "\n\n")
  }

  /// The tables for a document, each under its name.
  public var markdown: String {
    tables.map { "`\($0.name)`: a row is \($0.row).\n\n\($0.grid.markdown(code: [0]))" }
      .joined(separator: "\n\n")
  }
}

extension ResultTable {
  /// The columns for a document.
  package var markdown: String { grid.markdown(code: [0]) }

  fileprivate var grid: TextTable {
    var grid = TextTable(["column", "type", "unit", "meaning"])
    for column in columns { grid.add([column.name, column.type, column.unit, column.help]) }
    return grid
  }
}
