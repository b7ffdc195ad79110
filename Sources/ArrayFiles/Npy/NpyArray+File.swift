import Basics

extension NpyArray {
  /// Reads a file.
  /// - Throws: `NpyError`: no such file, not a NumPy file, truncated, an element type that is not supported.
  public init(contentsOf path: String) throws(NpyError) {
    let bytes: [UInt8]
    do { bytes = try InputFile.bytes(path) } catch {
      throw NpyError(path: error.path, problem: error.problem)
    }
    try self.init(bytes: bytes, path: path)
  }

  /// Writes a file whole or not at all: to a temporary name beside it, then renamed.
  /// - Throws: `NpyError` when the folder does not exist, is read-only, or the disk is full.
  public func write(to path: String) throws(NpyError) {
    do { try AtomicFile.write(fileBytes, to: path) } catch {
      throw NpyError(path: error.path, problem: error.problem)
    }
  }
}
