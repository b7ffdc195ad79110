import Basics

/// The checksum of TFRecord files: CRC-32C, with the polynomial of Castagnoli (0x1EDC6F41, reflected 0x82F63B78).
public enum CRC32C {
  /// What a byte does to the lowest eight bits of the register.
  private static let table: [UInt32] = (0..<256).map { byte in
    (0..<8).reduce(UInt32(byte)) { register, _ in
      register & 1 == 1 ? register >> 1 ^ 0x82F6_3B78 : register >> 1
    }
  }

  /// The checksum of bytes; that of the text "123456789" is 0xE3069283.
  /// - Parameter bytes: what is summed.
  /// - Returns: the checksum.
  /// - Complexity: O(bytes).
  public static func of(_ bytes: some Sequence<UInt8>) -> UInt32 {
    let table = table
    return bytes.withElements { bytes in
      var register = UInt32.max
      for byte in bytes { register = table[Int(UInt8(truncatingIfNeeded: register) ^ byte)] ^ register >> 8 }
      return ~register
    }
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
