import Basics

/// What became of a cell, as far as running it again goes.
public enum RowEnding: Hashable, Sendable {
  /// It has its result.
  case done
  /// A limit of time ended it.
  case timeLimit
  /// A limit of memory ended it.
  case memoryLimit
  /// Somebody else ended it, which says nothing of the cell.
  case outside
  /// It failed of itself.
  case failed
}

/// A row that a run writes: it belongs to a cell, and a run that goes on finds it there.
public protocol ResultRow: Traceable {
  /// The column of the cell's id.
  static var idColumn: String { get }
  /// The id of its cell.
  var cellID: String { get set }
  /// What became of the cell.
  var ending: RowEnding { get }
  /// Whether it is the last row of its cell: without it the cell is not finished.
  var isLast: Bool { get }

  /// Whether a header is that of such a table.
  static func isHeader(_ header: [String]) -> Bool
  /// Reads all rows of a file.
  /// - Throws: `UsageError` when it is no such table, or was cut off.
  static func read(_ path: String, dialect: CSVDialect) throws(UsageError) -> [Self]
}

extension ResultRow {
  /// A cell has one row.
  public var isLast: Bool { true }
}

extension MeasurementRow: ResultRow {
  /// The column of the cell's id.
  public static let idColumn = "cell_id"

  /// What became of the cell.
  public var ending: RowEnding {
    switch status {
    case .ok: .done
    case .timeout: .timeLimit
    case .outOfMemory: .memoryLimit
    case .killed: .outside
    default: .failed
    }
  }
}

extension TrainingRow: ResultRow {
  /// The column of the training's id.
  public static let idColumn = "run_id"

  /// The id of the training.
  public var cellID: String {
    get { runID }
    set { runID = newValue }
  }

  /// What became of the training.
  public var ending: RowEnding { status == .ok ? .done : .failed }

  /// The training's own row comes after those of further evaluations.
  public var isLast: Bool { isTraining }
}
