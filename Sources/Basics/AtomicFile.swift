#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A file that appears whole or not at all: written under a temporary name beside it, flushed to the disk, renamed.
///
/// A symbolic link is followed, so that the file behind it is replaced. What is no file (`/dev/stdout`, a pipe) cannot
/// be replaced and is written to as it stands. A signal that ends the process meanwhile leaves nothing (`Leftovers`).
public enum AtomicFile {
  /// A file that could not be written.
  public typealias Failure = FileFailure

  private static let suffix = ".partial"

  /// Whether a file's name is one that a file has while it is being written, `NAME.PROCESS.partial`, and the process
  /// is gone: it was killed.
  public static func isAbandoned(_ name: String) -> Bool {
    guard name.hasSuffix(suffix) else { return false }
    let parts = name.dropLast(suffix.count).split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count >= 2, let process = parts.last.flatMap({ pid_t($0) }), process > 0 else { return false }
    return kill(process, 0) != 0 && errno == ESRCH
  }

  /// Writes bytes.
  /// - Throws: `Failure` when the folder does not exist, is read-only, or the disk is full; nothing is left behind then.
  public static func write(_ bytes: [UInt8], to path: String) throws(Failure) {
    try write(to: path) { append in bytes.withUnsafeBytes(append) }
  }

  /// Runs `body` with a function that appends bytes and says whether that worked.
  /// - Throws: `Failure` when the folder does not exist, is read-only, or the disk is full; nothing is left behind then.
  public static func write(
    to path: String, _ body: ((_ bytes: UnsafeRawBufferPointer) -> Bool) -> Bool
  ) throws(Failure) {
    let target = destination(path)
    let isFile = target.isFile
    let temporary = isFile ? "\(target.path).\(getpid())\(suffix)" : target.path
    // What is no file is not created either, and stays when the process ends.
    let descriptor =
      isFile ? Leftovers.createFile(temporary) : open(temporary, O_WRONLY | O_TRUNC | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure(path) }
    defer { if isFile { Leftovers.forget(file: temporary) } }
    guard let file = fdopen(descriptor, "wb") else {
      let error = failure(path)
      close(descriptor)
      if isFile { unlink(temporary) }
      throw error
    }
    let written = body { bytes in
      bytes.isEmpty || fwrite(bytes.baseAddress, 1, bytes.count, file) == bytes.count
    }
    let flushed = fflush(file) == 0 && (!isFile || fsync(fileno(file)) == 0)
    let problem = written && flushed ? nil : failure(path)
    let closed = fclose(file) == 0
    if problem == nil && closed && !isFile { return }
    guard problem == nil, closed, rename(temporary, target.path) == 0 else {
      let error = problem ?? failure(path)
      if isFile { unlink(temporary) }
      throw error
    }
    flushFolder(of: target.path)
  }

  /// Where a path leads, and whether a regular file is there or may be made there.
  private static func destination(_ path: String) -> (path: String, isFile: Bool) {
    var status = stat()
    guard stat(path, &status) == 0 else { return (path, true) }
    let kind = status.st_mode & S_IFMT
    // A folder is left to `rename`, which refuses it.
    guard kind == S_IFREG || kind == S_IFDIR else { return (path, false) }
    guard let resolved = realpath(path, nil) else { return (path, true) }
    defer { free(resolved) }
    return (String(cString: resolved), true)
  }

  /// The new name itself is only safe once the folder is on the disk; where that is refused the file is still whole.
  private static func flushFolder(of path: String) {
    let folder =
      path.contains("/") ? String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) + "/." : "."
    let descriptor = open(folder, O_RDONLY)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    close(descriptor)
  }

  private static func failure(_ path: String) -> Failure {
    Failure(path: path, problem: "cannot be written: \(String(cString: strerror(errno)))")
  }
}
