import Basics
import Foundation
import Records

/// The tables of a training as they grow: a point of the curve as soon as it is known, rows of steps a second's together.
///
/// All rows up to a checkpoint are written before it, and a training that goes on from one cuts off the rows after it:
/// however a training ends, no step is lost, and none stands there twice.
public final class TrainingRecorder {
  private let curves: RowWriter
  private let steps: RowWriter
  private let events: EventLog?
  private var waiting: [StepRow] = []
  private var written = ContinuousClock.now

  /// Opens the tables in a folder.
  /// - Parameters:
  ///   - id: the training.
  ///   - step: where it goes on; rows after it are cut off.
  ///   - folder: the folder.
  ///   - isAlone: the tables are this training's own.
  ///   - hasEvents: whether an event file of TensorBoard is written beside them.
  /// - Throws: `UsageError` when they cannot be read or written.
  public init(
    of id: String, after step: Int, in folder: RunFolder, isAlone: Bool = false, hasEvents: Bool = false
  ) throws(UsageError) {
    for table in [folder.curves, folder.steps] {
      try StepTable.cut(table, after: step, of: id, isAlone: isAlone)
    }
    events = hasEvents ? try EventLog(of: id, in: folder) : nil
    curves = try RowWriter(path: folder.curves, of: CurveRow.self)
    steps = try RowWriter(path: folder.steps, of: StepRow.self)
  }

  /// Adds a step.
  /// - Throws: `UsageError` when rows cannot be written.
  func add(_ row: StepRow) throws(UsageError) {
    waiting.append(row)
    if (ContinuousClock.now - written).seconds > 1 { try flush() }
  }

  /// Adds a point of the curve.
  /// - Throws: `UsageError` when it cannot be written.
  func add(_ point: CurveRow) throws(UsageError) {
    try flush()
    try curves.append(point)
    try events?.append(EventLog.record(of: point))
  }

  /// Writes the steps that wait.
  /// - Throws: `UsageError` when they cannot be written; they wait on.
  func flush() throws(UsageError) {
    guard !waiting.isEmpty else { return }
    try steps.append(waiting)
    for row in waiting { try events?.append(EventLog.record(of: row)) }
    waiting = []
    written = ContinuousClock.now
  }

  /// Adds what the test found to the event file.
  /// - Parameter row: the row of `runs.csv`.
  /// - Throws: `UsageError` when it cannot be written.
  public func finish(_ row: TrainingRow) throws(UsageError) { try events?.append(EventLog.record(of: row)) }
}
