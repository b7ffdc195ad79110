import Basics
import Presets
import Processes
import Records
import Tasks

/// Measures cells in processes of this machine, one after another: other work would disturb the times.
struct LocalProcesses: Executor {
  private let session: RunSession<MeasurementExperiment>

  init(_ session: RunSession<MeasurementExperiment>) { self.session = session }

  /// The rows of cells as they are measured.
  func rows(
    of cells: [Cell], in folder: RunFolder
  ) -> AsyncThrowingStream<FinishedCell<MeasurementExperiment>, any Error> {
    let queue = ProcessQueue(cells, session)
    return AsyncThrowingStream { try await queue.next() }
  }
}

/// The cells that are left, and what those before them say of them.
private actor ProcessQueue {
  private var left: ArraySlice<Cell>
  private var slow: TimedOutSeries
  private var checked: Set<String> = []
  private let session: RunSession<MeasurementExperiment>
  private let process: CellProcess
  private let sources: String?

  init(_ cells: [Cell], _ session: RunSession<MeasurementExperiment>) {
    let setting = session.setting
    (left, self.session) = (cells[...], session)
    slow = TimedOutSeries(session.rows, cells: session.cells)
    sources = TextCorpus.projectFolder(anchors: [setting.preset.file])
    if sources == nil, let note = cells.lazy.compactMap(\.input.noteWithoutSources).first {
      Terminal.note(note)
    }
    process = CellProcess(
      program: setting.program, memoryLimit: setting.memoryLimit, timeLimit: setting.timeLimit,
      interruption: setting.interruption)
  }

  func next() async throws -> FinishedCell<MeasurementExperiment>? {
    guard let cell = left.popFirst() else { return nil }
    try session.checkInterruption()
    if let reason = slow.reason(toSkip: cell) {
      var row = MeasurementRow(cell)
      row.startedAt = Timestamp.now()
      row.fail(.timeout, reason)
      return FinishedCell(cell, [row])
    }
    let peak = session.peaks.first { $0.need == cell.peak }
    let row = try await process.run(
      cell, peakGflops: peak?.gflops, textPath: sources, isChecked: checked.contains(cell.shapeClass))
    slow.note(row, of: cell)
    if row.status == .ok { checked.insert(cell.shapeClass) }
    return FinishedCell(cell, [row])
  }
}

/// Series over lengths in which a length timed out: longer ones would, too, and are not begun.
private struct TimedOutSeries {
  private var lengths: [String: Int] = [:]

  init(_ rows: [MeasurementRow], cells: [Cell]) {
    let byID = Dictionary(cells.map { ($0.id, $0) }) { first, _ in first }
    for row in rows { if let cell = byID[row.cellID] { note(row, of: cell) } }
  }

  mutating func note(_ row: MeasurementRow, of cell: Cell) {
    guard row.status == .timeout else { return }
    let length = cell.queryLength * cell.keyLength
    lengths[cell.series] = min(lengths[cell.series] ?? .max, length)
  }

  func reason(toSkip cell: Cell) -> String? {
    guard let length = lengths[cell.series], cell.queryLength * cell.keyLength > length else { return nil }
    return "not begun: a shorter length of the same series had timed out"
  }
}
