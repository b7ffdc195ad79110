#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What tells whether a file is still the one that was read: where it lies, which one it is, how long, and when it was written.
package struct FileMark: Hashable, Sendable {
  /// Where it lies.
  package let path: String
  /// Whether it is a folder.
  package let isFolder: Bool
  private let device: UInt64, number: UInt64, size: Int64, seconds: Int, nanoseconds: Int

  /// Of a regular file or a folder; `nil`: there is neither.
  /// - Parameters:
  ///   - path: where it lies.
  ///   - followsLinks: whether a symbolic link stands for what it leads to; else it is neither.
  package init?(_ path: String, followsLinks: Bool) {
    var status = stat()
    guard (followsLinks ? stat(path, &status) : lstat(path, &status)) == 0 else { return nil }
    let kind = status.st_mode & S_IFMT
    guard kind == S_IFREG || kind == S_IFDIR else { return nil }
    self.path = path
    isFolder = kind == S_IFDIR
    (device, number) = (
      UInt64(truncatingIfNeeded: status.st_dev), UInt64(truncatingIfNeeded: status.st_ino)
    )
    size = Int64(status.st_size)
    #if canImport(Darwin)
      (seconds, nanoseconds) = (status.st_mtimespec.tv_sec, status.st_mtimespec.tv_nsec)
    #else
      (seconds, nanoseconds) = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
    #endif
  }

  /// Whether it was written more than a second ago: what is written twice within a tick of the clock has the same mark.
  package var isSettled: Bool { seconds < time(nil) - 1 }
}
