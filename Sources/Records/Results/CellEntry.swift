import Basics
import Foundation

/// A row of `cells.csv`: a cell that a run was asked for, with its number in the preset.
///
/// Numbers are the same on every machine, ids may not be: `threads: all` is one number of threads here and another there.
public struct CellEntry: Record, Hashable {
  /// The file of such rows in the folder of a run.
  public static let table = "cells.csv"

  /// The column `number`.
  public var number = 0
  /// The column `cells`.
  public var cells = 0
  /// The column `shard`.
  public var shard = 1
  /// The column `shards`.
  public var shards = 1
  /// The column `experiment`.
  public var kind = ""
  /// The column `cell_id`.
  public var cellID = ""
  /// The column `cell`.
  public var cell = ""

  /// Creates an empty row.
  public init() {}

  /// The columns, in order.
  public static let schema: [Field<CellEntry>] = [
    .field("number", \.number, .count(from: 1), .record, "the cell's number in the preset").required,
    .field("cells", \.cells, .count(from: 1), .record, unit: "cells", "cells of the preset").required,
    .field("shard", \.shard, .count(from: 1), .record, "the part of the preset that was asked for").required,
    .field("shards", \.shards, .count(from: 1), .record, unit: "parts", "parts that the preset was cut into")
      .required,
    .field("experiment", \.kind, .text, .record, "the kind of experiment").required,
    .field("cell_id", \.cellID, .text, .record, "the id of the cell in its table (run_id of trainings)")
      .required,
    .field("cell", \.cell, .text, .record, "the cell in a few words"),
  ]

  /// The cells that the run in a folder was asked for; none when nobody wrote them down.
  /// - Throws: `UsageError` for a file that is no such list.
  public static func read(in folder: String) throws(UsageError) -> [CellEntry] {
    let path = folder + "/" + table
    guard let table = try CSVTable.wholeLines(of: path).table else { return [] }
    for column in columns { _ = try table.index(of: column) }
    return try rows(of: table)
  }

  /// The text of a table of cells.
  public static func text(_ entries: [CellEntry]) -> String {
    ([columns] + entries.map(\.fields)).map(CSVTable.line).joined()
  }
}
