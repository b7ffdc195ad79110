import Tensors

/// Finds the tiles of a pattern that is given by what it says of each pair.
///
/// A tile is 64 rows of q (or 32 or 16, where that leaves out more and suits the processor), at a step that is worked out from a few of them:
/// the rows of one residue see the same keys where a pattern is dilated. What its rows see together becomes segments
/// (`TileFinder+Segments.swift`).
/// - Complexity: it asks for at most every pair of the shape once, and for O(keys) of them again to find the step. Blocks that
///   `PairCounting.commonCount` knows are not asked for: with it a band costs O(n · width + n/64 · log n).
struct TileFinder<Counts: PairCounting> {
  let rows: Int, keys: Int
  let queryOffset: Int
  let isCausal: Bool
  var counts: Counts

  /// Creates a finder.
  /// - Parameters:
  ///   - shape: rows, causality.
  ///   - keys: the keys that rows may see, `0 ..< keys`.
  ///   - counts: says what counts.
  init(_ shape: AttentionShape, keys: Int, counts: Counts) {
    rows = shape.queryLength
    self.keys = keys
    queryOffset = shape.queryOffset
    isCausal = shape.isCausal
    self.counts = counts
  }

  /// Rows `start, start + step, …`.
  struct Group {
    var start: Int, count: Int, step: Int
  }

  /// How rows are put into tiles.
  struct Layout: Hashable {
    var step = 1, height = TileList.lanes
  }

  /// The tiles of a pass.
  mutating func list(for pass: PassKind) throws(Counts.Failure) -> TileList {
    let layout = try layout(for: pass)
    var list = TileList()
    for group in groups(layout) {
      let found = try levels(group)
      var segments: [TileList.Segment] = []
      for level in found { addSegments(level, group, to: &list, &segments) }
      list.addTile(start: group.start, count: group.count, stride: group.step, segments: segments)
    }
    return list
  }

  /// All rows; groups of all residues at one place follow one another, since they read neighbouring rows.
  private func groups(_ layout: Layout) -> [Group] {
    let longest = (rows + layout.step - 1) / layout.step
    return stride(from: 0, to: longest, by: layout.height).flatMap { place in
      (0..<min(layout.step, rows)).compactMap { residue -> Group? in
        let count = min(layout.height, (rows - residue + layout.step - 1) / layout.step - place)
        return count > 0
          ? Group(start: residue + place * layout.step, count: count, step: layout.step) : nil
      }
    }
  }

  // MARK: - Step and height

  /// Rows that show what step a pattern has.
  private static var samples: Int { 3 }
  /// Steps that are tried, each at a few groups.
  private static var steps: Int { 4 }
  /// What another step or height must save to be taken.
  private static var gain: Double { 0.95 }

  /// The step and the height whose tiles execute the fewest pairs for those that count. Heights are 64 rows, 32 and so on down to what the
  /// processor likes; the greatest is taken that is next to the best.
  private mutating func layout(for pass: PassKind) throws(Counts.Failure) -> Layout {
    let choices = ProcessorChoices.current
    let lowest = pass == .backward ? choices.bandBackwardRows : choices.bandRows
    var (best, least) = try heightOfTiles(step: 1, lowest: lowest)
    if least > 1.5 {
      for step in try gaps() {
        let (found, overhead) = try heightOfTiles(step: step, lowest: lowest)
        if overhead < Self.gain * least { (best, least) = (found, overhead) }
      }
    }
    return best
  }

  /// The height of tiles at a step, and how many pairs they execute for each that counts.
  private mutating func heightOfTiles(
    step: Int, lowest: Int
  ) throws(Counts.Failure) -> (layout: Layout, overhead: Double) {
    var heights = [TileList.lanes]
    while heights[heights.count - 1] / 2 >= lowest { heights.append(heights[heights.count - 1] / 2) }
    let overheads = try overheads(step: step, heights: heights)
    let least = overheads.min() ?? 1
    let place = overheads.firstIndex { Self.gain * $0 <= least } ?? 0
    return (Layout(step: step, height: heights[place]), overheads[place])
  }

  /// Pairs that tiles of some groups execute when they are cut into lower ones, for each pair that counts; one number a height.
  private mutating func overheads(step: Int, heights: [Int]) throws(Counts.Failure) -> [Double] {
    let all = groups(Layout(step: step))
    var executed = [Int](repeating: 0, count: heights.count), needed = 0
    for index in Set([all.count / 5, all.count / 2, all.count - 1]) {
      let group = all[index]
      for level in try levels(group) {
        level.forEach { _, word in
          needed += word.nonzeroBitCount
          for (place, height) in heights.enumerated() {
            for first in stride(from: 0, to: group.count, by: height) {
              let rows = min(height, group.count - first)
              let part = rows == 64 ? UInt64.max : ((1 << UInt64(rows)) - 1) << UInt64(first)
              if word & part != 0 { executed[place] += rows }
            }
          }
        }
      }
    }
    guard needed > 0 else { return heights.map { _ in 1 } }
    return executed.map { Double($0) / Double(needed) }
  }

