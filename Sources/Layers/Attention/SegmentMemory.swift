import Tensors

/// What a model keeps of the segments that it has read (Transformer-XL): of every stream and layer the rows that attention read,
/// before their norm, as numbers without a gradient.
///
/// A layer makes keys and values of these rows and of the segment's own, so that in every layer a row sees up to `capacity`
/// positions before its segment, and through L layers up to L·capacity. All layers of a stream hold as many positions; streams
/// may differ, for a text may begin in one of them. A layer that looks up stored keys (`StoredAttention`) has those of its streams
/// here too.
/// - Complexity: O(streams·layers·capacity·width) memory.
/// - Source: Dai et al., 2019, Transformer-XL, section 3.2.
public final class SegmentMemory {
  private struct Stream {
    /// By layer, `[count, width]`; of a layer that is not there: zeros.
    var rows: [String: Tensor] = [:]
    var count = 0
    /// Keys and values by layer.
    var pairs: [String: StoredPairs] = [:]
  }

  /// The most positions that a stream holds.
  public let capacity: Int
  /// Whether a text begins behind `capacity` rows of zeros, and not behind nothing.
  public let startsWithZeros: Bool
  /// The most pairs of a key and a value that a layer which looks them up has of a stream.
  public let pairCapacity: Int
  /// Whether pairs outlive the text that they are of.
  public let keepsPairs: Bool
  private var streams: [Stream]

  /// An empty memory.
  /// - Parameters:
  ///   - streams: texts that are read beside each other.
  ///   - capacity: the most positions that each holds.
  ///   - startsWithZeros: whether a text begins behind rows of zeros.
  ///   - pairCapacity: the most stored pairs of each.
  ///   - keepsPairs: whether they outlive the text that they are of.
  public init(
    streams: Int, capacity: Int, startsWithZeros: Bool = false, pairCapacity: Int = 0,
    keepsPairs: Bool = false
  ) {
    (self.capacity, self.startsWithZeros) = (capacity, startsWithZeros)
    (self.pairCapacity, self.keepsPairs) = (pairCapacity, keepsPairs)
    self.streams = []
    self.streams = [Stream](repeating: fresh, count: streams)
  }

  private var fresh: Stream { Stream(rows: [:], count: startsWithZeros ? capacity : 0) }

  /// Texts that are read beside each other.
  public var streamCount: Int { streams.count }
  /// Bytes of all rows and pairs that are held.
  public var byteCount: Int {
    streams.reduce(0) { total, stream in
      total + stream.rows.values.reduce(0) { $0 + 4 * $1.count }
        + stream.pairs.values.reduce(0) { $0 + $1.byteCount }
    }
  }
  /// Pairs that a layer has stored of a stream.
  func pairCount(of stream: Int, _ layer: String) -> Int { streams[stream].pairs[layer]?.count ?? 0 }
  /// Positions that a stream holds.
  public func count(of stream: Int) -> Int { streams[stream].count }

  /// Forgets what some streams have read: a new text begins there.
  public func forget(where begins: [Bool]) {
    for (stream, begins) in begins.enumerated() where begins {
      let pairs = streams[stream].pairs
      streams[stream] = fresh
      if keepsPairs { streams[stream].pairs = pairs }
    }
  }

  /// The streams that hold as many positions as each other, those with the fewest first: what one pass can read.
  package var groups: [[Int]] {
    Dictionary(grouping: streams.indices) { streams[$0].count }.sorted { $0.key < $1.key }.map(\.value)
  }

  /// What some streams, which hold as many positions, have before their next segments.
  package func past(of group: [Int]) -> Past {
    Past(
      count: streams[group[0]].count, capacity: capacity, rows: group.map { streams[$0].rows },
      pairs: group.map { streams[$0].pairs })
  }

