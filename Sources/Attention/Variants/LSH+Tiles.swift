import AttentionCore
import Basics
import Tensors

/// The tiles of one (batch, head) with a shared query–key: chunks of the sorted valid tokens of every round.
struct LSHChunks {
  private let configuration: LSH.Configuration
  private let shape: AttentionShape
  private let buckets: [ArraySlice<Int32>]
  private let orders: [BucketOrder]
  private let length: Int, chunks: Int, rounds: Int

  /// - Parameter buckets: of the valid tokens, round by round.
  init(
    _ configuration: LSH.Configuration, _ shape: AttentionShape, buckets: [ArraySlice<Int32>],
    bucketCount: Int
  ) {
    self.configuration = configuration
    self.shape = shape
    self.buckets = buckets
    orders = buckets.map { BucketOrder($0, bucketCount: bucketCount) }
    length = buckets.first?.count ?? 0
    chunks = (length + configuration.chunk - 1) / configuration.chunk
    rounds = buckets.count
  }

  /// How many of the visited chunks are a token's own: more than one when the circle is shorter than the view.
  static func ownVisits(_ configuration: LSH.Configuration, length: Int) -> Int {
    let circle = configuration.hashes * ((length + configuration.chunk - 1) / configuration.chunk)
    return (-configuration.before...configuration.after).count { $0 % circle == 0 }
  }

  /// A run of sorted tokens of a round.
  private struct Visit {
    var round: Int
    var tokens: Range<Int>
    /// Places this visit in the order in which a query meets keys; the first meeting counts when duplicates are dropped.
    var offset: Int
    /// Whether no row of the tile is among the tokens, nor a later one where that matters.
    var neverMeetsItself = false
  }

  private var needsBits: Bool { configuration.sameBucketOnly || configuration.duplicates == .drop }

  func tiles() -> TileList {
    var list = TileList()
    let bases = orders.map { Int(list.gathered(keys: $0.tokens).start) }
    let plainMask: TileList.Mask =
      shape.isCausal ? .band(low: 1, high: Int32(BandSegments.unbounded)) : .notSelf
    let places = needsBits && configuration.duplicates == .drop ? orders.map(chunkOfToken) : []
    list.reserve(tiles: rounds * (chunks + length / TileList.lanes), segments: rounds * chunks * 2)
    for round in 0..<rounds {
      for chunk in 0..<chunks {
        let visits = visits(round: round, chunk: chunk)
        for rows in shape.rowTiles(of: tokens(of: chunk)) {
          let tileRows = Array(orders[round].tokens[rows])
          let segments = visits.map { visit in
            let mask: TileList.Mask =
              needsBits
              ? list.bitMask(words(of: visit, for: tileRows, round: round, places))
              : visit.neverMeetsItself ? .full : plainMask
            return TileList.Segment(
              start: bases[visit.round] + visit.tokens.lowerBound, count: visit.tokens.count, stride: 0,
              mask: mask)
          }
          list.addTile(rows: tileRows, segments: segments)
        }
      }
    }
    return list
  }

  private func tokens(of chunk: Int) -> Range<Int> {
    chunk * configuration.chunk..<min(length, (chunk + 1) * configuration.chunk)
  }

  private func visits(round: Int, chunk: Int) -> [Visit] {
    if !configuration.circular {
      let first = max(0, chunk - configuration.before)
      let last = min(chunks - 1, chunk + configuration.after)
      let (begin, end) = (tokens(of: first).lowerBound, tokens(of: last).upperBound)
      let own = tokens(of: chunk)
      // Chunks of a round share no token, so only the own one needs its mask; order in time is another matter.
      if shape.isCausal || needsBits { return [Visit(round: round, tokens: begin..<end, offset: 0)] }
      return [own, begin..<own.lowerBound, own.upperBound..<end].filter { !$0.isEmpty }.map {
        Visit(round: round, tokens: $0, offset: 0, neverMeetsItself: $0 != own)
      }
    }
    return (-configuration.before...configuration.after).map { offset in
      let place = LSHChunks.modulo(round * chunks + chunk + offset, rounds * chunks)
      return Visit(round: place / chunks, tokens: tokens(of: place % chunks), offset: offset)
    }
  }

  private func chunkOfToken(_ order: BucketOrder) -> [Int32] {
    var places = [Int32](repeating: 0, count: length)
    for (place, token) in order.tokens.enumerated() {
      places[Int(token)] = Int32(place / configuration.chunk)
    }
    return places
  }

  /// One word a key of a visit: the rows that count it.
  private func words(of visit: Visit, for rows: [Int32], round: Int, _ places: [[Int32]]) -> [UInt64] {
    let own = buckets[round], ownStart = own.startIndex
    let other = buckets[visit.round], otherStart = other.startIndex
    let comparesBuckets = configuration.sameBucketOnly
    let drops = configuration.duplicates == .drop
    return visit.tokens.map { place in
      let key = orders[visit.round].tokens[place]
      var word: UInt64 = 0
      for (lane, row) in rows.enumerated() {
        if row == key || (shape.isCausal && key > row) { continue }
        if comparesBuckets
          && (visit.round != round || own[ownStart + Int(row)] != other[otherStart + Int(key)])
        {
          continue
        }
        if drops && isMetEarlier(Int(row), Int(key), round: round, offset: visit.offset, places) { continue }
        word |= 1 << UInt64(lane)
      }
      return word
    }
  }

