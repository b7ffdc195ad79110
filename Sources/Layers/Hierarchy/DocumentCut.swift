/// The rows of a batch in segments, and these in documents.
package struct DocumentCut: Sendable {
  /// Rows of tokens, by segment.
  package let segments: RowGroups
  /// Segments, by document.
  package let documents: RowGroups

  package init(segments: RowGroups, documents: RowGroups) {
    (self.segments, self.documents) = (segments, documents)
  }

  /// The first row of every segment.
  package var firstRows: [Int32] { segments.ranges.map { Int32($0.lowerBound) } }

  /// The position of every row in its segment; 0 in padding.
  package func positions(rows: Int) -> [Int32] {
    var positions = [Int32](repeating: 0, count: rows)
    for range in segments.ranges {
      for row in range { positions[row] = Int32(row - range.lowerBound) }
    }
    return positions
  }
}
