import Basics
import Foundation
import Presets
import Processes
import Records

/// Where a run works: its folder, or a copy of it on the node's own disk that comes back when the run ends, by itself, by an
/// error or by a signal.
///
/// What comes back can be gone on from whatever the moment: points of a curve come before the checkpoint that has made them,
/// rows after it, and what a row makes needless is removed last. A node that vanishes takes with it what it has made since
/// the run began there.
public struct RunPlace {
  /// Where to work.
  public let folder: RunFolder
  /// The folder that the results are for; the same when there is no copy.
  private let destination: RunFolder
  private let copy: TemporaryFolder?

  /// Takes hold of a folder.
  /// - Parameters:
  ///   - path: the folder that the results are for.
  ///   - onScratch: work on the disk that `SLURM_TMPDIR` or `TMPDIR` names.
  /// - Throws: `UsageError` when another run holds it, or it cannot be made or copied.
  public init(_ path: String, onScratch: Bool) throws(UsageError) {
    destination = try RunFolder(path)
    guard onScratch else {
      (folder, copy) = (destination, nil)
      return
    }
    do throws(FileFailure) {
      let copy = try TemporaryFolder(in: ["SLURM_TMPDIR", "TMPDIR"])
      for name in Self.files(of: path) { try Self.copy("\(path)/\(name)", to: "\(copy.path)/\(name)") }
      self.copy = copy
    } catch {
      throw UsageError(error.description)
    }
    folder = try copy.map { copy throws(UsageError) in try RunFolder(copy.path) } ?? destination
  }

  /// Runs something in the place, and brings back what it made, whatever ends it.
  /// - Parameters:
  ///   - requeues: a warning of the scheduler puts the job back into its queue, if anything was got done since it began.
  ///   - interruption: what tells of the warning.
  ///   - note: says what became of the job.
  ///   - body: what is run, in the folder to work in.
  /// - Throws: what the body throws; `UsageError` when the results cannot be brought back.
  public func use<Value>(
    requeues: Bool, _ interruption: Interruption, note: (String) -> Void,
    _ body: (RunFolder) async throws -> Value
  ) async throws -> Value {
    let before = marks
    do {
      let value = try await body(folder)
      try bringBack()
      return value
    } catch {
      let isAdvanced = marks != before
      try bringBack()
      if error is Interrupted, requeues, interruption.isWarning { await requeue(isAdvanced, note) }
      throw error
    }
  }

  private func requeue(_ isAdvanced: Bool, _ note: (String) -> Void) async {
    guard let job = SlurmJob.current(ProcessInfo.processInfo.environment) else {
      return note("warning: --requeue: this is no job of Slurm; the same command continues")
    }
    guard isAdvanced else {
      return note(
        "warning: job \(job.name) is not put back into the queue: no cell came to its end in the time that it has; "
          + "a longer --time is needed")
    }
    do throws(UsageError) {
      try await job.requeue()
      note("job \(job.name) is back in the queue")
    } catch {
      note("warning: \(error)")
    }
  }

  /// What the next session would find, file by file.
  private var marks: [String: String] {
    let names = Self.files(of: folder.path).filter {
      $0 != CellEntry.table && $0 != RunFolder.environmentName
    }
    return Dictionary(
      uniqueKeysWithValues: names.map { ($0, Fingerprint.of(file: folder.path + "/" + $0) ?? "") })
  }

  private func bringBack() throws(UsageError) {
    guard let copy else { return }
    let here = Self.files(of: copy.path)
    func order(_ name: String) -> Int {
      if name.hasPrefix("curves") { return 0 }
      return name.hasSuffix(".csv") || name.hasSuffix(".json") ? 2 : 1
    }
    do throws(FileFailure) {
      for name in here.sorted(by: { (order($0), $0) < (order($1), $1) }) {
        try Self.copy("\(copy.path)/\(name)", to: "\(destination.path)/\(name)")
      }
    } catch {
      throw UsageError(error.description)
    }
    for name in Self.files(of: destination.path) where !here.contains(name) {
      try? FileManager.default.removeItem(atPath: "\(destination.path)/\(name)")
    }
  }

  /// The files that a run goes on from; reports and pictures are made anew.
  private static func files(of folder: String) -> [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    let kinds = [".csv", ".safetensors", ".seconds"]
    return names.filter { name in name == RunFolder.environmentName || kinds.contains { name.hasSuffix($0) } }
  }

  private static func copy(_ file: String, to target: String) throws(FileFailure) {
    guard let handle = FileHandle(forReadingAtPath: file) else {
      throw FileFailure(path: file, problem: "cannot be read: \(String(cString: strerror(errno)))")
    }
    defer { try? handle.close() }
    var isRead = true
    try AtomicFile.write(to: target) { append in
      while true {
        guard let piece = try? handle.read(upToCount: 1 << 22) else {
          let isEnd = (try? handle.offset()).flatMap { end in (try? handle.seekToEnd()).map { $0 == end } }
          isRead = isEnd ?? false
          return isRead
        }
        if piece.isEmpty { return true }
        guard piece.withUnsafeBytes(append) else { return false }
      }
    }
  }
}
