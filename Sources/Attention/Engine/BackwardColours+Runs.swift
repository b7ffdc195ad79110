import AttentionCore

/// How long the runs of tiles are where keys come from everywhere and are not gathered.
///
/// Long runs keep what neighbouring tiles share near, so that a thread that has a head of its own is as fast as with units. But a run waits
/// for more others than a tile does. So runs of one head are the longest of four, two and one tiles that leave enough to do at once; of
/// several heads they are of two tiles, from eight (batch, key head) on of four, and colours are taken where what is left to do at once is
/// more than the eight units that would be there else. Tiles of bands may be low: then as many of them as have 64 rows count as one.
extension BackwardColours {
  /// Segments a tile, at least, where there are several heads. Windows with global keys have three: their neighbours share most of what
  /// they see, and colours were 3 to 5 % slower than units on two threads.
  static let segmentsOfSeveral = 4
  /// Runs that may go on at once, at least: units are eight.
  static let leastBreadth = 10.0
  /// The same where longer runs of one head are tried: else they are shorter.
  static let breadthOfOne = 12.0

  /// Whether the keys of a tile stand in several places, so that neighbours share few of them.
  static func isScattered(_ pattern: TilePattern, segments: Int) -> Bool {
    pattern.lists.allSatisfy { $0.segments.count >= segments * $0.tiles.count }
  }

  /// Tiles of a run, at most: what is tried, in order.
  static func runs(heads: Int) -> [Int] { heads == 1 ? [4, 2, 1] : heads < 8 ? [2] : [4, 2] }

  /// The groups with the first length of runs that is enough; `nil`: none is, or there are more colours or copies than there is room for.
  static func first(
    _ runs: [Int], isEnough: (_ groups: [Group], _ run: Int) -> Bool, _ make: (Int) -> [Group?]
  ) -> (run: Int, groups: [Group])? {
    for run in runs {
      let made = make(run), groups = made.compactMap(\.self)
      if groups.count == made.count, isEnough(groups, run) { return (run, groups) }
    }
    return nil
  }

  /// How many tiles may be computed at once, on average, by any number of threads: over groups, their tiles by those of the longest chain
  /// of runs that wait for each other.
  /// - Complexity: O(waits).
  static func breadth(_ groups: [Group]) -> Double {
    groups.reduce(0) { sum, group in
      let tiles = group.colours.reduce(0) { $0 + $1.elements.count }
      return sum + Double(tiles) / Double(max(1, group.longestChain))
    }
  }
}

extension BackwardColours.Group {
  /// Tiles of the longest chain of runs that wait for each other.
  fileprivate var longestChain: Int {
    var ends = [Int](repeating: 0, count: placeCount), longest = 0
    for colour in colours.indices {
      for run in colours[colour].runs.indices {
        let waits = waits(colour, run: run)
        let begin = waits.reduce(0) { max($0, ends[Int($1.place)]) }
        let end = begin + colours[colour].elements(ofRun: run).count
        for wait in waits { ends[Int(wait.place)] = end }
        longest = max(longest, end)
      }
    }
    return longest
  }
}
