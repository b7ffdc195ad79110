import Layers

/// Where a document is cut into segments: before every separator, and after so many tokens.
///
/// A separator is the first token of its segment. Padding belongs to none.
public struct Segmentation: Hashable, Sendable {
  /// The most tokens of a segment; 0: as many as stand before the next separator.
  public var length: Int
  /// The token before which a segment ends; below 0: none.
  public var separator: Int

  /// Creates a rule.
  public init(length: Int = 0, separator: Int = -1) { (self.length, self.separator) = (length, separator) }

  /// The segments of one document, side by side from its first token to its last. - Complexity: O(tokens).
  public func segments(of tokens: some RandomAccessCollection<Int32>) -> [Range<Int>] {
    var segments: [Range<Int>] = []
    var first = 0
    for (place, token) in tokens.enumerated() where place > first {
      guard Int(token) == separator || (length > 0 && place - first == length) else { continue }
      segments.append(first..<place)
      first = place
    }
    if !tokens.isEmpty { segments.append(first..<tokens.count) }
    return segments
  }

  /// The segments of every row of a batch, and the documents that they make.
  /// - Parameters:
  ///   - tokens: `[batch·length]`.
  ///   - lengths: real tokens of every row; `nil`: all.
  package func cut(_ tokens: [Int32], batch: Int, lengths: [Int]?) -> DocumentCut {
    let length = batch == 0 ? 0 : tokens.count / batch
    var segments: [Range<Int>] = [], documents: [Range<Int>] = []
    for row in 0..<batch {
      let start = row * length, count = min(lengths?[row] ?? length, length)
      let own = self.segments(of: tokens[start..<start + count])
      documents.append(segments.count..<segments.count + own.count)
      segments += own.map { start + $0.lowerBound..<start + $0.upperBound }
    }
    return DocumentCut(segments: RowGroups(segments), documents: RowGroups(documents))
  }
}
