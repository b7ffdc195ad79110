/// The cyclic redundancy check of zip and PNG files: polynomial 0x04C11DB7, bits reflected, all ones before and after.
///
/// Source: PNG specification (W3C, 2003), annex D; PKWARE APPNOTE 4.4.7.
public enum CRC32 {
  private static let check = CyclicCheck(reflected: 0xEDB8_8320)

  /// The check of some bytes.
  /// - Parameter bytes: what is checked.
  /// - Returns: 32 bits.
  /// - Complexity: O(bytes).
  public static func of(_ bytes: some Sequence<UInt8>) -> UInt32 {
    check.of(bytes)
  }
}
