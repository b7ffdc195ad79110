import Tensors

/// A list that is restricted to some rows and some keys, as whoever holds only those needs it.
///
/// Rows and keys are numbered anew, in the order of the runs, and masks are turned so that they mean the same pairs. The
/// list that comes out is for a shape that is not causal: row and position are the same there.
extension TileList {
  /// The pairs of some rows and some keys.
  ///
  /// Bands are cut to the keys that some row of the tile sees; masks that let every pair through become `full`, and tiles
  /// without keys are left out.
  /// - Parameters:
  ///   - queryOffset: the position of row 0 in this list.
  ///   - rows: the rows that are kept.
  ///   - keys: the keys that are kept.
  ///   - renumbersRows: whether rows are numbered anew; else they keep their positions.
  /// - Complexity: O(tiles + segments · runs that they meet + gathered keys and mask words that are kept).
  public func restricted(
    queryOffset: Int, rows: RowRuns, keys: RowRuns, renumbersRows: Bool = true
  ) -> TileList {
    var result = TileList()
    for tile in tiles {
      for part in parts(of: tile, in: rows, renumbers: renumbersRows ? nil : -queryOffset) {
        var kept: [Segment] = []
        for segment in segments(of: tile) {
          add(segment, of: part, queryOffset: queryOffset, keys: keys, to: &result, &kept)
        }
        guard !kept.isEmpty else { continue }
        if let stride = part.stride {
          result.addTile(start: part.rows[0], count: part.rows.count, stride: stride, segments: kept)
        } else {
          result.addTile(rows: part.rows.map { Int32($0) }, segments: kept)
        }
      }
    }
    return result
  }

  /// The pairs at some distances `i − j` of positions. Rows, keys and what masks mean stay as they are; bands are cut to the keys
  /// that some row of the tile sees, and tiles without keys are left out.
  /// - Parameters:
  ///   - distances: those that are kept.
  ///   - queryOffset: the position of row 0.
  /// - Returns: a list for the same shape.
  /// - Complexity: O(tiles + segments + gathered keys and mask words · rows).
  public func limited(to distances: ClosedRange<Int>, queryOffset: Int) -> TileList {
    var result = TileList()
    for tile in tiles {
      let own = rows(of: tile)
      guard let low = own.min(), let high = own.max() else { continue }
      var part = Part(
        rows: own, lanes: Array(own.indices), shift: 0, stride: tile.stride > 0 ? Int(tile.stride) : nil)
      // Bands go by positions, and so do the rows that they are cut by.
      (part.first, part.last) = (low + queryOffset, high + queryOffset)
      var kept: [Segment] = []
      for segment in segments(of: tile) {
        add(segment, of: part, at: distances, queryOffset: queryOffset, to: &result, &kept)
      }
      guard !kept.isEmpty else { continue }
      if let stride = part.stride {
        result.addTile(start: own[0], count: own.count, stride: stride, segments: kept)
      } else {
        result.addTile(rows: own.map { Int32($0) }, segments: kept)
      }
    }
    return result
  }

  private func add(
    _ segment: Segment, of part: Part, at distances: ClosedRange<Int>, queryOffset: Int,
    to result: inout TileList, _ kept: inout [Segment]
  ) {
    func band(_ low: Int, _ high: Int) {
      let (low, high) = (max(low, distances.lowerBound), min(high, distances.upperBound))
      if low <= high { append(segment, band: low, high, part, to: &kept) }
    }
    let isRun = segment.stride > 0
    switch segment.mask {
    case .full where isRun: band(-TileList.unbounded, TileList.unbounded)
    case .band(let low, let high) where isRun: band(Int(low), Int(high))
    case .notSelf where isRun:
      band(-TileList.unbounded, -1)
      band(1, TileList.unbounded)
    default:
      let keys = keys(of: segment)
      let words = keys.enumerated().map { t, key in
        part.lanes.reduce(into: UInt64(0)) { word, lane in
          let position = part.rows[lane] + queryOffset
          guard distances.contains(position - key),
            allows(segment.mask, lane: lane, position: position, t: t, key: key)
          else { return }
          word |= 1 << UInt64(lane)
        }
      }
      guard words.contains(where: { $0 != 0 }) else { return }
      let local = isRun ? segment : result.gathered(keys: keys.map { Int32($0) })
      append(words, local, part, to: &result, &kept)
    }
  }

  /// Rows of a tile that fall into one run.
  private struct Part {
    /// Their new numbers, and their places in the tile.
    var rows: [Int] = [], lanes: [Int] = []
    /// Old number less new number.
    var shift: Int
    /// The distance between them; `nil`: gathered.
    var stride: Int?
    var first = 0, last = 0
    /// Whether every number between the first and the last is there.
    var isDense: Bool { last - first + 1 == rows.count }
  }

  private func parts(of tile: QueryTile, in kept: RowRuns, renumbers given: Int?) -> [Part] {
    let own = rows(of: tile)
    guard let low = own.min(), let high = own.max() else { return [] }
    return kept.overlapping(low..<high + 1).compactMap { number in
      let run = kept.runs[number], shift = given ?? run.lowerBound - kept.starts[number]
      var part = Part(shift: shift, stride: tile.stride > 0 ? Int(tile.stride) : nil)
      for (lane, row) in own.enumerated() where run.contains(row) {
        part.rows.append(row - shift)
        part.lanes.append(lane)
      }
      guard let first = part.rows.min(), let last = part.rows.max() else { return nil }
      (part.first, part.last) = (first, last)
      return part
    }
  }

