import AttentionCore
import Basics
import Foundation
import Presets
import Processes
import Records
import Tasks
import Tensors

/// Runs a preset: a process a cell, a row as soon as it is known, and where it was stopped it goes on.
public struct Runner: Sendable {
  /// What is to be run.
  public let preset: Preset
  /// The cells, in order.
  public let cells: [Cell]
  /// Where results go.
  public let folder: String
  /// The program that measures a cell: `<program> measure …`.
  public let program: String
  /// Bytes that a cell may use.
  public let memoryLimit: Int
  /// Seconds that a cell may use; `nil`: no limit.
  public let timeLimit: Double?
  /// Told of every new row, with its number and how many there are.
  public let progress: @Sendable (MeasurementRow, Int, Int) -> Void
  /// Whether everything that did not end ok is measured again.
  public let retries: Bool
  /// What stops the run.
  public let interruption: Interruption

  /// Creates a runner.
  /// - Parameters:
  ///   - preset: what is run.
  ///   - cells: all cells of the preset, or a part of them.
  ///   - folder: where rows go.
  ///   - program: this program: a cell is a process of it.
  ///   - retries: whether cells that did not end ok are measured again.
  ///   - interruption: asks the run to stop.
  ///   - progress: called after a row, with the number of rows done and of all.
  public init(
    preset: Preset, cells: [Cell], folder: String, program: String, retries: Bool = false,
    interruption: Interruption = .init(),
    progress: @escaping @Sendable (MeasurementRow, Int, Int) -> Void = { _, _, _ in }
  ) {
    self.preset = preset
    self.cells = cells
    self.folder = folder
    self.program = program
    self.retries = retries
    self.interruption = interruption
    self.progress = progress
    memoryLimit = preset.memoryLimit ?? ProcessMemory.defaultLimit
    timeLimit = preset.timeLimit
  }

  /// What a run found and did.
  public struct Outcome: Sendable {
    /// Rows that were there already.
    public let kept: Int
    /// Rows that were added, or replaced.
    public let added: Int
    /// Rows that took the place of earlier ones that were no results.
    public let replaced: Int
    /// Bytes of a torn last line that were removed.
    public let repaired: Int
    /// All rows, as in the file.
    public let rows: [MeasurementRow]
  }

  /// Runs what is not measured yet.
  /// - Throws: `UsageError` when the folder holds another run, or cannot be written; `Interrupted`.
  public func run() async throws -> Outcome {
    let held = try RunFolder(folder)
    try held.check(for: preset)
    let repaired = try RowWriter.repair(held.measurements)
    let found = try existingRows(held)
    let again = try await obsolete(found, held)
    let existing = found.filter { !again.contains($0.cellID) }
    let done = Set(existing.map(\.cellID))
    let todo = cells.filter { !done.contains($0.id) }
    if !todo.isEmpty { try await measure(todo, existing: existing, again, in: held) }
    let all = todo.isEmpty ? existing : try MeasurementRow.read(held.measurements)
    let rows = RowOrigin(beside: held.measurements).filled(all)
    return Outcome(
      kept: existing.count, added: todo.count, replaced: again.count, repaired: repaired, rows: rows)
  }

  /// The ids of cells whose rows are no results any more, among those that are asked for.
  private func obsolete(_ rows: [MeasurementRow], _ held: RunFolder) async throws -> Set<String> {
    let failed = rows.filter { $0.status != .ok }
    guard !failed.isEmpty else { return [] }
    let rule = RetryRule(
      record: try EnvironmentRecord.read(held), memoryLimit: memoryLimit, timeLimit: timeLimit,
      commit: await Tool.commit(anchors: [preset.file]), isForced: retries)
    let again = RowOrigin(beside: held.measurements).filled(failed).filter(rule.measuresAgain)
    return Set(again.map(\.cellID)).intersection(cells.map(\.id))
  }

