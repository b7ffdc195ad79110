extension TileList {
  /// The query rows of a tile, in lane order.
  public func rows(of tile: QueryTile) -> [Int] {
    (0..<Int(tile.count)).map {
      tile.stride == 0 ? Int(queryIndices[Int(tile.start) + $0]) : Int(tile.start) + $0 * Int(tile.stride)
    }
  }

  /// The key rows of a segment, in order.
  public func keys(of segment: Segment) -> [Int] {
    (0..<Int(segment.count)).map {
      segment.stride == 0
        ? Int(keyIndices[Int(segment.start) + $0]) : Int(segment.start) + $0 * Int(segment.stride)
    }
  }

  /// The segments of a tile.
  public func segments(of tile: QueryTile) -> ArraySlice<Segment> {
    segments[Int(tile.firstSegment)..<Int(tile.firstSegment + tile.segmentCount)]
  }

  /// Whether a segment's mask lets a pair through.
  /// - Parameters:
  ///   - mask: the mask.
  ///   - lane: the row's place in its tile.
  ///   - position: the absolute position of the query row.
  ///   - t: the key's place in its segment.
  ///   - key: the row of the key.
  public func allows(_ mask: Mask, lane: Int, position: Int, t: Int, key: Int) -> Bool {
    switch mask {
    case .full: true
    case .band(let low, let high): position - key >= Int(low) && position - key <= Int(high)
    case .notSelf: position != key
    case .bits(let offset): bits[Int(offset) + t] >> UInt64(lane) & 1 == 1
    }
  }

  /// Calls `body(row, key)` for every pair that counts, once for every time that it counts; key padding is not applied.
  /// - Complexity: O(executed pairs): for pictures and checks, not for fast paths.
  public func forEachPair(queryOffset: Int, _ body: (_ row: Int, _ key: Int) -> Void) {
    for tile in tiles {
      let rows = rows(of: tile)
      for segment in segments(of: tile) {
        for (t, key) in keys(of: segment).enumerated() {
          for (lane, row) in rows.enumerated()
          where allows(segment.mask, lane: lane, position: row + queryOffset, t: t, key: key) {
            body(row, key)
          }
        }
      }
    }
  }

  /// The number of pairs that count, keys from `validKeys` on left out.
  /// - Complexity: O(segments) for full segments, O(segments · rows) for bands over strided keys, O(executed pairs) only
  ///   where keys are gathered under a mask.
  public func neededPairs(queryOffset: Int, validKeys: Int) -> Double {
    var sum = 0.0
    for tile in tiles {
      for segment in segments(of: tile) {
        sum += Double(neededPairs(tile, segment, queryOffset: queryOffset, validKeys: validKeys))
      }
    }
    return sum
  }

  private func neededPairs(_ tile: QueryTile, _ segment: Segment, queryOffset: Int, validKeys: Int) -> Int {
    let start = Int(segment.start), step = Int(segment.stride), count = Int(segment.count)
    if step > 0 {
      let valid = start >= validKeys ? 0 : min(count, (validKeys - 1 - start) / step + 1)
      switch segment.mask {
      case .full: return valid * Int(tile.count)
      case .band(let low, let high):
        return rows(of: tile).reduce(0) { total, row in
          let position = row + queryOffset
          let first = max(0, ceilingQuotient(position - Int(high) - start, step))
          let last = min(valid - 1, floorQuotient(position - Int(low) - start, step))
          return total + max(0, last - first + 1)
        }
      case .bits(let offset):
        let used: UInt64 = tile.count == 64 ? .max : (1 << UInt64(tile.count)) - 1
        return (0..<valid).reduce(0) { $0 + (bits[Int(offset) + $1] & used).nonzeroBitCount }
      case .notSelf: break
      }
    } else if segment.mask == .full {
      return keys(of: segment).reduce(0) { $0 + ($1 < validKeys ? Int(tile.count) : 0) }
    }
    var total = 0
    let rows = rows(of: tile)
    for (t, key) in keys(of: segment).enumerated() where key < validKeys {
      for (lane, row) in rows.enumerated()
      where allows(segment.mask, lane: lane, position: row + queryOffset, t: t, key: key) { total += 1 }
    }
    return total
  }
}

/// `⌊a / b⌋` for `b > 0`.
func floorQuotient(_ a: Int, _ b: Int) -> Int { a >= 0 ? a / b : -((-a + b - 1) / b) }

/// `⌈a / b⌉` for `b > 0`.
func ceilingQuotient(_ a: Int, _ b: Int) -> Int { -floorQuotient(-a, b) }