  /// Takes what a pass over the next segments of some streams left behind.
  /// - Throws: `MemoryLimitExceeded`.
  package func keep(_ past: Past, of group: [Int], _ context: ExecutionContext) throws {
    for (place, stream) in group.enumerated() {
      let rows = past.left.mapValues { $0[place] }
      streams[stream].rows = rows
      streams[stream].count = rows.values.first?.shape[0] ?? 0
      guard pairCapacity > 0 else { continue }
      for (layer, all) in past.leftPairs {
        let own = place..<place + 1
        try store(
          all.keys.narrowed(axis: 0, to: own), all.values.narrowed(axis: 0, to: own), in: layer, of: stream,
          ledger: context.ledger)
      }
    }
  }

  private func store(
    _ keys: Tensor, _ values: Tensor, in layer: String, of stream: Int, ledger: MemoryLedger?
  ) throws {
    guard streams[stream].pairs[layer] != nil else {
      let last = max(0, keys.shape[2] - pairCapacity)..<keys.shape[2]
      streams[stream].pairs[layer] = try StoredPairs(
        keys: keys.narrowed(axis: 2, to: last), values: values.narrowed(axis: 2, to: last), ledger: ledger)
      return
    }
    try streams[stream].pairs[layer]?.append(keys: keys, values: values, limit: pairCapacity)
  }

  // MARK: - Files

  private static let sides = (keys: ".stored_keys", values: ".stored_values")

  /// All rows by name, `{stream}.{layer}`, and pairs `{stream}.{layer}.stored_keys` and `….stored_values`, `[1, key heads, rows, d]`.
  package var named: [String: Tensor] {
    var result: [String: Tensor] = [:]
    for (number, stream) in streams.enumerated() {
      for (layer, rows) in stream.rows { result["\(number).\(layer)"] = rows }
      for (layer, pairs) in stream.pairs {
        result["\(number).\(layer)" + Self.sides.keys] = pairs.keys.rows.contiguous()
        result["\(number).\(layer)" + Self.sides.values] = pairs.values.rows.contiguous()
      }
    }
    return result
  }

  /// The names of the tensors that a stream has of some layers.
  /// - Parameters:
  ///   - stream: its number.
  ///   - layers: those that keep rows.
  ///   - storing: those that look up stored pairs.
  package func names(of stream: Int, layers: [String], storing: [String]) -> [String] {
    let rows: [String] = capacity > 0 ? layers.map { "\(stream).\($0)" } : []
    guard pairCapacity > 0 else { return rows }
    let stored: [String] = storing.map { "\(stream).\($0)" }
    return rows
      + stored.flatMap { (name: String) -> [String] in [name + Self.sides.keys, name + Self.sides.values] }
  }

  /// Takes rows and pairs by name; streams of which there are none start afresh.
  /// - Returns: a name whose rows do not fit: no such stream, more than `capacity` rows, or not as many as in another layer, or
  ///   pairs of which a side is missing or another; `nil`: all fit. Nothing is changed unless they do.
  /// - Throws: `MemoryLimitExceeded`.
  package func restore(_ named: [String: Tensor]) throws(MemoryLimitExceeded) -> String? {
    var restored = [Stream](repeating: fresh, count: streams.count)
    for (name, rows) in named.sorted(by: { $0.key < $1.key }) {
      let parts = name.split(separator: ".", maxSplits: 1)
      guard parts.count == 2, let stream = Int(parts[0]), streams.indices.contains(stream) else {
        return name
      }
      if name.hasSuffix(Self.sides.values) { continue }
      if name.hasSuffix(Self.sides.keys) {
        let layer = String(parts[1].dropLast(Self.sides.keys.count))
        guard let values = named["\(stream).\(layer)" + Self.sides.values], values.shape == rows.shape,
          rows.rank == 4, rows.shape[0] == 1, (1...max(1, pairCapacity)).contains(rows.shape[2])
        else { return name }
        restored[stream].pairs[layer] = try StoredPairs(keys: rows, values: values, ledger: nil)
        continue
      }
      guard rows.rank == 2, (1...max(1, capacity)).contains(rows.shape[0]),
        restored[stream].rows.isEmpty || restored[stream].count == rows.shape[0]
      else { return name }
      restored[stream].rows[String(parts[1])] = rows
      restored[stream].count = rows.shape[0]
    }
    streams = restored
    return nil
  }
}

