/// Where sentences end in bytes of text.
///
/// A sentence ends behind `.`, `!` or `?`, closing quotes and brackets after it included, where white space follows; at an empty
/// line; and, at the latest, after `longest` bytes: behind the last white space there, else before a byte that begins a character.
/// White space belongs to the sentence before it, so that the sentences of a text behind each other are the text.
public enum Sentences {
  /// The most bytes of a sentence.
  public static let longest = 400

  /// Cuts a text.
  /// - Complexity: O(bytes).
  public static func cut(_ bytes: [UInt8]) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    var start = 0
    while start < bytes.count, let end = end(in: bytes, from: start, isLast: true) {
      ranges.append(start..<end)
      start = end
    }
    return ranges
  }

  /// Where the sentence ends that begins at a place.
  /// - Parameters:
  ///   - bytes: the text as far as it is known.
  ///   - start: where the sentence begins.
  ///   - isLast: whether the text ends with these bytes.
  /// - Returns: `nil` where that is not known yet: it takes at most `longest` + 1 bytes.
  static func end(in bytes: [UInt8], from start: Int, isLast: Bool) -> Int? {
    let most = min(bytes.count, start + longest)
    var place = start, lastSpace: Int?, lines = 0, isEnded = false
    while place < most {
      let byte = bytes[place]
      place += 1
      guard isSpace(byte) else {
        // White space behind the end belongs to the sentence; this byte no more.
        if isEnded || lines >= 2 { return place - 1 }
        lines = 0
        if isStop(byte) { isEnded = endsHere(bytes, &place, most) }
        continue
      }
      lastSpace = place
      if byte == newline { lines += 1 }
    }
    if place == bytes.count, place - start < longest { return isLast ? place : nil }
    if place == bytes.count, isLast { return place }
    if isEnded || lines >= 2 { return place }
    if let lastSpace { return lastSpace }
    // Not within a character: its later bytes are 10xxxxxx.
    var cut = place
    while cut > start + 1, cut < bytes.count, bytes[cut] & 0xC0 == 0x80 { cut -= 1 }
    return cut > start + 1 ? cut : place
  }

  /// Whether white space, or the end, follows a stop and what closes behind it; moves over the latter.
  private static func endsHere(_ bytes: [UInt8], _ place: inout Int, _ most: Int) -> Bool {
    var next = place
    while next < most, closers.contains(bytes[next]) || isStop(bytes[next]) { next += 1 }
    guard next < most, isSpace(bytes[next]) else { return false }
    place = next
    return true
  }

  static func isSpace(_ byte: UInt8) -> Bool { byte == 32 || (9...13).contains(byte) }
  private static func isStop(_ byte: UInt8) -> Bool { stops.contains(byte) }
  private static let newline = UInt8(ascii: "\n")
  private static let stops = Array(".!?".utf8)
  private static let closers = Array("\"')]}".utf8)
}
