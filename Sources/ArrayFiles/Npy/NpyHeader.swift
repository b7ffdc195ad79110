/// The header of a `.npy` file: element type, byte order, axis order and shape.
///
/// Format (NumPy Enhancement Proposal 1): `\x93NUMPY`, major and minor version, the header's length (2 bytes in version
/// 1, 4 in versions 2 and 3, little-endian), then a Python dictionary literal padded with blanks to a multiple of 64.
struct NpyHeader: Hashable, Sendable {
  var type: NpyElementType
  var isBigEndian = false
  var isFortranOrder = false
  var shape: [Int]

  static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)

  /// The bytes of a little-endian, row-major version 1 header (version 2 when that is too short).
  var bytes: [UInt8] {
    let axes =
      shape.count == 1 ? "(\(shape[0]),)" : "(" + shape.map(String.init).joined(separator: ", ") + ")"
    let order = type.byteCount == 1 ? "|" : "<"
    let text = "{'descr': '\(order)\(type.code)', 'fortran_order': False, 'shape': \(axes), }"
    let isLong = text.utf8.count + 64 > Int(UInt16.max)
    let prefix = NpyHeader.magic.count + 2 + (isLong ? 4 : 2)
    let padding = (64 - (prefix + text.utf8.count + 1) % 64) % 64
    let length = text.utf8.count + padding + 1
    let lengthBytes = (0..<(isLong ? 4 : 2)).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) }
    return NpyHeader.magic + [isLong ? 2 : 1, 0] + lengthBytes + Array(text.utf8)
      + [UInt8](repeating: UInt8(ascii: " "), count: padding) + [UInt8(ascii: "\n")]
  }

  /// Reads a header; returns it with the number of bytes that it takes.
  static func parse(_ file: [UInt8], path: String) throws(NpyError) -> (header: NpyHeader, length: Int) {
    func fail(_ problem: String) -> NpyError { NpyError(path: path, problem: problem) }
    guard file.count >= magic.count, Array(file[..<magic.count]) == magic else {
      throw fail("not a NumPy array file: it does not start with \\x93NUMPY")
    }
    guard file.count >= 10 else { throw fail("truncated: \(file.count) bytes, the header alone takes more") }
    let major = Int(file[6])
    guard (1...3).contains(major) else {
      throw fail("format version \(major).\(file[7]) is not supported; it takes versions 1 to 3")
    }
    let width = major == 1 ? 2 : 4
    guard file.count >= 8 + width else { throw fail("truncated: the header's length is missing") }
    let length = (0..<width).reduce(0) { $0 | Int(file[8 + $1]) << (8 * $1) }
    let start = 8 + width
    guard file.count - start >= length else {
      throw fail("truncated: a header of \(length) bytes expected, \(file.count - start) found")
    }
    let text = String(decoding: file[start..<start + length], as: UTF8.self)
    var dictionary = NpyDictionary(text: text, path: path)
    return (try dictionary.header(), start + length)
  }
}