  private func add(
    _ segment: Segment, of part: Part, queryOffset: Int, keys: RowRuns, to result: inout TileList,
    _ kept: inout [Segment]
  ) {
    guard segment.stride > 0 else {
      return addGathered(segment, of: part, queryOffset: queryOffset, keys: keys, to: &result, &kept)
    }
    let start = Int(segment.start), step = Int(segment.stride), count = Int(segment.count)
    for number in keys.overlapping(start..<start + (count - 1) * step + 1) {
      let run = keys.runs[number], shift = run.lowerBound - keys.starts[number]
      let first = max(0, ceilingQuotient(run.lowerBound - start, step))
      let last = min(count - 1, floorQuotient(run.upperBound - 1 - start, step))
      guard first <= last else { continue }
      let local = Segment(start: start + first * step - shift, count: last - first + 1, stride: step)
      let distance = part.shift + queryOffset - shift
      switch segment.mask {
      case .full: kept.append(local)
      case .band(let low, let high):
        append(local, band: Int(low) - distance, Int(high) - distance, part, to: &kept)
      case .notSelf:
        append(local, band: -TileList.unbounded, -distance - 1, part, to: &kept)
        append(local, band: 1 - distance, TileList.unbounded, part, to: &kept)
      case .bits(let offset):
        let words = (first...last).map { selected(bits[Int(offset) + $0], part) }
        append(words, local, part, to: &result, &kept)
      }
    }
  }

  private static let unbounded = 1 << 30

  /// Adds what a band lets through, cut to the keys that some row sees.
  private func append(
    _ segment: Segment, band low: Int, _ high: Int, _ part: Part, to kept: inout [Segment]
  ) {
    let start = Int(segment.start), step = Int(segment.stride), count = Int(segment.count)
    let first = max(0, ceilingQuotient(part.first - high - start, step))
    let last = min(count - 1, floorQuotient(part.last - low - start, step))
    guard first <= last else { return }
    let (lowest, highest) = (start + first * step, start + last * step)
    let isFull = part.last - lowest <= high && part.first - highest >= low
    let bound = TileList.unbounded
    kept.append(
      Segment(
        start: lowest, count: last - first + 1, stride: step,
        mask: isFull
          ? .full
          : .band(low: Int32(max(-bound, min(bound, low))), high: Int32(max(-bound, min(bound, high))))))
  }

  /// The bits of the lanes that are kept.
  private func selected(_ word: UInt64, _ part: Part) -> UInt64 {
    var result: UInt64 = 0
    for (place, lane) in part.lanes.enumerated() where word >> UInt64(lane) & 1 == 1 {
      result |= 1 << UInt64(place)
    }
    return result
  }

  private func append(
    _ words: [UInt64], _ segment: Segment, _ part: Part, to result: inout TileList, _ kept: inout [Segment]
  ) {
    guard words.contains(where: { $0 != 0 }) else { return }
    var segment = segment
    let all: UInt64 = part.rows.count == 64 ? .max : (1 << UInt64(part.rows.count)) - 1
    segment.mask = words.allSatisfy { $0 == all } ? .full : result.bitMask(words)
    kept.append(segment)
  }

  /// Keys from a table, key by key: each with the rows that see it, as a word.
  private func addGathered(
    _ segment: Segment, of part: Part, queryOffset: Int, keys: RowRuns, to result: inout TileList,
    _ kept: inout [Segment]
  ) {
    var found: [Int32] = [], words: [UInt64] = []
    for (t, key) in self.keys(of: segment).enumerated() {
      guard let place = keys.place(of: key) else { continue }
      var word: UInt64 = 0
      for (bit, lane) in part.lanes.enumerated() {
        let position = part.rows[bit] + part.shift + queryOffset
        if allows(segment.mask, lane: lane, position: position, t: t, key: key) { word |= 1 << UInt64(bit) }
      }
      guard word != 0 else { continue }
      found.append(Int32(place))
      words.append(word)
    }
    guard !found.isEmpty else { return }
    append(words, result.gathered(keys: found), part, to: &result, &kept)
  }

  /// The keys that some row sees.
  /// - Precondition: the list is a restricted one: row and position are the same.
  /// - Complexity: O(segments); O(keys · rows) where rows with gaps see a band or a key is masked by itself.
  public var keysSeen: RowRuns {
    var runs: [Range<Int>] = []
    for tile in tiles {
      let own = rows(of: tile)
      let isDense = own.count == 1 || (tile.stride == 1)
      for segment in segments(of: tile) {
        if segment.stride == 1, segment.mask == .full || (isDense && isBand(segment.mask)) {
          runs.append(Int(segment.start)..<Int(segment.start + segment.count))
          continue
        }
        for (t, key) in keys(of: segment).enumerated() {
          let isSeen = own.indices.contains {
            allows(segment.mask, lane: $0, position: own[$0], t: t, key: key)
          }
          if isSeen { runs.append(key..<key + 1) }
        }
      }
    }
    return RowRuns(runs)
  }

  private func isBand(_ mask: Mask) -> Bool {
    if case .band = mask { return true }
    return false
  }

  /// The rows that tiles cover.
  public var rowsSeeing: RowRuns {
    RowRuns(
      tiles.flatMap { tile -> [Range<Int>] in
        tile.stride == 1
          ? [Int(tile.start)..<Int(tile.start + tile.count)] : rows(of: tile).map { $0..<$0 + 1 }
      })
  }
}

extension TilePattern {
  /// The same places with every list changed.
  public func mapped(_ change: (TileList) -> TileList) -> TilePattern {
    TilePattern(self, lists: lists.map(change))
  }
}
