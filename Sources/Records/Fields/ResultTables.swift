import Basics

/// The tables that the program writes, with their columns: for `attnlab list columns` and for scripts.
public enum ResultTables {
  /// One table.
  public struct Table: Sendable {
    /// The file's name.
    public let name: String
    /// What a row is.
    public let row: String
    /// The columns.
    public let columns: [Column]
  }

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

  /// All tables.
  public static let all: [Table] = [
    table("measurements.csv", MeasurementRow.self, "one variant, pass, shape and length"),
    table("runs.csv", TrainingRow.self, "one training, or one further evaluation of it"),
    table("curves.csv", CurveRow.self, "one evaluation during a training"),
    table("fits.csv", FitRow.self, "one parameter of a fit"),
  ]

  private static func table<Row: Record>(_ name: String, _ type: Row.Type, _ row: String) -> Table {
    Table(name: name, row: row, columns: type.schema.map { Column($0) })
  }

  /// The tables as JSON.
  public static var json: JSONValue {
    .object([
      "tables": .array(
        all.map {
          .object([
            "name": .string($0.name), "row": .string($0.row), "columns": .array($0.columns.map(\.json)),
          ])
        })
    ])
  }

  /// The tables for people.
  public static var text: String {
    all.map { "\($0.name): a row is \($0.row)\n\($0.grid.text)" }.joined(separator: "\n\n")
  }

  /// The tables for a document, each under its name.
  public static var markdown: String {
    all.map { "`\($0.name)`: a row is \($0.row).\n\n\($0.grid.markdown(code: [0]))" }
      .joined(separator: "\n\n")
  }
}

extension ResultTables.Table {
  fileprivate var grid: TextTable {
    var grid = TextTable(["column", "type", "unit", "meaning"])
    for column in columns { grid.add([column.name, column.type, column.unit, column.help]) }
    return grid
  }
}
