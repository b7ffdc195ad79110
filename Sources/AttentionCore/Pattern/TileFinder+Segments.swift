extension TileFinder {
  /// Keys at one step, each with a word.
  private struct Progression {
    var start: Int, step: Int
    var words: [UInt64]

    func key(_ t: Int) -> Int { start + t * step }
  }

  /// Keys that follow one another from so many on are a segment by themselves.
  private static var shortestStretch: Int { 4 }
  /// A run without a mask that is shorter than this is not worth a segment of its own.
  private static var shortestRun: Int { 16 }

  /// Adds the segments of what a group sees: stretches of neighbouring keys; of the others those at equal distances; the
  /// rest from a table.
  func addSegments(
    _ seen: SeenKeys, _ group: Group, to list: inout TileList, _ segments: inout [TileList.Segment]
  ) {
    var scattered: [(key: Int, word: UInt64)] = []
    var index = 0
    while index < seen.runs.count {
      var end = index + 1
      while end < seen.runs.count, seen.runs[end].keys.lowerBound == seen.runs[end - 1].keys.upperBound {
        end += 1
      }
      let runs = seen.runs[index..<end]
      let count = runs.reduce(0) { $0 + $1.keys.count }
      if count < Self.shortestStretch {
        for run in runs { for key in run.keys { scattered.append((key, seen.word(key, of: run))) } }
      } else {
        add(stretch: runs, seen, group, to: &list, &segments)
      }
      index = end
    }
    add(scattered: scattered, seen.all, group, to: &list, &segments)
  }

  /// Neighbouring keys: long runs that all rows see stand alone, what is between them has a mask.
  private func add(
    stretch runs: ArraySlice<SeenKeys.Run>, _ seen: SeenKeys, _ group: Group, to list: inout TileList,
    _ segments: inout [TileList.Segment]
  ) {
    let isWhole = runs.allSatisfy { $0.firstWord == nil }
    var mixed = Progression(start: 0, step: 1, words: [])
    for run in runs {
      if run.firstWord == nil, isWhole || run.keys.count >= Self.shortestRun {
        add(masked: mixed, seen.all, group, to: &list, &segments)
        mixed.words.removeAll()
        segments.append(TileList.Segment(start: run.keys.lowerBound, count: run.keys.count))
        continue
      }
      if mixed.words.isEmpty { mixed.start = run.keys.lowerBound }
      for key in run.keys { mixed.words.append(seen.word(key, of: run)) }
    }
    add(masked: mixed, seen.all, group, to: &list, &segments)
  }

  /// Keys that stand apart: progressions of four and more, and the others from a table.
  private func add(
    scattered: [(key: Int, word: UInt64)], _ all: UInt64, _ group: Group, to list: inout TileList,
    _ segments: inout [TileList.Segment]
  ) {
    var single: [(key: Int, word: UInt64)] = []
    var index = 0
    while index < scattered.count {
      var end = index + 1
      if end < scattered.count {
        let step = scattered[end].key - scattered[index].key
        while end < scattered.count, scattered[end].key - scattered[end - 1].key == step { end += 1 }
        if end - index >= Self.shortestStretch {
          let words = scattered[index..<end].map(\.word)
          add(
            Progression(start: scattered[index].key, step: step, words: words), all, group, to: &list,
            &segments)
          index = end
          continue
        }
      }
      single.append(scattered[index])
      index += 1
    }
    let whole = single.filter { $0.word == all }, part = single.filter { $0.word != all }
    if !whole.isEmpty { segments.append(list.gathered(keys: whole.map { Int32($0.key) })) }
    if !part.isEmpty {
      let mask = list.bitMask(part.map(\.word))
      segments.append(list.gathered(keys: part.map { Int32($0.key) }, mask: mask))
    }
  }

  /// Keys at one step: long runs that all rows see stand alone.
  private func add(
    _ keys: Progression, _ all: UInt64, _ group: Group, to list: inout TileList,
    _ segments: inout [TileList.Segment]
  ) {
    var mixed = Progression(start: keys.start, step: keys.step, words: [])
    var t = 0
    while t < keys.words.count {
      let run = keys.words[t...].prefix { $0 == all }.count
      if run >= Self.shortestRun || run == keys.words.count {
        add(masked: mixed, all, group, to: &list, &segments)
        segments.append(TileList.Segment(start: keys.key(t), count: run, stride: keys.step))
        (mixed.start, mixed.words) = (keys.key(t + run), [])
        t += run
      } else {
        let count = max(1, run)
        mixed.words += keys.words[t..<t + count]
        t += count
      }
    }
    add(masked: mixed, all, group, to: &list, &segments)
  }

  /// Keys of which rows see a part: a band where that is what they see, else a word a key.
  private func add(
    masked keys: Progression, _ all: UInt64, _ group: Group, to list: inout TileList,
    _ segments: inout [TileList.Segment]
  ) {
    guard !keys.words.isEmpty else { return }
    var mask = TileList.Mask.full
    if keys.words.contains(where: { $0 != all }) { mask = band(keys, group) ?? list.bitMask(keys.words) }
    segments.append(
      TileList.Segment(start: keys.start, count: keys.words.count, stride: keys.step, mask: mask))
  }

  /// The band that words are, if they are one.
  private func band(_ keys: Progression, _ group: Group) -> TileList.Mask? {
    let first = group.start + queryOffset
    var low = Int.max, high = Int.min
    for (t, word) in keys.words.enumerated() where word != 0 {
      low = min(low, first + word.trailingZeroBitCount * group.step - keys.key(t))
      high = max(high, first + (63 - word.leadingZeroBitCount) * group.step - keys.key(t))
    }
    guard low <= high, low > -(1 << 30), high < 1 << 30 else { return nil }
    for (t, word) in keys.words.enumerated() {
      let begin = max(0, ceilingQuotient(low + keys.key(t) - first, group.step))
      let end = min(group.count, floorQuotient(high + keys.key(t) - first, group.step) + 1)
      let below: UInt64 = begin >= 64 ? .max : (1 << UInt64(begin)) - 1
      let upTo: UInt64 = end >= 64 ? .max : end <= 0 ? 0 : (1 << UInt64(end)) - 1
      guard word == upTo & ~below else { return nil }
    }
    return .band(low: Int32(low), high: Int32(high))
  }
}
