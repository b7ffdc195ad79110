#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

import Synchronization

/// What this process must not leave behind when a signal ends it: half-written files, temporary folders, children.
///
/// Whoever makes such a thing enters it here in the same step, under one lock. `end` takes that lock for good: nothing
/// new can be made after the last look round.
public enum Leftovers {
  private struct State {
    var files: Set<String> = []
    var folders: Set<String> = []
    var processes: Set<pid_t> = []
  }

  private static let state = Mutex(State())

  /// Creates or empties a file that is removed if the process is ended before `forget(file:)`.
  /// - Returns: an open descriptor, or −1 with `errno` set.
  static func createFile(_ path: String) -> Int32 {
    let (descriptor, code) = state.withLock { state in
      let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
      let code = errno
      if descriptor >= 0 { state.files.insert(path) }
      return (descriptor, code)
    }
    errno = code
    return descriptor
  }

  /// The file is whole, or gone.
  static func forget(file path: String) { _ = state.withLock { $0.files.remove(path) } }

  /// Makes an empty folder that only this user can enter.
  /// - Parameter pattern: its path, ending in `XXXXXX`.
  /// - Returns: the folder's path; `nil` with `errno` set when it cannot be made.
  static func createFolder(_ pattern: String) -> String? {
    let (path, code) = state.withLock { state -> (String?, Int32) in
      var bytes = Array(pattern.utf8CString)
      guard mkdtemp(&bytes) != nil else { return (nil, errno) }
      let path = String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      state.folders.insert(path)
      return (path, 0)
    }
    if path == nil { errno = code }
    return path
  }

  /// Removes a folder with the files in it.
  static func removeFolder(_ path: String) {
    state.withLock { state in
      remove(folder: path)
      state.folders.remove(path)
    }
  }

  /// Names a child that must not outlive this process.
  public static func add(process: pid_t) { _ = state.withLock { $0.processes.insert(process) } }

  /// The child has ended.
  public static func forget(process: pid_t) { _ = state.withLock { $0.processes.remove(process) } }

  /// Removes all of it, then runs `last`, which ends the process.
  public static func clear(then last: () -> Never) -> Never {
    state.withLock { state in
      for process in state.processes { endChild(process) }
      for file in state.files { unlink(file) }
      for folder in state.folders { remove(folder: folder) }
      last()
    }
  }

  /// Ends a child that leads a process group of its own, with all that it started.
  public static func endChild(_ process: pid_t) {
    guard process > 0 else { return }
    if kill(-process, SIGKILL) != 0 { _ = kill(process, SIGKILL) }
  }

  /// A flat folder: what it holds are files.
  private static func remove(folder: String) {
    if let entries = opendir(folder) {
      while let entry = readdir(entries) {
        let name = withUnsafeBytes(of: entry.pointee.d_name) {
          String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != "." && name != ".." { unlink(folder + "/" + name) }
      }
      closedir(entries)
    }
    rmdir(folder)
  }
}

/// A folder of one's own for as long as the object lives: nobody else can enter it, and a signal that ends the process
/// removes it.
public final class TemporaryFolder: Sendable {
  /// Its path.
  public let path: String

  /// Makes it where the system wants temporary files.
  /// - Parameter variables: environment variables that name the place; the first that is set counts, else `/tmp`.
  /// - Throws: `AtomicFile.Failure` when it cannot be made.
  public init(in variables: [String] = ["TMPDIR"]) throws(AtomicFile.Failure) {
    let named = variables.compactMap { getenv($0).map { String(cString: $0) } }.first { !$0.isEmpty }
    let parent = named ?? "/tmp"
    guard let path = Leftovers.createFolder(parent + "/attnlab-XXXXXX") else {
      throw AtomicFile.Failure(
        path: parent, problem: "no temporary folder can be made there: \(String(cString: strerror(errno)))")
    }
    self.path = path
  }

  deinit { Leftovers.removeFolder(path) }
}
