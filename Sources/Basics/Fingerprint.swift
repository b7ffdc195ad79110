import CKernels
import Foundation

/// Short names of texts: the 64-bit FNV-1a hash.
public enum Fingerprint {
  /// The name of a text: 16 hexadecimal digits.
  public static func of(_ text: String) -> String { of(text.utf8) }

  /// The name of bytes: 16 hexadecimal digits.
  /// - Complexity: O(bytes).
  public static func of(_ bytes: some Sequence<UInt8>) -> String {
    digits(hash(bytes))
  }

  private static func digits(_ hash: UInt64) -> String {
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// The name of a file's bytes: 16 hexadecimal digits; `nil` when it cannot be read. One step for eight bytes, so that it
  /// is another name than `of` gives these bytes.
  /// - Complexity: O(bytes): 10 ms for 50 MB.
  public static func of(file path: String) -> String? {
    guard let data = try? Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped) else {
      return nil
    }
    let hash = data.withUnsafeBytes { bytes in
      bytes.baseAddress.map { attn_hash_words($0, bytes.count) } ?? attn_hash_words([UInt8](), 0)
    }
    return digits(hash)
  }

  /// The hash itself.
  /// - Complexity: O(bytes).
  public static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
    bytes.withElements(folded)
  }

  /// The hash of words instead of bytes, one step a word.
  /// - Complexity: O(words).
  public static func hash(words: some Sequence<UInt64>) -> UInt64 {
    words.withElements(folded)
  }

  private static func folded<Word: UnsignedInteger & FixedWidthInteger>(
    _ words: UnsafeBufferPointer<Word>
  ) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for word in words { hash = (hash ^ UInt64(word)) &* 0x100_0000_01b3 }
    return hash
  }
}
