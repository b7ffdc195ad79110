/// Sentences put together into passages: what is searched for, and put before a question.
///
/// A passage takes the next sentence of its file as long as both have at most `most` bytes; a sentence that is longer is a passage of
/// its own, cut behind `most` bytes. No passage has text of two files.
public struct Passages: Sendable {
  /// One passage.
  public struct Passage: Hashable, Sendable {
    /// Its bytes.
    public var bytes: [UInt8]
    /// The file that it is from; 0 of a text in memory.
    public var file = 0
    /// Where it begins in the file or text.
    public var offset = 0
  }

  /// The most bytes of a passage.
  public let most: Int
  private var open: Passage?

  /// Puts passages together.
  /// - Precondition: `most` is at least 1.
  public init(most: Int) {
    precondition(most >= 1, "passages of \(most) bytes")
    self.most = most
  }

  /// Adds a sentence, and calls a body with the passages that it completes.
  mutating func add(_ sentence: TextStream.Sentence, _ body: (Passage) throws -> Void) rethrows {
    if let passage = open, passage.file != sentence.file || passage.bytes.count + sentence.bytes.count > most
    {
      open = nil
      try body(passage)
    }
    var rest = sentence.bytes[...], offset = sentence.offset
    while rest.count > most {
      try body(Passage(bytes: Array(rest.prefix(most)), file: sentence.file, offset: offset))
      rest = rest.dropFirst(most)
      offset += most
    }
    guard !rest.isEmpty else { return }
    if open == nil {
      open = Passage(bytes: Array(rest), file: sentence.file, offset: offset)
    } else {
      open?.bytes += rest
    }
  }

  /// Calls a body with the passage that is left.
  mutating func finish(_ body: (Passage) throws -> Void) rethrows {
    guard let passage = open else { return }
    open = nil
    try body(passage)
  }

  /// The passages of a text in memory.
  public static func cut(_ text: [UInt8], most: Int) -> [Passage] {
    var passages = Passages(most: most), found: [Passage] = []
    for range in Sentences.cut(text) {
      passages.add(.init(bytes: Array(text[range]), file: 0, offset: range.lowerBound)) { found.append($0) }
    }
    passages.finish { found.append($0) }
    return found
  }
}

extension TextStream {
  /// Calls a body with every passage.
  /// - Throws: as `forEachSentence`.
  @discardableResult public func forEachPassage(
    most: Int, _ body: (Passages.Passage) throws -> Void
  ) throws -> Count {
    var passages = Passages(most: most)
    let count = try forEachSentence { try passages.add($0, body) }
    try passages.finish(body)
    return count
  }
}
