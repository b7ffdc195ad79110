import AttentionCore

/// The tiles of local and global attention.
///
/// Keys of a local tile, each counted once: the window range of its rows, and the global keys outside that range. Inside
/// the range a global key needs a mask word of its own only where not all rows have it in their window.
/// - Complexity: O(n/64 · (1 + global keys)).
struct LocalGlobalTiles {
  private let configuration: LocalGlobal.Configuration
  private let shape: AttentionShape
  /// Sorted absolute positions; those that are keys.
  private let globals: [Int], globalKeys: [Int]
  private let band: BandSegments
  private let tileRows: Int

  init(_ configuration: LocalGlobal.Configuration, _ shape: AttentionShape, globals: [Int], _ pass: PassKind)
  {
    self.configuration = configuration
    self.shape = shape
    self.globals = globals
    globalKeys = globals.filter { $0 < shape.keyLength }
    band = BandSegments(low: shape.isCausal ? 0 : -configuration.right, high: configuration.left)
    tileRows = band.tileRows(pass)
  }

  func list(local: Bool, global: Bool) -> TileList {
    var list = TileList()
    let rows = globals.map { $0 - shape.queryOffset }.filter { $0 >= 0 && $0 < shape.queryLength }
    if global { addGlobalRows(rows, to: &list) }
    if local { addLocalRows(except: rows, to: &list) }
    return list
  }

  private func addGlobalRows(_ rows: [Int], to list: inout TileList) {
    for begin in stride(from: 0, to: rows.count, by: TileList.lanes) {
      let tile = Array(rows[begin..<min(begin + TileList.lanes, rows.count)])
      let segments =
        shape.isCausal
        ? BandSegments.causal.segments(
          first: tile[0] + shape.queryOffset, last: tile[tile.count - 1] + shape.queryOffset,
          keys: 0..<shape.keyLength)
        : [TileList.Segment(start: 0, count: shape.keyLength)]
      add(tile, segments, to: &list)
    }
  }

  private func addLocalRows(except globalRows: [Int], to list: inout TileList) {
    var row = 0
    var next = globalRows.startIndex
    while row < shape.queryLength {
      var tile: [Int] = []
      tile.reserveCapacity(tileRows)
      while row < shape.queryLength, tile.count < tileRows {
        if next < globalRows.endIndex, globalRows[next] == row { next += 1 } else { tile.append(row) }
        row += 1
      }
      if !tile.isEmpty { add(tile, localSegments(tile, &list), to: &list) }
    }
  }

  private func localSegments(_ rows: [Int], _ list: inout TileList) -> [TileList.Segment] {
    let first = rows[0] + shape.queryOffset
    let last = rows[rows.count - 1] + shape.queryOffset
    let window = band.segments(first: first, last: last, keys: 0..<shape.keyLength)
    // Rows before the first key see nothing; every other causal row has itself in its window.
    if shape.isCausal && window.isEmpty { return [] }
    var segments: [TileList.Segment] = []
    for segment in window {
      let keys = Int(segment.start)..<Int(segment.start + segment.count)
      let hasGlobals = lowerBound(keys.lowerBound) < lowerBound(keys.upperBound)
      if segment.mask == .full || !hasGlobals {
        segments.append(segment)
      } else {
        let words = keys.map { word(key: $0, rows) }
        segments.append(
          TileList.Segment(start: keys.lowerBound, count: keys.count, mask: list.bitMask(words)))
      }
    }
    let begin = window.first.map { Int($0.start) } ?? shape.keyLength
    let end = window.last.map { Int($0.start + $0.count) } ?? shape.keyLength
    let before = globalKeys[..<lowerBound(begin)]
    let after = globalKeys[lowerBound(end)...]
    segments += runs(before, &list)
    if !shape.isCausal { segments += runs(after, &list) }
    return segments
  }

  /// The rows of a tile that see a key of the window range: by the window, or because the key is global.
  private func word(key: Int, _ rows: [Int]) -> UInt64 {
    let isGlobal = globalKeys[lowerBound(key)...].first == key
    var word: UInt64 = 0
    for (lane, row) in rows.enumerated() {
      let distance = row + shape.queryOffset - key
      let isVisible =
        (distance >= band.low && distance <= band.high) || (isGlobal && !(shape.isCausal && distance < 0))
      if isVisible { word |= 1 << UInt64(lane) }
    }
    return word
  }

  /// Global keys that all rows of a tile see: one segment if they follow one another, else gathered.
  private func runs(_ keys: ArraySlice<Int>, _ list: inout TileList) -> [TileList.Segment] {
    guard let first = keys.first, let last = keys.last else { return [] }
    if last - first + 1 == keys.count { return [TileList.Segment(start: first, count: keys.count)] }
    return [list.gathered(keys: keys.map { Int32($0) })]
  }

  private func add(_ rows: [Int], _ segments: [TileList.Segment], to list: inout TileList) {
    if rows[rows.count - 1] - rows[0] + 1 == rows.count {
      list.addTile(start: rows[0], count: rows.count, segments: segments)
    } else {
      list.addTile(rows: rows.map { Int32($0) }, segments: segments)
    }
  }

  /// The place of the first global key that is not before `key`.
  private func lowerBound(_ key: Int) -> Int {
    var low = 0
    var high = globalKeys.count
    while low < high {
      let middle = (low + high) / 2
      if globalKeys[middle] < key { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
