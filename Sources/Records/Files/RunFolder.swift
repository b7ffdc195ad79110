import Basics
import Foundation
import Tensors

/// The folder of a run, held by one process at a time.
public final class RunFolder: Sendable {
  /// The path.
  public let path: String
  private let lock: Int32

  /// What helps when the results in a folder are another run's.
  package static let remedy = "--fresh starts over (the old folder is kept), --out writes elsewhere"
  /// `environment.json` in the folder.
  public var environment: String { path + "/" + Self.environmentName }
  /// The name of the record beside results: which machine, which commit, what they are of.
  package static let environmentName = "environment.json"

  /// The record of a folder.
  /// - Parameter path: the folder.
  /// - Returns: `nil` when there is none.
  /// - Throws: `UsageError` for one that cannot be read, or that is no JSON.
  package static func record(in path: String) throws(UsageError) -> JSONValue? {
    let file = path + "/" + environmentName
    guard FileManager.default.fileExists(atPath: file) else { return nil }
    guard let text = try? String(contentsOfFile: file, encoding: .utf8) else {
      throw UsageError("\(file): it cannot be read as text; move it away to go on without it")
    }
    return try JSONValue(parsing: text, file: file)
  }

  /// Creates the folder when needed and takes hold of it.
  /// - Parameters:
  ///   - path: the folder.
  ///   - flag: how the user chooses another one.
  /// - Throws: `UsageError` when it cannot be created or another run holds it.
  public init(_ path: String, flag: String = "--out") throws(UsageError) {
    self.path = path
    do throws(FileFailure) { try Folder.create(path) } catch { throw UsageError(error.description) }
    // The lock lives with the open file: the system drops it when this process ends, however it ends; and a cell's
    // process does not inherit it.
    let file = path + "/.lock"
    lock = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard lock >= 0 else { throw UsageError("\(file): \(String(cString: strerror(errno)))") }
    guard Self.take(lock) else {
      close(lock)
      throw UsageError("\(path): another run is writing here; wait for it, or choose a folder with \(flag)")
    }
    removeHalfWrittenFiles()
  }

  /// Takes a lock that nobody holds for long: somebody may be looking (`isHeld`), or a killed run be about to end.
  private static func take(_ lock: Int32) -> Bool {
    for _ in 0..<10 {
      if flock(lock, LOCK_EX | LOCK_NB) == 0 { return true }
      usleep(50_000)
    }
    return false
  }

  /// Whether a run is writing into a folder, as far as its file system tells: most network file systems tell it of other
  /// machines, too.
  public static func isHeld(_ path: String) -> Bool {
    let lock = open(path + "/.lock", O_RDONLY | O_CLOEXEC)
    guard lock >= 0 else { return false }
    defer { close(lock) }
    return flock(lock, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK
  }

  /// What `AtomicFile` was writing when an earlier run was killed is of no use.
  private func removeHalfWrittenFiles() {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    for name in names where AtomicFile.isAbandoned(name) {
      try? FileManager.default.removeItem(atPath: path + "/" + name)
    }
  }

  deinit {
    if lock >= 0 { close(lock) }
  }

  /// Keeps the results of an earlier run under another name: `<path>.1`, `<path>.2`, ….
  /// - Parameters:
  ///   - path: the folder.
  ///   - tables: the names of the tables that are results.
  ///   - flag: how the user chooses another folder.
  /// - Returns: the new name, or `nil` when there was nothing to keep.
  /// - Throws: `UsageError` when the folder is in use or cannot be renamed.
  public static func setAside(
    _ path: String, tables: [String], flag: String = "--out"
  ) throws(UsageError) -> String? {
    guard tables.contains(where: { FileManager.default.fileExists(atPath: path + "/" + $0) }) else {
      return nil
    }
    // Taking hold of it first: a folder that a run is writing to is not moved.
    let held = try RunFolder(path, flag: flag)
    defer { withExtendedLifetime(held) {} }
    var number = 1
    while FileManager.default.fileExists(atPath: "\(path).\(number)") { number += 1 }
    do throws(FileFailure) {
      try Folder.rename(path, to: "\(path).\(number)")
    } catch {
      throw UsageError(error.description)
    }
    return "\(path).\(number)"
  }

  /// Replaces a file in one step, so that nobody ever reads half of it.
  /// - Throws: `UsageError` when it cannot be written.
  public static func replace(_ file: String, with text: String) throws(UsageError) {
    do { try AtomicFile.write(Array(text.utf8), to: file) } catch { throw UsageError(error.description) }
  }
}