  /// The commonest distances above 1 between keys that follow one another in a few rows, small enough to leave tiles high.
  private mutating func gaps() throws(Counts.Failure) -> [Int] {
    var found: [Int: Int] = [:]
    for sample in 1...Self.samples {
      var last: Int?
      for level in try levels(Group(start: (rows - 1) * sample / Self.samples, count: 1, step: 1)).prefix(1) {
        level.forEach { key, _ in
          if let last, key - last > 1 { found[key - last, default: 0] += 1 }
          last = key
        }
      }
    }
    return found.filter { $0.key <= rows / 16 }.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(
      Self.steps
    ).map(\.key)
  }

  // MARK: - What a group sees

  /// The keys that a group sees once or more, twice or more, …: as many levels as the largest count.
  mutating func levels(_ group: Group) throws(Counts.Failure) -> [SeenKeys] {
    var levels = [SeenKeys(rows: group.count)]
    try look(0..<keys, group, &levels)
    return levels
  }

  private mutating func look(
    _ range: Range<Int>, _ group: Group, _ levels: inout [SeenKeys]
  ) throws(Counts.Failure) {
    let first = group.start + queryOffset, last = first + (group.count - 1) * group.step
    let range = isCausal ? range.lowerBound..<max(range.lowerBound, min(range.upperBound, last + 1)) : range
    guard !range.isEmpty else { return }
    let isCut = isCausal && range.upperBound > first + 1
    if let count = counts.commonCount(queries: first...last, keys: range), !isCut || count == 0 {
      for level in 0..<count {
        if level == levels.count { levels.append(SeenKeys(rows: group.count)) }
        levels[level].append(all: range)
      }
      return
    }
    guard range.count <= PairBlock.width else {
      // Halves that begin at a multiple of 64, so that all tiles ask for the same blocks.
      let middle =
        (range.lowerBound + range.count / 2 + PairBlock.width - 1) / PairBlock.width * PairBlock.width
      let cut = middle < range.upperBound ? middle : range.lowerBound + PairBlock.width
      try look(range.lowerBound..<cut, group, &levels)
      return try look(cut..<range.upperBound, group, &levels)
    }
    var block = PairBlock(
      first: first, step: group.step, rows: group.count, keys: range, isCausal: isCausal)
    try counts.fill(&block)
    add(block, to: &levels)
  }

  private func add(_ block: PairBlock, to levels: inout [SeenKeys]) {
    let most = Int(block.counts.max() ?? 0)
    while levels.count < most { levels.append(SeenKeys(rows: block.rows)) }
    for level in 0..<most {
      for t in 0..<block.keys.count {
        var word: UInt64 = 0
        for lane in 0..<block.rows where Int(block.counts[lane * PairBlock.width + t]) > level {
          word |= 1 << UInt64(lane)
        }
        levels[level].append(block.keys.lowerBound + t, word)
      }
    }
  }
}

/// The keys that some rows see, in order, each with a word that says which of them; runs of keys that all rows see need none.
struct SeenKeys {
  /// Keys that follow one another, seen by all rows or each by some.
  struct Run {
    var keys: Range<Int>
    /// Where their words begin; `nil`: all rows see them.
    var firstWord: Int?
  }

  /// The word of a key that all rows see.
  let all: UInt64
  private(set) var runs: [Run] = []
  private var words: [UInt64] = []

  init(rows: Int) { all = rows == 64 ? .max : (1 << UInt64(rows)) - 1 }

  /// The word of a key of a run.
  func word(_ key: Int, of run: Run) -> UInt64 {
    run.firstWord.map { words[$0 + key - run.keys.lowerBound] } ?? all
  }

  /// Adds a key behind those that are there; none of its rows: nothing.
  mutating func append(_ key: Int, _ word: UInt64) {
    guard word != 0 else { return }
    guard word != all else { return append(all: key..<key + 1) }
    if let last = runs.last, last.firstWord != nil, last.keys.upperBound == key {
      runs[runs.count - 1].keys = last.keys.lowerBound..<key + 1
    } else {
      runs.append(Run(keys: key..<key + 1, firstWord: words.count))
    }
    words.append(word)
  }

  /// Adds keys that all rows see.
  mutating func append(all keys: Range<Int>) {
    if let last = runs.last, last.firstWord == nil, last.keys.upperBound == keys.lowerBound {
      runs[runs.count - 1].keys = last.keys.lowerBound..<keys.upperBound
    } else {
      runs.append(Run(keys: keys, firstWord: nil))
    }
  }

  /// Calls `body` with every key and its word.
  func forEach(_ body: (_ key: Int, _ word: UInt64) -> Void) {
    for run in runs { for key in run.keys { body(key, word(key, of: run)) } }
  }
}
