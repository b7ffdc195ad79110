import Basics
import Foundation
import Records

/// Runs the cells of one kind that a preset asks for: rows are written as soon as they are known, and where it was
/// stopped it goes on.
public struct Runner<Kind: ExperimentKind>: Sendable {
  /// What it was given.
  public let setting: RunSetting
  /// The cells, in order: all of the preset, or a part of them.
  public let cells: [Kind.Cell]
  /// Where results go.
  public let folder: RunFolder

  /// Creates a runner.
  public init(_ kind: Kind.Type, _ cells: [Kind.Cell], in folder: RunFolder, _ setting: RunSetting) {
    (self.setting, self.cells, self.folder) = (setting, cells, folder)
  }

  /// What a run found and did.
  public struct Outcome: Sendable {
    /// Cells that were finished already.
    public let kept: Int
    /// Cells that were run.
    public let added: Int
    /// Those of them whose earlier rows were no results.
    public let replaced: Int
    /// Bytes of torn last lines that were removed.
    public let repaired: Int
    /// All rows, as in the file.
    public let rows: [Kind.Row]
  }

  private var table: String { folder.path + "/" + Kind.table }

  /// Runs what is not finished yet.
  /// - Parameter executor: where cells are run; `nil`: where the kind runs them.
  /// - Throws: `UsageError` when the folder holds another run, or cannot be written; `Interrupted`.
  public func run(
    on executor: (@Sendable (RunSession<Kind>) -> any Executor<Kind>)? = nil
  ) async throws -> Outcome {
    try folder.check(for: setting.preset)
    let repaired = try Kind.tables.map { try RowWriter.repair(folder.path + "/" + $0.name) }.reduce(0, +)
    let found = try rowsBefore()
    let again = try await obsolete(found)
    let standing = found.filter { !again.contains($0.cellID) }
    let done = Set(standing.filter(\.isLast).map(\.cellID))
    let todo = cells.filter { !done.contains($0.id) }
    if !todo.isEmpty {
      try adoptFormerRows()
      try await run(todo, kept: done.count, standing, again, executor)
    }
    // As they stand there: the tables beside it may have ids of an earlier version, too.
    let all = found.isEmpty && todo.isEmpty ? [] : try Kind.Row.read(table, dialect: CSVDialect())
    return Outcome(
      kept: done.count, added: todo.count, replaced: again.count, repaired: repaired,
      rows: RowOrigin(beside: table).filled(all))
  }

  /// The rows of an interrupted run, after making sure that they belong to this preset and this machine.
  private func rowsBefore() throws(UsageError) -> [Kind.Row] {
    guard FileManager.default.contents(atPath: table)?.isEmpty == false else { return [] }
    let all = try setting.preset.cells(of: Kind.self)
    let rows = renamed(try Kind.Row.read(table, dialect: CSVDialect()), cells: all)
    let ids = Set(all.map(\.id))
    if let unknown = rows.first(where: { !ids.contains($0.cellID) }) {
      throw UsageError(
        "\(table): \(Kind.description(of: unknown)) is no \(Kind.words.cell) of \(setting.preset.file) as it is now: "
          + "the preset or its --set flags have changed; \(RunFolder.remedy)")
    }
    let finished = Dictionary(grouping: rows.filter(\.isLast), by: \.cellID)
    if let twice = finished.first(where: { $0.value.count > 1 }) {
      throw UsageError(
        "\(table): \(Kind.words.cell) \(twice.key) has \(twice.value.count) rows; \(RunFolder.remedy)")
    }
    try checkMachine()
    return rows
  }

  /// A run of its own stays on machines of one kind. A part of a sweep goes on where its scheduler puts it: its rows say
  /// where each was made, and are never mixed.
  private func checkMachine() throws(UsageError) {
    guard setting.shard != nil else { return try EnvironmentRecord.checkMachine(of: folder) }
    guard let record = try EnvironmentRecord.read(folder),
      let first = Machine.current.differences(from: record)?.first
    else { return }
    setting.note(
      "\(folder.path): begun on \(first.there), goes on on \(first.here): each row says its machine; with another "
        + "instruction set the bits of a training that goes on may differ")
  }

