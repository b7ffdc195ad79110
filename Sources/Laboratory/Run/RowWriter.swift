import Foundation

/// Appends rows to a CSV file: one `write` and one `fsync` a row, so that a crash loses at most the row being written.
public struct RowWriter: ~Copyable {
  private let path: String
  private let descriptor: Int32

  /// Opens a file to append to; a new or empty file gets the header.
  /// - Throws: `UsageError` when it cannot be opened or written.
  public init(path: String, columns: [String]) throws(UsageError) {
    self.path = path
    descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw UsageError("\(path): \(String(cString: strerror(errno)))") }
    if lseek(descriptor, 0, SEEK_END) == 0 { try append(columns) }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Appends a row. When it cannot be written whole, the file is cut back to the rows before it.
  /// - Throws: `UsageError` naming the file and the system's reason, such as a full disk.
  public func append(_ fields: [String]) throws(UsageError) {
    let bytes = Array(CSVTable.line(fields).utf8)
    let before = lseek(descriptor, 0, SEEK_END)
    var count: Int
    repeat { count = write(descriptor, bytes, bytes.count) } while count < 0 && errno == EINTR
    guard count == bytes.count, fsync(descriptor) == 0 || errno == EINVAL else {
      let reason = count >= 0 && count < bytes.count ? "the disk is full" : String(cString: strerror(errno))
      _ = ftruncate(descriptor, before)
      throw UsageError(
        "\(path): \(reason); the rows before are kept, and the same command continues once there is room")
    }
  }

  /// Cuts a last line without a line break, which a killed run can leave, off a file.
  /// - Returns: the bytes removed.
  /// - Throws: `UsageError` when the file cannot be changed.
  public static func repair(_ path: String) throws(UsageError) -> Int {
    guard let data = FileManager.default.contents(atPath: path), let last = data.last, last != 0x0A else {
      return 0
    }
    let kept = data.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
    guard truncate(path, off_t(kept)) == 0 else {
      throw UsageError("\(path): \(String(cString: strerror(errno)))")
    }
    return data.count - kept
  }
}
