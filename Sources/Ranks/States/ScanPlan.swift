import AttentionCore
import Settings
import Tensors

/// Who has which rows of a recurrence, and in which order its states pass through them: the same on every rank.
///
/// Causal, a state passes through the runs of keys in rising order, P − 1 times from rank to rank where each rank has one run, whatever the
/// length. Without causality a rank's keys are added up in whatever order, and every rank gets the sum.
struct ScanPlan: Sendable {
  /// The sizes of the whole problem.
  let shape: AttentionShape
  let recurrence: Recurrence
  let rank: Int, count: Int
  let queries: SequenceLayout, keys: SequenceLayout
  /// In the order in which states pass.
  let segments: [Segment]

  /// Rows that are scanned at once.
  struct Segment: Sendable {
    var rank: Int
    /// Places in the rows of that rank.
    var queries: Range<Int>, keys: Range<Int>
    /// Of every sequence; `nil`: all keys are valid.
    var validKeys: [Int]?
  }

  /// - Throws: `ConfigurationError` for heads that are to travel, or a layout that queries and keys do not share.
  init(_ variant: any RecurrentVariant, rank: Int, count: Int, options: RankOptions)
    throws(ConfigurationError)
  {
    let shape = variant.shape, recurrence = variant.recurrence
    guard options.road == .keys else {
      throw ConfigurationError(
        field: "ranks", value: "\(count) with \(variant.card.id), heads moving",
        allowed: "rows that stay where they are: of a recurrence states move")
    }
    guard shape.queryLength == shape.keyLength || (options.layout == nil && recurrence.skip == nil) else {
      throw ConfigurationError(
        field: "ranks",
        value: "\(count) with \(shape.queryLength) queries and \(shape.keyLength) keys of \(variant.card.id)",
        allowed: "as many queries as keys where the layout is given, or a token passes by the state")
    }
    (self.shape, self.recurrence, self.rank, self.count) = (shape, recurrence, rank, count)
    keys = options.layout ?? .contiguous(shape.keyLength, ranks: count)
    if shape.queryLength == shape.keyLength {
      queries = keys
    } else {
      queries = shape.isCausal ? Self.aligned(keys, shape) : .contiguous(shape.queryLength, ranks: count)
    }
    let (queries, keys) = (queries, keys)
    segments =
      shape.isCausal
      ? Self.runs(queries, keys, shape)
      : (0..<count).map { rank in
        let own = keys.rows[rank]
        return Segment(
          rank: rank, queries: 0..<queries.rows[rank].count, keys: 0..<own.count,
          validKeys: shape.keyLengths.map { $0.map { own.count(before: $0) } })
      }
  }

  /// The query rows of every rank: those that stand at its keys, and before the first key those of the rank that has it.
  private static func aligned(_ keys: SequenceLayout, _ shape: AttentionShape) -> SequenceLayout {
    var border = 0
    return SequenceLayout(
      length: shape.queryLength,
      rows: keys.rows.map { own in
        guard let end = own.runs.last?.upperBound else { return RowRuns([]) }
        let start = border
        border = min(shape.queryLength, max(0, end - shape.queryOffset))
        return RowRuns([start..<border])
      })
  }

  private static func runs(
    _ queries: SequenceLayout, _ keys: SequenceLayout, _ shape: AttentionShape
  ) -> [Segment] {
    let isOne = queries == keys
    var found: [(start: Int, segment: Segment)] = []
    for (rank, own) in keys.rows.enumerated() {
      var place = 0
      for run in own.runs {
        let rows = place..<place + run.count
        place = rows.upperBound
        let valid = shape.keyLengths.map { $0.map { min(max(0, $0 - run.lowerBound), run.count) } }
        found.append(
          (
            run.lowerBound,
            Segment(
              rank: rank, queries: isOne ? rows : 0..<queries.rows[rank].count, keys: rows, validKeys: valid)
          ))
      }
    }
    return found.sorted { $0.start < $1.start }.map(\.segment)
  }

  /// The sizes of a segment; one without rows of q, or without keys, has one that says nothing.
  func shape(of segment: Segment) throws -> AttentionShape {
    var part = shape
    part.queryLength = max(1, segment.queries.count)
    part.keyLength = max(1, segment.keys.count)
    part.keyLengths =
      segment.keys.isEmpty ? [Int](repeating: 0, count: shape.batch) : segment.validKeys
    try part.validate()
    return part
  }
}
