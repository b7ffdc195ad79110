import Basics

/// An RGB picture as a PNG file, without compression: stored deflate blocks need no library.
/// - Source: PNG specification (W3C, 2003); RFC 1950 and 1951.
struct PNGFile {
  let bytes: [UInt8]

  /// - Parameter filteredRows: every row as a filter byte 0 and three bytes a pixel.
  init(width: Int, height: Int, filteredRows: [UInt8]) {
    var file: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
    file += PNGFile.chunk("IHDR", PNGFile.big(width) + PNGFile.big(height) + [8, 2, 0, 0, 0])
    file += PNGFile.chunk("IDAT", PNGFile.zlib(filteredRows))
    file += PNGFile.chunk("IEND", [])
    bytes = file
  }

  private static func big(_ value: Int) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
  }

  private static func chunk(_ name: String, _ data: [UInt8]) -> [UInt8] {
    let body = Array(name.utf8) + data
    return big(data.count) + body + big(Int(CRC32.of(body)))
  }

  private static func zlib(_ data: [UInt8]) -> [UInt8] {
    var stream: [UInt8] = [0x78, 0x01]
    let limit = 65535
    var start = 0
    repeat {
      let end = min(start + limit, data.count)
      let size = end - start
      stream.append(end == data.count ? 1 : 0)
      stream += [UInt8(size & 255), UInt8(size >> 8), UInt8(~size & 255), UInt8(~size >> 8 & 255)]
      stream += data[start..<end]
      start = end
    } while start < data.count
    var (a, b): (UInt32, UInt32) = (1, 0)
    for byte in data {
      a = (a + UInt32(byte)) % 65521
      b = (b + a) % 65521
    }
    return stream + big(Int(b << 16 | a))
  }
}
