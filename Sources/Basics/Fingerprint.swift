/// Short names of texts: the 64-bit FNV-1a hash.
public enum Fingerprint {
  /// The name of a text: 16 hexadecimal digits.
  public static func of(_ text: String) -> String { of(text.utf8) }

  /// The name of bytes: 16 hexadecimal digits.
  /// - Complexity: O(bytes).
  public static func of(_ bytes: some Sequence<UInt8>) -> String {
    let digits = String(hash(bytes), radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// The hash itself.
  /// - Complexity: O(bytes).
  public static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
    hash(words: bytes.lazy.map { UInt64($0) })
  }

  /// The hash of words instead of bytes, one step a word.
  /// - Complexity: O(words).
  public static func hash(words: some Sequence<UInt64>) -> UInt64 {
    words.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ $1) &* 0x100_0000_01b3 }
  }
}
