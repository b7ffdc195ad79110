import Basics
import Foundation

/// How a CSV file of another program is written: what stands between fields, decimal commas, the encoding.
public struct CSVDialect: Sendable, Equatable {
  /// What stands between fields: one ASCII byte.
  public var separator: UInt8 = 0x2C
  /// Whether a run of separators counts as one, as blanks in aligned tables do.
  public var joinsRuns = false
  /// Whether the user named the separator; otherwise another one in the file is found and named.
  public var isGiven = false
  /// Whether numbers are written 1.234,5.
  public var hasDecimalCommas = false
  /// The encoding.
  public var encoding = Encoding.utf8

  /// Encodings that are read.
  public enum Encoding: String, Sendable, CaseIterable {
    /// UTF-8, with or without byte-order mark.
    case utf8 = "utf-8"
    /// UTF-16 of either byte order, by its byte-order mark.
    case utf16 = "utf-16"
    /// Windows-1252, which Western European programs write.
    case latin1
  }

  /// RFC 4180 in UTF-8.
  public init() {}

  /// The dialect that options describe.
  /// - Throws: `UsageError` for a separator that there is not.
  public init(separator: String?, decimalComma: Bool, encoding: Encoding) throws(UsageError) {
    self.encoding = encoding
    hasDecimalCommas = decimalComma
    guard let separator else { return }
    guard let byte = Self.byte(separator) else {
      throw UsageError(
        "--separator \(shown(separator)): it takes comma, semicolon, tab, pipe, space, or one other ASCII sign"
      )
    }
    (self.separator, joinsRuns, isGiven) = (byte, byte == 0x20, true)
  }

  /// The separators that have names.
  public static var separatorNames: [String] { names.map(\.name) }

  private static let names: [(name: String, byte: UInt8)] = [
    ("comma", 0x2C), ("semicolon", 0x3B), ("tab", 0x09), ("pipe", 0x7C), ("space", 0x20),
  ]

  private static func byte(_ text: String) -> UInt8? {
    if let known = names.first(where: { $0.name == text.lowercased() }) { return known.byte }
    if text == "\\t" { return 0x09 }
    let bytes = Array(text.utf8)
    guard bytes.count == 1, let byte = bytes.first else { return nil }
    // Letters, digits and the signs of numbers, quotes and line breaks belong to fields.
    let isSign = byte == 0x09 || (0x20..<0x7F).contains(byte)
    let isOfField = Character(UnicodeScalar(byte)).isLetter || Character(UnicodeScalar(byte)).isNumber
    return isSign && !isOfField && !"\"+-._".utf8.contains(byte) ? byte : nil
  }

  // MARK: - Bytes

  /// The bytes of a file as UTF-8 without byte-order mark.
  /// - Throws: `UsageError` that says what was found and which option reads it.
  func text(_ bytes: [UInt8], file: String) throws(UsageError) -> [UInt8] {
    let hasWideMark = bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF])
    switch encoding {
    case .utf8:
      if hasWideMark {
        throw UsageError("\(file): this is UTF-16 text; --encoding utf-16 reads it")
      }
      return bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
    case .utf16:
      guard hasWideMark, let text = String(data: Data(bytes), encoding: .utf16) else {
        throw UsageError(
          "\(file): this is no UTF-16 text with a byte-order mark; leave --encoding utf-16 out")
      }
      return Array(text.utf8)
    case .latin1:
      guard
        let text = String(data: Data(bytes), encoding: .windowsCP1252)
          ?? String(data: Data(bytes), encoding: .isoLatin1)
      else { throw UsageError("\(file): this is no text in Windows-1252") }
      return Array(text.utf8)
    }
  }

  /// Whether bytes may be text in Windows-1252: no control characters but those of lines and tabs, none of the five bytes
  /// without a meaning, and mostly ASCII, as every table is.
  static func isWindows1252(_ bytes: [UInt8]) -> Bool {
    var foreign = 0
    for byte in bytes.prefix(1 << 20) {
      switch byte {
      case 0x09, 0x0A, 0x0C, 0x0D, 0x20..<0x7F: continue
      case 0..<0x20, 0x7F, 0x81, 0x8D, 0x8F, 0x90, 0x9D: return false
      default: foreign += 1
      }
    }
    return 2 * foreign < min(bytes.count, 1 << 20)
  }

  // MARK: - What was found

  /// Refuses a table whose fields are separated by something else than commas, when the separator was not given.
  ///
  /// Another separator is one that the header and every line looked at hold equally often, where commas do not do so.
  func check(_ bytes: [UInt8], file: String) throws(UsageError) {
    guard !isGiven else { return }
    let lines = Self.firstLines(bytes, count: 10)
    guard lines.count > 1, !Self.isRegular(lines, 0x2C, joinsRuns: false) else { return }
    for (name, byte) in Self.names.dropFirst() where Self.isRegular(lines, byte, joinsRuns: byte == 0x20) {
      let commas = lines.dropFirst().contains { Self.hasDecimalComma($0) }
      let sign = byte == 0x09 || byte == 0x20 ? name : "'\(Character(UnicodeScalar(byte)))'"
      throw UsageError(
        "\(file): the fields are separated by \(sign)\(commas ? ", numbers have decimal commas" : ""); "
          + "--separator \(name)\(commas ? " --decimal-comma" : "") reads it")
    }
  }

  private static func firstLines(_ bytes: [UInt8], count: Int) -> [ArraySlice<UInt8>] {
    bytes.prefix(1 << 16).split(maxSplits: 4 * count, whereSeparator: { $0 == 0x0A || $0 == 0x0D }).prefix(
      count
    )
    .map { $0.prefix(4096) }
  }

  private static func isRegular(_ lines: [ArraySlice<UInt8>], _ byte: UInt8, joinsRuns: Bool) -> Bool {
    let counts = lines.map { line -> Int in
      var (count, isQuoted, last) = (0, false, byte)
      for b in line {
        if b == 0x22 { isQuoted.toggle() }
        if b == byte, !isQuoted, !(joinsRuns && last == byte) { count += 1 }
        last = b
      }
      return joinsRuns && last == byte && count > 0 ? count - 1 : count
    }
    return counts[0] > 0 && counts.allSatisfy { $0 == counts[0] }
  }

  private static func hasDecimalComma(_ line: ArraySlice<UInt8>) -> Bool {
    line.indices.contains { k in
      line[k] == 0x2C && k > line.startIndex && k + 1 < line.endIndex && isDigit(line[k - 1])
        && isDigit(line[k + 1])
    }
  }

  private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

  // MARK: - Numbers

  /// A cell with its decimal comma as a point, 1.234,5 as 1234.5; any other cell as it stands.
  func cell(_ text: String) -> String {
    guard hasDecimalCommas, Self.isWithComma(text) else { return text }
    return text.replacing(".", with: "").replacing(",", with: ".")
  }

  /// Whether a text is a number with a decimal comma or with points between thousands.
  package static func isWithComma(_ text: String) -> Bool {
    text.wholeMatch(of: /\s*[+-]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+),[0-9]+([eE][+-]?[0-9]+)?\s*/) != nil
      || text.wholeMatch(of: /\s*[+-]?[0-9]{1,3}(\.[0-9]{3})+\s*/) != nil
  }
}