/// What the sequences of one pass, which have as many positions before them, read of their past, and what they leave behind.
package final class Past {
  /// Positions before every sequence.
  package let count: Int
  private let capacity: Int
  /// Of every sequence by layer, `[count, width]`.
  private let rows: [[String: Tensor]]
  /// By layer, what every sequence leaves: its last `capacity` rows, `[rows, width]`.
  package private(set) var left: [String: [Tensor]] = [:]
  /// Of every sequence by layer.
  private let pairs: [[String: StoredPairs]]
  /// By layer, keys and values of all sequences' own rows, `[batch, key heads, rows, d]`.
  private(set) var leftPairs: [String: (keys: Tensor, values: Tensor)] = [:]

  init(count: Int, capacity: Int, rows: [[String: Tensor]], pairs: [[String: StoredPairs]]) {
    (self.count, self.capacity, self.rows, self.pairs) = (count, capacity, rows, pairs)
  }

  /// What the sequences may look up in a layer; `nil`: nothing is stored of any.
  func stored(for layer: String, _ context: ExecutionContext) throws -> StoredRows? {
    try StoredRows(pairs.map { $0[layer] }, context)
  }

  /// Bytes of the pairs that the sequences leave behind.
  package var pairBytes: Int {
    leftPairs.values.reduce(0) { $0 + 4 * ($1.keys.count + $1.values.count) }
  }

  /// Takes the pairs of the sequences' own rows.
  func leave(keys: Tensor, values: Tensor, of layer: String) { leftPairs[layer] = (keys, values) }

  /// `[batch·(count + length), width]`: for every sequence its past in a layer, then its own rows; and the way back, which ends
  /// at the past. Remembers what the sequences leave behind.
  func before(_ x: Tensor, of layer: String, _ run: LayerRun) throws -> (
    source: Tensor, behind: Pullback?
  ) {
    let context = run.context, batch = rows.count, width = x.shape[1]
    precondition(batch == run.batch, "\(batch) pasts for \(run.batch) sequences")
    let length = x.shape[0] / batch
    var whole = x
    if count > 0 {
      whole = try context.empty([batch * (count + length), width])
      let none = try context.zeros([rows.contains { $0[layer] == nil } ? count : 0, width])
      for sequence in 0..<batch {
        let start = sequence * (count + length) * width
        whole.replace(from: start, with: rows[sequence][layer] ?? none)
        whole.replace(
          from: start + count * width,
          with: x.narrowed(axis: 0, to: sequence * length..<(sequence + 1) * length))
      }
    }
    if !run.isRepeated, capacity > 0 { left[layer] = try last(of: whole, context) }
    guard count > 0 else { return (x, nil) }
    return (whole, Pullback { dy, residual in try context.sum(residual, self.own(dy, context)) })
  }

  /// The last rows of every sequence, as many as are remembered.
  private func last(of whole: Tensor, _ context: ExecutionContext) throws -> [Tensor] {
    let length = whole.shape[0] / rows.count, kept = min(capacity, length)
    return try rows.indices.map { sequence in
      let end = (sequence + 1) * length
      var copy = try context.empty([kept, whole.shape[1]])
      copy.replace(with: whole.narrowed(axis: 0, to: end - kept..<end))
      return copy
    }
  }

  /// The sequences' own rows of all, `[batch·length, width]`.
  func own(_ whole: Tensor, _ context: ExecutionContext) throws -> Tensor {
    let width = whole.shape[1], length = whole.shape[0] / rows.count - count
    var result = try context.empty([rows.count * length, width])
    for sequence in rows.indices {
      let start = sequence * (count + length) + count
      result.replace(
        from: sequence * length * width, with: whole.narrowed(axis: 0, to: start..<start + length))
    }
    return result
  }

  /// Adds rows of the sequences' own to all.
  func accumulate(_ d: Tensor, into whole: inout Tensor, _ context: ExecutionContext) {
    let width = d.shape[1], length = d.shape[0] / rows.count
    for sequence in rows.indices {
      context.accumulate(
        d.narrowed(axis: 0, to: sequence * length..<(sequence + 1) * length), into: &whole,
        at: (sequence * (count + length) + count) * width)
    }
  }
}
