import Basics
import Foundation
import Tasks

/// A file, or the text files of a folder in the order of their paths, read sentence by sentence within bounded memory.
///
/// At any time at most one piece of 64 KiB and the beginning of one sentence are held, and the names of the files. A folder's hidden,
/// empty and binary files and symbolic links are passed over, as `TextCorpus` does; the last sentence of a file ends in white space.
public struct TextStream: Sendable {
  /// What the user named.
  public let path: String
  /// The files, in order.
  public let files: [String]
  private let isFolder: Bool

  /// Bytes that are read at a time.
  static let piece = 1 << 16
  /// The most bytes of text that reading holds at a time.
  public static let mostHeld = piece + Sentences.longest + 1

  /// One sentence.
  public struct Sentence: Sendable {
    /// Its bytes, with the white space behind it.
    public var bytes: [UInt8]
    /// The file that it is from, a place in `files`.
    public var file: Int
    /// Where it begins in the file.
    public var offset: Int
  }

  /// What was read.
  public struct Count: Hashable, Sendable {
    /// Bytes of text.
    public var bytes = 0
    /// Files that had text.
    public var files = 0
    /// Files that were binary, empty or could not be read.
    public var passedOver = 0
    /// The most bytes that were held at a time.
    public var mostHeld = 0
  }

  /// Finds the files.
  /// - Throws: `TextError`: nothing there, a pipe or a device, no file below.
  public init(_ path: String) throws(TextError) {
    self.path = path
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw TextError("\(path): no such file or folder; name a text file or a folder of text files")
    }
    self.isFolder = isFolder.boolValue
    if isFolder.boolValue {
      files = try TextCorpus.files(below: path)
    } else {
      // A pipe cannot be read twice.
      do throws(InputFile.Failure) { try InputFile.requireRegular(path) } catch {
        throw TextError("\(error); name a text file or a folder of text files")
      }
      files = [path]
    }
  }

  /// Calls a body with every sentence.
  /// - Returns: what was read.
  /// - Throws: `TextError` when there is no text; what the body throws.
  @discardableResult public func forEachSentence(_ body: (Sentence) throws -> Void) throws -> Count {
    var count = Count()
    for file in files.indices { try read(file, &count, body) }
    guard count.files > 0 else {
      throw TextError(
        isFolder
          ? "\(path): no text in this folder (\(count.passedOver) files passed over); name another"
          : "\(path): no text in this file, or a binary file; name a text file")
    }
    return count
  }

  private func read(_ file: Int, _ count: inout Count, _ body: (Sentence) throws -> Void) throws {
    guard let handle = FileHandle(forReadingAtPath: files[file]) else {
      count.passedOver += 1
      return
    }
    defer { try? handle.close() }
    var held: [UInt8] = [], offset = 0, isFirst = true
    while true {
      let more = (try? handle.read(upToCount: Self.piece)) ?? Data()
      if isFirst {
        guard !more.isEmpty, !TextCorpus.isBinary(Array(more.prefix(8192))) else {
          count.passedOver += 1
          return
        }
        count.files += 1
        isFirst = false
      }
      count.bytes += more.count
      held += more
      count.mostHeld = max(count.mostHeld, held.count)
      let isLast = more.isEmpty
      var start = 0
      while start < held.count, let end = Sentences.end(in: held, from: start, isLast: isLast) {
        var bytes = Array(held[start..<end])
        if isLast, end == held.count, !Sentences.isSpace(held[end - 1]) { bytes.append(UInt8(ascii: "\n")) }
        try body(Sentence(bytes: bytes, file: file, offset: offset + start))
        start = end
      }
      offset += start
      held.removeFirst(start)
      if isLast { return }
    }
  }
}
