import Basics

/// Named arrays in one file, as `numpy.savez` writes them and `numpy.load` reads them: a zip archive of `.npy` files without
/// compression.
///
/// Reads what is stored as it stands; compressed members are refused. Archives beyond 4 GiB are not written.
/// - Source: PKWARE APPNOTE 6.3; NumPy, `numpy.lib.format`.
public struct NpzArchive: Sendable {
  /// The arrays, in the order of the file.
  public var arrays: [(name: String, array: NpyArray)]

  /// Gathers arrays.
  /// - Parameter arrays: names without `.npy`, and their arrays.
  public init(_ arrays: [(name: String, array: NpyArray)]) { self.arrays = arrays }

  /// The array of a name; `nil`: there is none.
  public subscript(name: String) -> NpyArray? { arrays.first { $0.name == name }?.array }

  // MARK: - Writing

  /// The bytes of the file; `nil`: more than 4 GiB.
  public var fileBytes: [UInt8]? {
    var bytes: [UInt8] = [], directory: [UInt8] = []
    for (name, array) in arrays {
      let data = array.fileBytes, title = Array("\(name).npy".utf8)
      guard bytes.count + data.count + directory.count < Int(UInt32.max) - 1024 else { return nil }
      let start = bytes.count
      // Version 2.0, no flags, stored, 1 January 1980: the same arrays give the same bytes.
      let common =
        Self.little(20, 2) + Self.little(0, 2) + Self.little(0, 2) + Self.little(0, 2) + Self.little(33, 2)
        + Self.little(Int(CRC32.of(data)), 4) + Self.little(data.count, 4) + Self.little(data.count, 4)
        + Self.little(title.count, 2) + Self.little(0, 2)
      bytes += Self.little(Self.localMark, 4) + common + title + data
      directory += Self.little(Self.directoryMark, 4) + Self.little(20, 2) + common
      directory += [UInt8](repeating: 0, count: 2 + 2 + 2 + 4) + Self.little(start, 4) + title
    }
    let end =
      Self.little(Self.endMark, 4) + Self.little(0, 4) + Self.little(arrays.count, 2)
      + Self.little(arrays.count, 2) + Self.little(directory.count, 4) + Self.little(bytes.count, 4)
      + Self.little(0, 2)
    return bytes + directory + end
  }

  private static let localMark = 0x0403_4B50, directoryMark = 0x0201_4B50, endMark = 0x0605_4B50
  private static let endCount = 22

  private static func little(_ value: Int, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  /// Writes the file whole or not at all.
  /// - Parameter path: where to.
  /// - Throws: `NpyError` when the folder does not exist, is read-only, the disk is full, or the arrays are too large.
  public func write(to path: String) throws(NpyError) {
    guard let bytes = fileBytes else {
      throw NpyError(
        path: path, problem: "more than 4 GiB of arrays; an .npz archive of this kind holds less")
    }
    do { try AtomicFile.write(bytes, to: path) } catch {
      throw NpyError(path: error.path, problem: error.problem)
    }
  }

  // MARK: - Reading

  /// Reads a file.
  /// - Parameter path: where it is.
  /// - Throws: `NpyError`: no such file, not a zip archive, truncated, compressed, damaged, or a member that is no array.
  public init(contentsOf path: String) throws(NpyError) {
    let bytes: [UInt8]
    do { bytes = try InputFile.bytes(path) } catch {
      throw NpyError(path: error.path, problem: error.problem)
    }
    try self.init(bytes: bytes, path: path)
  }

  /// Reads the bytes of a file.
  /// - Parameters:
  ///   - bytes: the file.
  ///   - path: its name for error texts.
  /// - Throws: `NpyError`.
  public init(bytes: [UInt8], path: String) throws(NpyError) {
    func fail(_ problem: String) -> NpyError { NpyError(path: path, problem: problem) }
    func number(_ place: Int, _ count: Int) -> Int? {
      guard place >= 0, place <= bytes.count - count else { return nil }
      return (0..<count).reduce(0) { $0 | Int(bytes[place + $1]) << (8 * $1) }
    }
    guard number(0, 4) == Self.localMark || number(0, 4) == Self.endMark else {
      throw fail("no .npz file: it does not begin as a zip archive")
    }
    // The end may be followed by a comment of up to 65,535 bytes.
    let first = max(0, bytes.count - Self.endCount - 65535)
    guard
      let end = stride(from: bytes.count - Self.endCount, through: first, by: -1).first(where: {
        number($0, 4) == Self.endMark
      }), let count = number(end + 10, 2), var place = number(end + 16, 4)
    else { throw fail("truncated: the directory of the archive is missing") }
    var arrays: [(name: String, array: NpyArray)] = []
    for _ in 0..<count {
      guard number(place, 4) == Self.directoryMark, let method = number(place + 10, 2),
        let check = number(place + 16, 4), let size = number(place + 24, 4),
        let title = number(place + 28, 2),
        let extra = number(place + 30, 2), let comment = number(place + 32, 2),
        let start = number(place + 42, 4), place + 46 + title <= bytes.count
      else { throw fail("truncated: the directory of the archive ends early") }
      let name = String(decoding: bytes[(place + 46)..<(place + 46 + title)], as: UTF8.self)
      place += 46 + title + extra + comment
      guard method == 0 else {
        throw fail(
          "\(name) is compressed; numpy.savez writes what is read here, numpy.savez_compressed does not")
      }
      guard number(start, 4) == Self.localMark, let ownTitle = number(start + 26, 2),
        let ownExtra = number(start + 28, 2), start + 30 + ownTitle + ownExtra + size <= bytes.count
      else { throw fail("truncated: \(name) is not whole") }
      let data = Array(bytes[(start + 30 + ownTitle + ownExtra)...].prefix(size))
      guard Int(CRC32.of(data)) == check else { throw fail("\(name) is damaged: its check sum is another") }
      guard name.hasSuffix(".npy") else { throw fail("\(name) is no array") }
      let array = try NpyArray(bytes: data, path: "\(path): \(name)")
      arrays.append((String(name.dropLast(4)), array))
    }
    self.arrays = arrays
  }
}
