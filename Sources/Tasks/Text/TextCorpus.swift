import Basics
import Foundation
import Settings
import Synchronization

/// Text that cannot be used, in one line: which path, what is wrong, what is allowed.
public struct TextError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The line.
  public let description: String
  /// Creates the error.
  public init(_ description: String) { self.description = description }
}

/// The bytes of a text file, or of all text files below a folder in the order of their paths.
///
/// Hidden files and folders, symbolic links, empty files and binary files (a zero byte in the first 8 KiB) inside a
/// folder are passed over. Files are separated by one newline. A text is held in memory, so one beyond a quarter of the
/// machine's memory is refused, and so is a pipe that does not end before that, and any device.
public struct TextCorpus: Hashable, Sendable {
  /// What the user named.
  public let path: String
  /// All bytes.
  public let bytes: [UInt8]
  /// How many files were read.
  public let fileCount: Int

  /// The name of the text without the folders above it, which differ from machine to machine.
  public var name: String { path.split(separator: "/").last.map(String.init) ?? path }

  /// 64-bit FNV-1a of the bytes, in hexadecimal: tells two texts apart in a record.
  public let fingerprint: String

  /// The bytes that a text may have.
  public static let largest = Int(ProcessInfo.processInfo.physicalMemory / 4)

  /// A corpus in memory.
  public init(bytes: [UInt8], named path: String) {
    self.bytes = bytes
    self.path = path
    fileCount = 1
    fingerprint = Fingerprint.of(bytes)
  }

  /// What was read last: tasks, stages and evaluations of a preset read the same text many times.
  private struct Known {
    var files: [FileMark], limit: Int, text: TextCorpus
  }
  private static let known = Mutex<Known?>(nil)

  /// Reads a file or a folder. The same files, unchanged, are read once in a row.
  /// - Parameters:
  ///   - path: a file, or a folder.
  ///   - limit: how many bytes are enough; no more are read.
  /// - Throws: `TextError`: nothing there, not readable, binary, empty, no text below, more than `largest` bytes.
  public init(path: String, limit: Int = .max) throws(TextError) {
    guard FileManager.default.fileExists(atPath: path) else {
      throw TextError("\(path): no such file or folder; name a text file or a folder of text files")
    }
    // A pipe has no mark, and gives its bytes once.
    guard let mark = FileMark(path, followsLinks: true) else {
      try self.init(reading: path, files: nil, limit: limit)
      return
    }
    let files = mark.isFolder ? try TextCorpus.marks(below: path) : [mark]
    let isSettled = files.allSatisfy(\.isSettled)
    let last = TextCorpus.known.withLock { $0 }
    if let last, last.text.path == path, last.limit == limit, last.files == files {
      self = last.text
      return
    }
    try self.init(reading: path, files: mark.isFolder ? files.map(\.path) : nil, limit: limit)
    guard isSettled else { return }
    let text = self
    TextCorpus.known.withLock { $0 = Known(files: files, limit: limit, text: text) }
  }

  /// Reads a file, or the files of a folder.
  private init(reading path: String, files: [String]?, limit: Int) throws(TextError) {
    // One byte more than is allowed tells a text that is too long from one that just fits.
    let enough = limit, limit = min(limit, TextCorpus.largest + 1)
    self.path = path
    if let files {
      (bytes, fileCount) = try TextCorpus.folder(path, files: files, limit: limit)
    } else {
      let data: [UInt8]
      do throws(InputFile.Failure) {
        data = try TextCorpus.contents(path, limit: limit)
      } catch {
        throw TextError("\(error); name a text file that you may read")
      }
      guard !data.isEmpty else { throw TextError("\(path): the file is empty; name a text file") }
      guard !TextCorpus.isBinary(data) else {
        throw TextError("\(path): a binary file (it has a zero byte); name a text file")
      }
      bytes = Array(data.prefix(limit))
      fileCount = 1
    }
    guard enough <= TextCorpus.largest || bytes.count <= TextCorpus.largest else {
      throw TextError(
        "\(path): more than \(TextCorpus.largest) bytes, a quarter of this machine's memory; name a smaller text"
      )
    }
    fingerprint = Fingerprint.of(bytes)
  }

  private static func folder(
    _ path: String, files: [String], limit: Int
  ) throws(TextError) -> ([UInt8], Int) {
    var all: [UInt8] = []
    var count = 0
    var unreadable = 0, binary = 0
    for file in files where all.count < limit {
      guard let data = try? contents(file, limit: limit - all.count) else {
        unreadable += 1
        continue
      }
      if isBinary(data) {
        binary += 1
        continue
      }
      guard !data.isEmpty else { continue }
      if !all.isEmpty { all.append(UInt8(ascii: "\n")) }
      all.append(contentsOf: data)
      count += 1
    }
    guard count > 0 else {
      throw TextError(
        "\(path): no text in this folder (\(binary) binary and \(unreadable) unreadable files passed over); "
          + "name a text file or a folder of text files")
    }
    return (Array(all.prefix(limit)), count)
  }

  /// At least `limit` bytes of a file where it has so many, and enough to tell whether it is text; no more are read of
  /// one that begins as a binary file does.
  static func contents(_ file: String, limit: Int) throws(InputFile.Failure) -> [UInt8] {
    try InputFile.start(of: file, limit: max(limit, binaryPrefix), isEnough: isBinary).bytes
  }

  /// The bytes that decide whether a file is binary.
  private static let binaryPrefix = 8192

  /// Whether bytes begin as those of a binary file do.
  package static func isBinary(_ bytes: [UInt8]) -> Bool { bytes.prefix(binaryPrefix).contains(0) }

  /// Regular files below a folder, sorted by path so that every machine reads them in the same order.
  package static func files(below folder: String) throws(TextError) -> [String] {
    try marks(below: folder).map(\.path)
  }

  /// The same with what tells whether they are still what they were.
  private static func marks(below folder: String) throws(TextError) -> [FileMark] {
    var files: [FileMark] = []
    var pending = [folder]
    while let next = pending.popLast() {
      let names: [String]
      do {
        names = try FileManager.default.contentsOfDirectory(atPath: next)
      } catch {
        guard next == folder else { continue }
        throw TextError("\(folder): the folder cannot be read; name a folder that you may read")
      }
      for name in names where !name.hasPrefix(".") {
        let path = next.hasSuffix("/") ? next + name : next + "/" + name
        guard let mark = FileMark(path, followsLinks: false) else { continue }
        if mark.isFolder { pending.append(path) } else { files.append(mark) }
      }
    }
    return files.sorted { Array($0.path.utf8).lexicographicallyPrecedes(Array($1.path.utf8)) }
  }
}
