#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

import Synchronization

/// Reads what a user names: a file, a pipe or a terminal, whole and up to a limit.
///
/// A device such as `/dev/zero` has no end and is refused. A pipe is read until it ends or passes the limit, so that
/// `<(program)` can stand where a file can. What a pipe gave is kept: a command that looks at a table to see what it is,
/// and then reads it, finds it again.
public enum InputFile {
  /// A file that could not be read.
  public typealias Failure = FileFailure

  /// What is read of one file at most, where nothing smaller is asked: half of the machine's memory.
  public static let largest = sysconf(Int32(_SC_PHYS_PAGES)) / 2 * sysconf(Int32(_SC_PAGESIZE))

  /// The longest text that a person writes: presets, models, the `config.json` of a checkpoint.
  public static let largestText = 1 << 20

  /// The bytes of a file.
  /// - Throws: `Failure` when there is nothing, it cannot be read, it is a folder or a device, or it is longer than
  ///   `limit`.
  /// - Complexity: O(bytes read).
  public static func bytes(_ path: String, atMost limit: Int = largest) throws(Failure) -> [UInt8] {
    let pipe = Pipe(path)
    if let pipe, let kept = pipes.withLock({ $0[pipe] }) {
      guard kept.count <= limit else { throw tooLong(path, limit) }
      return kept
    }
    let (found, isCut) = try start(of: path, limit: limit)
    guard !isCut else { throw tooLong(path, limit) }
    if let pipe { pipes.withLock { $0[pipe] = found } }
    return found
  }

  /// A pipe or a terminal, which gives its bytes once.
  private struct Pipe: Hashable {
    let device: UInt64
    let number: UInt64

    /// `nil`: there is nothing, or a file, which can be read again.
    init?(_ path: String) {
      var status = stat()
      guard stat(path, &status) == 0 else { return nil }
      switch status.st_mode & S_IFMT {
      case S_IFIFO, S_IFSOCK, S_IFCHR: break
      default: return nil
      }
      (device, number) = (
        UInt64(truncatingIfNeeded: status.st_dev), UInt64(truncatingIfNeeded: status.st_ino)
      )
    }
  }

  /// Whether a path leads to a pipe or a terminal, beside which there are no other files.
  public static func isPipe(_ path: String) -> Bool { Pipe(path) != nil }

  private static let pipes = Mutex<[Pipe: [UInt8]]>([:])

  /// The first bytes of a file.
  /// - Parameters:
  ///   - path: the file.
  ///   - limit: the most bytes that are read.
  ///   - isEnough: called with what has been read so far, the first 64 KiB at first; `nil`: all are wanted.
  /// - Returns: at most `limit` bytes, and whether there may be more.
  /// - Throws: `Failure` when there is nothing, it cannot be read, or it is a folder or a device.
  public static func start(
    of path: String, limit: Int, isEnough: (([UInt8]) -> Bool)? = nil
  ) throws(Failure) -> (bytes: [UInt8], isCut: Bool) {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw systemError(path) }
    defer { close(file) }
    var status = stat()
    guard fstat(file, &status) == 0 else { throw systemError(path) }
    let kind = status.st_mode & S_IFMT
    guard kind != S_IFDIR else {
      throw Failure(path: path, problem: "cannot be read: it is a folder, not a file")
    }
    guard kind != S_IFBLK, kind != S_IFCHR || isatty(file) == 1 else {
      throw Failure(path: path, problem: "cannot be read: it is a device, not a file")
    }
    // One byte more than is allowed tells a file that is too long from one that just fits. Files below /proc say 0.
    let expected = kind == S_IFREG ? min(Int(status.st_size), limit) + 1 : 1 << 16
    var bytes: [UInt8] = []
    var piece = isEnough == nil ? max(expected, 1 << 12) : 1 << 16
    while bytes.count <= limit {
      let wanted = min(piece, limit + 1 - bytes.count)
      guard let more = read(file, upTo: wanted) else { throw systemError(path) }
      if more.isEmpty { return (bytes, false) }
      if bytes.isEmpty { bytes = more } else { bytes += more }
      if bytes.count <= limit, isEnough?(bytes) == true { return (bytes, true) }
      piece = min(max(bytes.count, 1 << 16), 1 << 26)
    }
    return (Array(bytes.prefix(limit)), true)
  }

  /// Makes sure that a path leads to a regular file, for what maps files into memory.
  /// - Throws: `Failure` when there is nothing, or a folder, a device or a pipe.
  public static func requireRegular(_ path: String) throws(Failure) {
    var status = stat()
    guard stat(path, &status) == 0 else { throw systemError(path) }
    switch status.st_mode & S_IFMT {
    case S_IFREG: return
    case S_IFDIR: throw Failure(path: path, problem: "cannot be read: it is a folder, not a file")
    default: throw Failure(path: path, problem: "cannot be read: it is a device or a pipe, not a file")
    }
  }

  /// The text of a file.
  /// - Throws: `Failure` as above, and when it is no UTF-8.
  public static func text(_ path: String, atMost limit: Int = largestText) throws(Failure) -> String {
    guard let text = String(validating: try bytes(path, atMost: limit), as: UTF8.self) else {
      throw Failure(path: path, problem: "not UTF-8 text")
    }
    return text
  }

  /// As many bytes as come at once; none at the end; `nil`: the system refuses.
  private static func read(_ file: Int32, upTo count: Int) -> [UInt8]? {
    var isRefused = false
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
      var found = 0
      repeat { found = systemRead(file, buffer.baseAddress, count) } while found < 0 && errno == EINTR
      isRefused = found < 0
      used = max(0, found)
    }
    return isRefused ? nil : bytes
  }

  private static func tooLong(_ path: String, _ limit: Int) -> Failure {
    Failure(
      path: path, problem: "cannot be read: longer than \(limit) bytes, which is the most that is read here")
  }

  private static func systemError(_ path: String) -> Failure {
    Failure(path: path, problem: "cannot be read: \(String(cString: strerror(errno)))")
  }
}

/// `read` of the system, whose name is that of a function above.
private func systemRead(_ file: Int32, _ buffer: UnsafeMutablePointer<UInt8>?, _ count: Int) -> Int {
  read(file, buffer, count)
}
