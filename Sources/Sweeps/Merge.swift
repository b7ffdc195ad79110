import Basics
import Foundation
import Presets
import Records

/// Puts the results of parts together: every cell once, with the host, machine, commit and program that its row names.
///
/// A merge only adds: what the folder holds already is an input like the others, so merging again changes nothing, and parts
/// that come later are added. The folders of the parts are read and stay as they are.
public struct Merge {
  /// The folder of the results.
  public let folder: String
  /// The folders that were read, without that of the results.
  public let inputs: [String]
  /// What became of all cells that are known.
  public let status: SweepStatus
  /// The kinds of machine in the results.
  public let machines: [String]
  /// What was left out, a line each.
  public private(set) var notes: [String]
  /// The files that were written; none when all of them were there.
  public let written: [String]

  /// Merges.
  /// - Parameters:
  ///   - paths: folders of results, or such that hold parts in `shards/`.
  ///   - out: where the results go.
  ///   - kinds: the kinds of experiment whose tables are merged.
  /// - Throws: `UsageError` when there is nothing, rows contradict each other, folders are of different presets, or the
  ///   results cannot be written.
  public init(_ paths: [String], into out: String, kinds: ExperimentCatalog) throws(UsageError) {
    let inputs = try Merge.inputs(paths, out: out, kinds)
    let held = try RunFolder(out)
    defer { withExtendedLifetime(held) {} }
    // What is there stands first: what has no number keeps its place.
    let all = [try SweepFolder(out)] + inputs
    let record = try MergedRecord(all)
    var files: [(name: String, text: String)] = [], notes: [String] = [], machines: Set<String> = []
    func add<Kind: ExperimentKind>(_ kind: Kind.Type) throws(UsageError) {
      let table = try MergedTable<Kind>(all)
      notes += table.notes
      machines.formUnion(table.cells.flatMap { $0.rows.map(\.machine) })
      guard !table.cells.isEmpty else { return }
      // The curve of a training is there before its row is.
      files += try table.companions()
      files.append((kind.table, table.text))
    }
    for kind in kinds.types { try add(kind) }
    if !record.entries.isEmpty { files.append((CellEntry.table, CellEntry.text(record.entries))) }
    if let environment = record.environment {
      files.append((RunFolder.environmentName, environment.pretty + "\n"))
    }
    // Everything was read and agrees; only now is anything written.
    var written: [String] = []
    for (name, text) in files {
      let path = out + "/" + name
      if FileManager.default.contents(atPath: path) == Data(text.utf8) { continue }
      try RunFolder.replace(path, with: text)
      written.append(path)
    }
    (folder, self.inputs, self.notes, self.written) = (out, inputs.map(\.path), notes, written)
    self.machines = machines.filter { !$0.isEmpty }.sorted()
    var merged = try SweepFolder(out)
    merged.isOwn = true
    status = try SweepStatus([merged] + inputs, kinds: kinds)
  }

  /// The folders to read.
  private static func inputs(
    _ paths: [String], out: String, _ kinds: ExperimentCatalog
  ) throws(UsageError) -> [SweepFolder] {
    func resolved(_ path: String) -> String { URL(fileURLWithPath: path).resolvingSymlinksInPath().path }
    var inputs: [SweepFolder] = []
    for path in paths {
      for folder in try SweepFolder.all(in: path, kinds: kinds)
      where resolved(folder.path) != resolved(out) && !inputs.contains(where: { $0.path == folder.path }) {
        inputs.append(folder)
      }
    }
    // One part is the whole, and stands where merged results do.
    let isWhole = try SweepFolder(out).isWhole
    guard !inputs.isEmpty || isWhole else {
      throw UsageError(
        "\(paths.joined(separator: ", ")): there is no \(Shard.folder)/ with parts in it; attnlab run --shard i/n "
          + "writes them, and --out names another folder for the results of several")
    }
    return inputs
  }

  /// The files that merging paths reads, and those that it writes.
  public static func files(
    _ paths: [String], into out: String, kinds: ExperimentCatalog
  ) -> (read: [String], written: [String]) {
    let tables = kinds.types.flatMap { $0.tables.map(\.name) } + [CellEntry.table, RunFolder.environmentName]
    let folders = paths.flatMap { path in
      (path == out && paths.count == 1 ? [] : [path]) + SweepFolder.parts(of: path)
    }
    return (folders.flatMap { folder in tables.map { "\(folder)/\($0)" } }, tables.map { "\(out)/\($0)" })
  }

  /// What was done, for people.
  public var text: String {
    let count = counted(inputs.count, "folder")
    let first =
      switch (inputs.isEmpty, written.isEmpty) {
      case (true, true): "\(folder) is the only part, and is as merged results are"
      case (true, false): "\(folder) is the only part: its tables are put in order"
      case (false, true): "\(folder) holds everything of \(count) already"
      case (false, false): "merged \(count) into \(folder)"
      }
    var lines = [first]
    if machines.count > 1 {
      lines.append("rows of \(machines.count) machines, whose times are never compared with each other:")
      lines += machines.map { "  " + $0 }
    }
    return (lines + [status.summary]).joined(separator: "\n")
  }

  /// The same for programs.
  public var json: JSONValue {
    .object(
      [
        .init(key: "folder", value: .string(folder)),
        .init(key: "inputs", value: .array(inputs.map { .string($0) })),
        .init(key: "written", value: .array(written.map { .string($0) })),
        .init(key: "machines", value: .array(machines.map { .string($0) })),
      ] + status.counts)
  }
}
