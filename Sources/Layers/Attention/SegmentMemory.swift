import Tensors

/// What a model keeps of the segments that it has read (Transformer-XL): of every stream and layer the rows that attention read,
/// before their norm, as numbers without a gradient.
///
/// A layer makes keys and values of these rows and of the segment's own, so that in every layer a row sees up to `capacity`
/// positions before its segment, and through L layers up to L·capacity. All layers of a stream hold as many positions; streams
/// may differ, for a text may begin in one of them.
/// - Complexity: O(streams·layers·capacity·width) memory.
/// - Source: Dai et al., 2019, Transformer-XL, section 3.2.
public final class SegmentMemory {
  private struct Stream {
    /// By layer, `[count, width]`; of a layer that is not there: zeros.
    var rows: [String: Tensor] = [:]
    var count = 0
  }

  /// The most positions that a stream holds.
  public let capacity: Int
  /// Whether a text begins behind `capacity` rows of zeros, and not behind nothing.
  public let startsWithZeros: Bool
  private var streams: [Stream]

  /// An empty memory.
  /// - Parameters:
  ///   - streams: texts that are read beside each other.
  ///   - capacity: the most positions that each holds.
  ///   - startsWithZeros: whether a text begins behind rows of zeros.
  public init(streams: Int, capacity: Int, startsWithZeros: Bool = false) {
    (self.capacity, self.startsWithZeros) = (capacity, startsWithZeros)
    self.streams = []
    self.streams = [Stream](repeating: fresh, count: streams)
  }

  private var fresh: Stream { Stream(rows: [:], count: startsWithZeros ? capacity : 0) }

  /// Texts that are read beside each other.
  public var streamCount: Int { streams.count }
  /// Bytes of all rows that are held.
  public var byteCount: Int {
    streams.reduce(0) { $0 + $1.rows.values.reduce(0) { $0 + 4 * $1.count } }
  }
  /// Positions that a stream holds.
  public func count(of stream: Int) -> Int { streams[stream].count }

  /// Forgets what some streams have read: a new text begins there.
  public func forget(where begins: [Bool]) {
    for (stream, begins) in begins.enumerated() where begins { streams[stream] = fresh }
  }

  /// The streams that hold as many positions as each other, those with the fewest first: what one pass can read.
  package var groups: [[Int]] {
    Dictionary(grouping: streams.indices) { streams[$0].count }.sorted { $0.key < $1.key }.map(\.value)
  }

  /// What some streams, which hold as many positions, have before their next segments.
  package func past(of group: [Int]) -> Past {
    Past(count: streams[group[0]].count, capacity: capacity, rows: group.map { streams[$0].rows })
  }

  /// Takes what a pass over the next segments of some streams left behind.
  package func keep(_ past: Past, of group: [Int]) {
    for (place, stream) in group.enumerated() {
      let rows = past.left.mapValues { $0[place] }
      streams[stream] = Stream(rows: rows, count: rows.values.first?.shape[0] ?? 0)
    }
  }

  // MARK: - Files

  /// All rows by name: `{stream}.{layer}`.
  package var named: [String: Tensor] {
    var result: [String: Tensor] = [:]
    for (number, stream) in streams.enumerated() {
      for (layer, rows) in stream.rows { result["\(number).\(layer)"] = rows }
    }
    return result
  }

  /// Takes rows by name; streams of which there are none start afresh.
  /// - Returns: a name whose rows do not fit: no such stream, more than `capacity` rows, or not as many as in another layer;
  ///   `nil`: all fit. Nothing is changed unless they do.
  package func restore(_ named: [String: Tensor]) -> String? {
    var restored = [Stream](repeating: fresh, count: streams.count)
    for (name, rows) in named.sorted(by: { $0.key < $1.key }) {
      let parts = name.split(separator: ".", maxSplits: 1)
      guard parts.count == 2, let stream = Int(parts[0]), streams.indices.contains(stream), rows.rank == 2,
        (1...max(1, capacity)).contains(rows.shape[0]),
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

  init(count: Int, capacity: Int, rows: [[String: Tensor]]) {
    (self.count, self.capacity, self.rows) = (count, capacity, rows)
  }

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