  /// The rows of an interrupted run, after making sure that they belong to this preset and this machine.
  private func existingRows(_ held: RunFolder) throws(UsageError) -> [MeasurementRow] {
    guard let size = FileManager.default.contents(atPath: held.measurements)?.count, size > 0 else {
      return []
    }
    let all = try preset.cells()
    let rows = Self.renamed(try MeasurementRow.read(held.measurements), cells: all)
    let ids = Set(all.map(\.id))
    if let unknown = rows.first(where: { !ids.contains($0.cellID) }) {
      throw UsageError(
        "\(held.measurements): \(unknown.variant) at n = \(unknown.queryLength ?? 0) (\(unknown["pass"])) is no cell of"
          + " \(preset.file) as it is now: the preset or its --set flags have changed; \(RunFolder.remedy)")
    }
    if let twice = Dictionary(grouping: rows, by: \.cellID).first(where: { $0.value.count > 1 }) {
      throw UsageError(
        "\(held.measurements): cell \(twice.key) has \(twice.value.count) rows; \(RunFolder.remedy)")
    }
    try EnvironmentRecord.checkMachine(of: held)
    return rows
  }

  /// Rows under the ids that their cells have now: an experiment without a name used to take the preset's.
  private static func renamed(_ rows: [MeasurementRow], cells: [Cell]) -> [MeasurementRow] {
    let ids = Dictionary(cells.compactMap { cell in cell.formerID.map { ($0, cell.id) } }) { first, _ in first
    }
    return rows.map { row in
      guard let id = ids[row.cellID] else { return row }
      var row = row
      row.cellID = id
      return row
    }
  }

  private func measure(
    _ todo: [Cell], existing: [MeasurementRow], _ again: Set<String>, in held: RunFolder
  ) async throws {
    let text = try text(of: todo)
    let peaks = calibrate(todo)
    try await EnvironmentRecord.add(
      .init(preset), text: text, peaks: peaks, bfloat16: todo.lazy.compactMap(\.bfloat16).first,
      memoryLimit: memoryLimit, timeLimit: timeLimit, to: held)
    let sources = TextCorpus.projectFolder(anchors: [preset.file])
    var table = try MeasurementTable(path: held.measurements, obsolete: again)
    let commit = await Tool.commit(anchors: [preset.file]) ?? ""
    let process = CellProcess(
      program: program, memoryLimit: memoryLimit, timeLimit: timeLimit, interruption: interruption)
    var slow = TimedOutSeries(existing, cells: cells)
    var checked: Set<String> = []
    for (index, cell) in todo.enumerated() {
      if interruption.isRequested { throw Interrupted() }
      var row: MeasurementRow
      if let reason = slow.reason(toSkip: cell) {
        var skipped = MeasurementRow(cell)
        skipped.startedAt = Timestamp.now()
        skipped.fail(.timeout, reason)
        row = skipped
      } else {
        let peak = peaks.first { $0.isLimit(of: cell) }
        row = try await process.run(
          cell, peakGflops: peak?.gflops, textPath: sources, isChecked: checked.contains(cell.shapeClass))
        slow.note(row, of: cell)
        if row.status == .ok { checked.insert(cell.shapeClass) }
      }
      row.commit = commit
      try table.put(row, of: cell)
      progress(row, existing.count + index + 1, existing.count + todo.count)
    }
  }

  /// The text in use, as far as the longest cell reads it.
  private func text(of cells: [Cell]) throws(UsageError) -> TextCorpus? {
    let needed = cells.compactMap { cell -> (path: String?, bytes: Int)? in
      guard case .text(let path) = cell.input else { return nil }
      return (path, cell.batch * max(cell.queryLength, cell.keyLength))
    }
    guard let first = needed.first else { return nil }
    return try InputMaker.text(first.path, anchors: [preset.file], limit: needed.map(\.bytes).max() ?? 1)
  }

  private func calibrate(_ cells: [Cell]) -> [EnvironmentRecord.Peak] {
    var peaks: [EnvironmentRecord.Peak] = []
    for cell in cells where !peaks.contains(where: { $0.isLimit(of: cell) }) {
      guard let found = MachinePeak.measure(threads: cell.threads, instructionSet: cell.instructionSet) else {
        continue
      }
      peaks.append(
        .init(
          threads: cell.threads, instructionSet: cell.instructionSet, precision: cell.productPrecision,
          gflops: cell.productPrecision == .float32
            ? found.peakFlopsAllThreads / 1e9 : MachinePeak.gflops(cell) ?? 0,
          bandwidth: found.bandwidthAllThreads / 1e9))
    }
    return peaks
  }
}

extension EnvironmentRecord.Peak {
  /// Whether a cell's rate is a fraction of it.
  fileprivate func isLimit(of cell: Cell) -> Bool {
    threads == cell.threads && instructionSet == cell.instructionSet && precision == cell.productPrecision
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
