import Basics

/// The checksum of TFRecord files: CRC-32C, with the polynomial of Castagnoli (0x1EDC6F41, reflected 0x82F63B78).
public enum CRC32C {
  private static let check = CyclicCheck(reflected: 0x82F6_3B78)

  /// The checksum of bytes; that of the text "123456789" is 0xE3069283.
  /// - Parameter bytes: what is summed.
  /// - Returns: the checksum.
  /// - Complexity: O(bytes).
  public static func of(_ bytes: some Sequence<UInt8>) -> UInt32 {
    check.of(bytes)
  }

  /// The checksum as TFRecord files store it, turned right by 15 bits and moved by a constant: a checksum of bytes that
  /// contain their own checksum says little.
  /// - Parameter bytes: what is summed.
  /// - Returns: the masked checksum.
  /// - Complexity: O(bytes).
  public static func masked(_ bytes: some Sequence<UInt8>) -> UInt32 {
    let sum = of(bytes)
    return (sum >> 15 | sum << 17) &+ 0xA282_EAD8
  }
}
