#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Folders, made and renamed with errors of one form: the path, and what the system says.
public enum Folder {
  /// Makes a folder and those above it that there are not.
  /// - Throws: `FileFailure` when a part of the path is a file, or the system refuses.
  public static func create(_ path: String) throws(FileFailure) {
    var made = path.hasPrefix("/") ? "/" : ""
    for part in path.split(separator: "/") {
      made += made.isEmpty || made.hasSuffix("/") ? String(part) : "/\(part)"
      // Of two processes that make the same folder one finds it made.
      guard mkdir(made, 0o777) == 0 || exists(made) else {
        let reason = errno == EEXIST ? "\(made) is a file" : String(cString: strerror(errno))
        throw FileFailure(path: path, problem: "the folder cannot be made: \(reason)")
      }
    }
  }

  /// Makes the folder of a file, and those above it.
  /// - Throws: `FileFailure`, as above.
  public static func create(of file: String) throws(FileFailure) {
    guard let slash = file.lastIndex(of: "/"), slash > file.startIndex else { return }
    try create(String(file[..<slash]))
  }

  /// Gives a folder, or a file, another name.
  /// - Throws: `FileFailure` when the system refuses, as it does for a folder that is there and not empty.
  public static func rename(_ path: String, to name: String) throws(FileFailure) {
    guard systemRename(path, name) == 0 else {
      throw FileFailure(path: path, problem: "cannot be renamed: \(String(cString: strerror(errno)))")
    }
  }

  /// Whether there is a folder; `errno` stays as it was.
  public static func exists(_ path: String) -> Bool {
    let code = errno
    defer { errno = code }
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }
}

/// `rename` of the system, whose name is that of a function above.
private func systemRename(_ old: String, _ new: String) -> Int32 { rename(old, new) }
