import Basics

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension NpyArray {
  /// Reads a file.
  /// - Throws: `NpyError`: no such file, not a NumPy file, truncated, an element type that is not supported.
  public init(contentsOf path: String) throws(NpyError) {
    try self.init(bytes: try NpyArray.readFile(path), path: path)
  }

  /// Writes a file whole or not at all: to a temporary name beside it, then renamed.
  /// - Throws: `NpyError` when the folder does not exist, is read-only, or the disk is full.
  public func write(to path: String) throws(NpyError) {
    do { try AtomicFile.write(fileBytes, to: path) } catch {
      throw NpyError(path: error.path, problem: error.problem)
    }
  }

  private static func readFile(_ path: String) throws(NpyError) -> [UInt8] {
    guard let file = fopen(path, "rb") else { throw systemError(path, "cannot be read") }
    defer { fclose(file) }
    guard fseek(file, 0, SEEK_END) == 0, case let size = ftell(file), size >= 0, size < Int.max else {
      throw NpyError(path: path, problem: "cannot be read: it is a folder or a stream, not a file")
    }
    rewind(file)
    let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
      count = fread(buffer.baseAddress, 1, size, file)
    }
    guard bytes.count == size else { throw systemError(path, "cannot be read") }
    return bytes
  }

  private static func systemError(_ path: String, _ what: String) -> NpyError {
    NpyError(path: path, problem: "\(what): \(String(cString: strerror(errno)))")
  }
}
