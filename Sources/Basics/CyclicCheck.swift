/// A cyclic redundancy check of 32 bits: bits reflected, all ones before and after.
package struct CyclicCheck: Sendable {
  /// What a byte does to the lowest eight bits of the register.
  private let table: [UInt32]

  /// - Parameter polynomial: reflected, without its highest term.
  package init(reflected polynomial: UInt32) {
    table = (0..<256).map { byte in
      (0..<8).reduce(UInt32(byte)) { register, _ in
        register & 1 == 1 ? polynomial ^ (register >> 1) : register >> 1
      }
    }
  }

  /// The check of some bytes. - Complexity: O(bytes).
  package func of(_ bytes: some Sequence<UInt8>) -> UInt32 {
    let table = table
    return bytes.withElements { bytes in
      var register = UInt32.max
      for byte in bytes {
        register = table[Int(UInt8(truncatingIfNeeded: register) ^ byte)] ^ (register >> 8)
      }
      return ~register
    }
  }
}
