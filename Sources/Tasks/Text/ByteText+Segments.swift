import Basics

/// A text read in order. Streams begin at places as far from each other as can be; one that comes to the end of the split goes on
/// at its beginning. Where a stretch of the split begins, what was read before is no part of the text.
extension ByteText: SegmentedTask {
  /// Rows of consecutive bytes; targets are the bytes that follow.
  public func segments(of split: Split, number: Int, streams: Range<Int>, of count: Int, shift: Int)
    -> SegmentBatch
  {
    precondition(number >= 0 && streams.upperBound <= count, "segment \(number) of streams \(streams)")
    let cut = SegmentCut(stretches[split] ?? [], length: length, key: key("segments"), shift: shift)
    let rows = streams.map { stream in
      let place = cut.place(number: number, stream: stream, of: count)
      return (window(from: place.start), number == 0 || place.begins)
    }
    return SegmentBatch(rows, of: self)
  }
}

/// A split of a text cut into segments of one length.
private struct SegmentCut {
  private let ranges: [Range<Int>]
  private let length: Int
  /// Segments before every stretch, and in all.
  private let sums: [Int]
  /// The first segment of the first stream.
  private let first: Int

  /// - Parameter shift: draws where cuts fall and where streams begin; 0: cuts begin where stretches do.
  init(_ stretches: [Range<Int>], length: Int, key: RandomKey, shift: Int) {
    var generator = key(shift).generator()
    let shortest = stretches.map(\.count).min() ?? 0
    let phase = shift == 0 ? 0 : generator.integer(below: max(1, min(length, shortest - length)))
    self.length = length
    ranges = stretches.map { $0.lowerBound + phase..<$0.upperBound }
    sums = ranges.reduce(into: [0]) { $0.append($0[$0.count - 1] + ($1.count - 1) / length) }
    first = shift == 0 ? 0 : generator.integer(below: max(1, sums[sums.count - 1]))
  }

  func place(number: Int, stream: Int, of count: Int) -> (start: Int, begins: Bool) {
    let total = sums[sums.count - 1]
    let segment = (first + stream * total / count + number) % total
    // The last stretch that begins at or before the segment.
    let stretch = (sums.dropLast().lastIndex { $0 <= segment }) ?? 0
    let within = segment - sums[stretch]
    return (ranges[stretch].lowerBound + within * length, within == 0)
  }
}
