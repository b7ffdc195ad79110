import Basics
import Presets
import Records

extension SweepStatus {
  /// Looks at the folders that a path stands for.
  /// - Throws: `UsageError` when there are none, they are of different presets, or hold tables that are none.
  public init(of path: String, kinds: ExperimentCatalog) throws(UsageError) {
    let folders = try SweepFolder.all(in: path, kinds: kinds)
    _ = try MergedRecord(folders)
    guard folders.contains(where: \.hasEntries) else {
      throw UsageError(
        "\(path): there is no \(CellEntry.table) that says which cells were asked for; the same attnlab run writes one"
      )
    }
    let isPart = folders.count == 1 && folders[0].path == path
    try self.init(folders, kinds: kinds, isPart: isPart)
  }

  /// One line, and one for what is missing: as sbatch takes it.
  public var summary: String {
    guard !cells.isEmpty else { return "how many cells were asked for is not known" }
    let states: [State] = [.done, .failed, .running, .missing]
    let counts = states.filter { $0 == .done || count($0) > 0 }.map { "\(count($0)) \($0.rawValue)" }
    let line = "\(counted(cells.count, "cell")): \(counts.joined(separator: ", "))"
    guard count(.missing) > 0 else { return line }
    return line
      + "\nmissing: --array=\(TaskList.text(missingTasks)) (of \(shards) tasks, --shard i/\(shards))"
  }

  /// What became of the cells of one part.
  public var ofTask: String {
    guard let task = tasks.first else { return "no cells" }
    let cells = counted(task.cells, "cell")
    return "\(cells), \(task.done) done" + (task.failed > 0 ? ", \(task.failed) failed" : "")
  }

  /// Refuses cells that are missing.
  /// - Throws: `CheckFailure` with the list.
  public func checkMissing() throws(CheckFailure) {
    let count = count(.missing) + count(.running)
    guard count > 0 else { return }
    throw CheckFailure(
      "\(counted(count, "cell")) \(count == 1 ? "is" : "are") missing"
        + (missingTasks.isEmpty ? "" : ": --array=\(TaskList.text(missingTasks)) of \(shards) tasks"))
  }

  /// Refuses cells that failed.
  /// - Throws: `CheckFailure` with the first of them.
  public func checkFailures() throws(CheckFailure) {
    let failed = cells.filter { $0.state == .failed }
    guard let first = failed.first else { return }
    throw CheckFailure(
      "\(counted(failed.count, "cell")) failed: \(first.number) \(first.name): \(first.reason)"
        + (failed.count > 1 ? ", …" : ""))
  }

  /// The summary, what failed, and the tasks.
  public var text: String {
    var blocks = [summary]
    let failed = cells.filter { $0.state == .failed }
    if !failed.isEmpty {
      blocks.append(
        "failed:\n" + failed.map { "  \($0.number) \($0.name): \($0.reason)" }.joined(separator: "\n"))
    }
    if tasks.count > 1 || tasks.contains(where: \.isRunning) {
      var table = TextTable(["task", "state", "cells", "done", "failed", "hosts", "folder"])
      for task in tasks {
        table.add([
          task.shard, task.state, "\(task.cells)", "\(task.done)", "\(task.failed)",
          task.hosts.joined(separator: " "), task.folder,
        ])
      }
      blocks.append(table.text)
    }
    return blocks.joined(separator: "\n\n")
  }

  /// Counts and lists, as `merge` and `status` print them.
  var counts: [JSONValue.Member] {
    [
      .init(key: "cells", value: .int(cells.count)), .init(key: "done", value: .int(count(.done))),
      .init(key: "failed", value: .int(count(.failed))), .init(key: "running", value: .int(count(.running))),
      .init(key: "missing", value: .int(count(.missing))),
      .init(
        key: "missing_cells", value: .array(cells.filter { $0.state == .missing }.map { .int($0.number) })),
      .init(key: "array", value: .string(TaskList.text(missingTasks))),
      .init(key: "shards", value: .int(shards)),
      .init(
        key: "failures",
        value: .array(
          cells.filter { $0.state == .failed }.map {
            .object([
              "number": .int($0.number), "cell": .string($0.name), "reason": .string($0.reason),
            ])
          })),
    ]
  }

  /// For programs.
  /// - Parameter folder: what was looked at.
  public func json(_ folder: String) -> JSONValue {
    .object(
      [.init(key: "folder", value: .string(folder))] + counts + [
        .init(
          key: "tasks",
          value: .array(
            tasks.map {
              .object([
                "folder": .string($0.folder), "shard": .string($0.shard), "state": .string($0.state),
                "cells": .int($0.cells), "done": .int($0.done), "failed": .int($0.failed),
                "hosts": .array($0.hosts.map { .string($0) }),
              ])
            }))
      ])
  }
}
