/// The words of a text, by which sentences and passages are compared.
///
/// A word is a longest run of ASCII letters, digits, `_` and bytes from 128 on; capitals A to Z count as small letters. Nothing is
/// stemmed and no word is left out. A word is known by the 64-bit FNV-1a hash of its bytes: of a million different words two share
/// one with a chance of 3·10⁻⁸.
public enum Words {
  /// Calls a body with every word of some bytes, in order.
  /// - Complexity: O(bytes); nothing is allocated.
  public static func forEach(in bytes: some Sequence<UInt8>, _ body: (UInt64) -> Void) {
    var hash: UInt64 = start
    var isInside = false
    for byte in bytes {
      let letter = letters[Int(byte)]
      if letter != 0 {
        hash = (hash ^ UInt64(letter)) &* 0x100_0000_01b3
        isInside = true
      } else if isInside {
        body(hash)
        (hash, isInside) = (start, false)
      }
    }
    if isInside { body(hash) }
  }

  /// All of them, in order.
  public static func all(in bytes: some Sequence<UInt8>) -> [UInt64] {
    var words: [UInt64] = []
    forEach(in: bytes) { words.append($0) }
    return words
  }

  private static let start: UInt64 = 0xcbf2_9ce4_8422_2325

  /// What a byte is in a word; 0: it is in none.
  private static let letters: [UInt8] = (0..<256).map { number in
    let byte = UInt8(number)
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): return byte + 32
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"),
      128...:
      return byte
    default: return 0
    }
  }
}
