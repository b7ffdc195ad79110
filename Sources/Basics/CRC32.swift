/// The cyclic redundancy check of zip and PNG files: polynomial 0x04C11DB7, bits reflected, all ones before and after.
///
/// Source: PNG specification (W3C, 2003), annex D; PKWARE APPNOTE 4.4.7.
public enum CRC32 {
  private static let table: [UInt32] = (0..<256).map { number in
    (0..<8).reduce(UInt32(number)) { value, _ in value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1 }
  }

  /// The check of some bytes.
  /// - Parameter bytes: what is checked.
  /// - Returns: 32 bits.
  /// - Complexity: O(bytes).
  public static func of(_ bytes: some Sequence<UInt8>) -> UInt32 {
    let table = table
    return bytes.withElements { bytes in
      var register = UInt32.max
      for byte in bytes { register = table[Int((register ^ UInt32(byte)) & 255)] ^ (register >> 8) }
      return ~register
    }
  }
}