  /// Whether a row meets a key in an earlier round, or in this round in an earlier chunk.
  private func isMetEarlier(_ row: Int, _ key: Int, round: Int, offset: Int, _ places: [[Int32]]) -> Bool {
    for earlier in 0...round {
      let last = earlier < round ? configuration.after : offset - 1
      if configuration.sameBucketOnly {
        let bucket = buckets[earlier]
        if bucket[bucket.startIndex + row] != bucket[bucket.startIndex + key] { continue }
      }
      if !configuration.circular {
        if earlier == round { continue }
        let distance = Int(places[earlier][key]) - Int(places[earlier][row])
        if distance >= -configuration.before && distance <= configuration.after { return true }
        continue
      }
      guard -configuration.before <= last else { continue }
      for step in -configuration.before...last {
        let place = LSHChunks.modulo(earlier * chunks + Int(places[earlier][row]) + step, rounds * chunks)
        if configuration.sameBucketOnly && place / chunks != earlier { continue }
        if Int(places[place / chunks][key]) == place % chunks { return true }
      }
    }
    return false
  }

  static func modulo(_ a: Int, _ b: Int) -> Int { (a % b + b) % b }
}

/// The tiles of one (batch, head) with separate q and k: in every round, the queries of a bucket see its valid keys.
struct LSHBuckets {
  let configuration: LSH.Configuration
  let shape: AttentionShape
  let queries: [ArraySlice<Int32>]
  let keys: [ArraySlice<Int32>]
  let bucketCount: Int

  init(
    _ configuration: LSH.Configuration, _ shape: AttentionShape, queries: [ArraySlice<Int32>],
    keys: [ArraySlice<Int32>], bucketCount: Int
  ) {
    self.configuration = configuration
    self.shape = shape
    self.queries = queries
    self.keys = keys
    self.bucketCount = bucketCount
  }

  func tiles() -> TileList {
    var list = TileList()
    for round in queries.indices {
      let queryOrder = BucketOrder(queries[round], bucketCount: bucketCount)
      let keyOrder = BucketOrder(keys[round], bucketCount: bucketCount)
      let base = Int(list.gathered(keys: keyOrder.tokens).start)
      for bucket in 0..<bucketCount {
        let rows = Int(queryOrder.starts[bucket])..<Int(queryOrder.starts[bucket + 1])
        let members = Int(keyOrder.starts[bucket])..<Int(keyOrder.starts[bucket + 1])
        for tile in rowTiles(rows, queryOrder.tokens) where !members.isEmpty {
          let tileRows = Array(queryOrder.tokens[tile])
          let segments = segments(tileRows, members, keyOrder.tokens, base: base, round: round, &list)
          list.addTile(rows: tileRows, segments: segments)
        }
      }
    }
    return list
  }

  /// The queries of a bucket, in ascending order of position, in tiles that do not reach over the last valid key: beside it
  /// stand the padded rows of the same sequence, if q has any.
  private func rowTiles(_ rows: Range<Int>, _ tokens: [Int32]) -> [Range<Int>] {
    let valid = keys.first?.count ?? 0
    guard valid < shape.keyLength else { return shape.rowTiles(of: rows) }
    let end = rows.first { Int(tokens[$0]) + shape.queryOffset >= valid } ?? rows.upperBound
    return shape.rowTiles(of: rows.lowerBound..<end) + shape.rowTiles(of: end..<rows.upperBound)
  }

  /// The keys of a bucket, in ascending order of position: those that all rows see, and those that some do.
  private func segments(
    _ rows: [Int32], _ members: Range<Int>, _ tokens: [Int32], base: Int, round: Int, _ list: inout TileList
  ) -> [TileList.Segment] {
    func run(_ range: Range<Int>, _ mask: TileList.Mask) -> TileList.Segment {
      TileList.Segment(start: base + range.lowerBound, count: range.count, stride: 0, mask: mask)
    }
    let visible =
      shape.isCausal ? members.lowerBound..<firstAfter(rows[rows.count - 1], members, tokens) : members
    if configuration.duplicates == .drop && round > 0 {
      let words = visible.map { place in word(key: Int(tokens[place]), rows, round: round) }
      return [run(visible, list.bitMask(words))]
    }
    guard shape.isCausal else { return [run(visible, .full)] }
    let full = members.lowerBound..<firstAfter(rows[0], members, tokens)
    return [run(full, .full), run(full.upperBound..<visible.upperBound, BandSegments.causal.mask)]
  }

  /// The place of the first member after a row's position.
  private func firstAfter(_ row: Int32, _ members: Range<Int>, _ tokens: [Int32]) -> Int {
    let position = Int(row) + shape.queryOffset
    var (low, high) = (members.lowerBound, members.upperBound)
    while low < high {
      let middle = (low + high) / 2
      if Int(tokens[middle]) <= position { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private func word(key: Int, _ rows: [Int32], round: Int) -> UInt64 {
    var word: UInt64 = 0
    for (lane, row) in rows.enumerated() {
      if shape.isCausal && key > Int(row) + shape.queryOffset { continue }
      let isMetEarlier = (0..<round).contains { earlier in
        queries[earlier][queries[earlier].startIndex + Int(row)]
          == keys[earlier][keys[earlier].startIndex + key]
      }
      if !isMetEarlier { word |= 1 << UInt64(lane) }
    }
    return word
  }
}