  /// Rows under the ids that their cells have now.
  private func renamed(_ rows: [Kind.Row], cells: [Kind.Cell]) -> [Kind.Row] {
    let former = cells.flatMap { cell in cell.formerIDs.map { ($0, cell.id) } }
    let ids = Dictionary(former) { first, _ in first }.merging(setting.formerIDs) { first, _ in first }
    return rows.map { row in
      guard let id = ids[row.cellID] else { return row }
      var row = row
      row.cellID = id
      return row
    }
  }

  /// The ids of cells whose rows are no results any more, or were cut off before the last, among those asked for.
  private func obsolete(_ rows: [Kind.Row]) async throws -> Set<String> {
    let finished = Set(rows.filter(\.isLast).map(\.cellID))
    var again = Set(rows.map(\.cellID)).subtracting(finished)
    let failed = rows.filter { $0.ending != .done }
    if !failed.isEmpty {
      let rule = RetryRule(
        record: try EnvironmentRecord.read(folder), memoryLimit: setting.memoryLimit,
        timeLimit: setting.timeLimit, commit: await Tool.commit(anchors: [setting.preset.file]),
        isForced: setting.retries)
      again.formUnion(RowOrigin(beside: table).filled(failed).filter(rule.runsAgain).map(\.cellID))
    }
    return again.intersection(cells.map(\.id))
  }

  private func run(
    _ todo: [Kind.Cell], kept: Int, _ standing: [Kind.Row], _ again: Set<String>,
    _ executor: (@Sendable (RunSession<Kind>) -> any Executor<Kind>)?
  ) async throws {
    let means = try Kind.means(for: todo, in: setting)
    let peaks = MachinePeak.measure(means.peaks)
    try await EnvironmentRecord.add(
      .init(setting.preset), text: means.text, peaks: peaks, bfloat16: means.bfloat16,
      memoryLimit: setting.memoryLimit, timeLimit: setting.timeLimit, to: folder)
    let name = Kind.names(of: cells)
    let session = RunSession<Kind>(
      setting: setting, peaks: peaks, cells: cells, rows: standing,
      titles: titles(of: todo, after: kept, name),
      bar: bar(todo, after: kept, name))
    let commit = await Tool.commit(anchors: [setting.preset.file]) ?? ""
    var table = try RunTable<Kind.Row>(path: table, obsolete: again)
    let place = executor?(session) ?? Kind.executor(of: session)
    let others = setting.formerIDs.reduce(into: [String: [String]]()) {
      $0[$1.value, default: []].append($1.key)
    }
    session.bar.draw()
    for try await finished in place.rows(of: todo, in: folder) {
      let rows = finished.rows.map { row in
        var row = row
        // What came from elsewhere says so itself.
        if row.commit.isEmpty { row.commit = commit }
        if row.program.isEmpty { row.program = ProgramFile.hash }
        return row
      }
      try table.put(rows, of: finished.cell, formerly: others[finished.cell.id] ?? [])
      if let last = rows.last {
        setting.ended("\(session.title(of: finished.cell)): \(Kind.summary(of: last))", last.ending == .done)
      }
      session.bar.end(finished.cell.id)
      session.bar.draw()
    }
  }

  private func bar(_ todo: [Kind.Cell], after kept: Int, _ name: (Kind.Cell) -> String) -> RunBar {
    let items = todo.map { RunBar.Item(id: $0.id, name: name($0), pace: $0.pace, effort: $0.effort) }
    return RunBar(items, kept: kept, show: setting.progress)
  }

  private func titles(
    of todo: [Kind.Cell], after kept: Int, _ name: (Kind.Cell) -> String
  ) -> [String: String] {
    let count = kept + todo.count, width = "\(count)".count
    return Dictionary(
      todo.enumerated().map { index, cell in
        let number = "\(kept + index + 1)"
        let blanks = String(repeating: " ", count: width - number.count)
        return (cell.id, "[\(blanks)\(number)/\(count)] \(name(cell))")
      }
    ) { first, _ in first }
  }
}
