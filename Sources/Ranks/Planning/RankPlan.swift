import AttentionCore
import Tensors

/// What moves between two ranks, one that holds rows of q and one that holds keys which those rows see.
///
/// A pair is computed where its query is or where its key is. Keys move, once, to the rank of the queries. But the queries of
/// rows that see more than half of the other's keys move to the keys where that is less than a quarter of the bytes: a few
/// global rows of a window, one new query against a long cache. (Work moves with queries, so that half the bytes, which zigzag
/// parts would give, is no reason: it would undo the balance.)
struct RankLeg: Sendable {
  /// Rows of q that move to the keys: places in the rows of the queries' rank.
  var movingQueries: RowRuns
  /// Keys that move to the rows of q, in pieces: places in the keys of their rank.
  var movingKeys: [RowRuns]
}

/// Who sends what to whom in which order: worked out once from the tiles of a variant, the same on every rank.
struct RankPlan: Sendable {
  /// The sizes of the whole problem.
  let shape: AttentionShape
  let scale: Double
  let rank: Int
  let count: Int
  let queries: SequenceLayout
  let keys: SequenceLayout
  let options: RankOptions
  /// The pairs of the rank's own rows and its own keys, forward and backward.
  let own: PassPatterns
  /// By distance: the rank `rank + s`, whose keys the own rows see.
  let sources: [Source]
  /// By distance: the rank `rank − s`, whose rows see the own keys.
  let targets: [Target]

  /// The same pairs in the tiles of both passes.
  struct PassPatterns: Sendable {
    var forward: TilePattern, backward: TilePattern

    func mapped(_ change: (TileList) -> TileList) -> PassPatterns {
      PassPatterns(forward: forward.mapped(change), backward: backward.mapped(change))
    }
    /// The patterns of some query heads alone.
    func narrowed(toHeads heads: Range<Int>, of shape: AttentionShape) -> PassPatterns {
      func narrowed(_ pattern: TilePattern) -> TilePattern {
        if pattern.lists.count == 1 { return pattern }
        let lists = (0..<shape.batch).flatMap { batch in
          heads.map { pattern.list(batch: batch, head: $0) }
        }
        return TilePattern(perBatchAndHead: lists, heads: heads.count)
      }
      return PassPatterns(forward: narrowed(forward), backward: narrowed(backward))
    }
    /// Whether no pair is left.
    var isEmpty: Bool { forward.lists.allSatisfy(\.tiles.isEmpty) }
  }

  /// A rank whose keys are seen.
  struct Source: Sendable {
    var rank: Int
    var leg: RankLeg
    /// The pairs of the own rows that stay with the keys that move here.
    var patterns: PassPatterns
  }

  /// A rank whose rows see the own keys.
  struct Target: Sendable {
    var rank: Int
    var leg: RankLeg
    /// The pairs of its moving queries with the own keys.
    var patterns: PassPatterns
  }

  init(_ variant: any PatternVariant, rank: Int, count: Int, options: RankOptions) {
    shape = variant.shape
    scale = variant.scale
    (self.rank, self.count, self.options) = (rank, count, options)
    let whole = PassPatterns(forward: variant.pattern, backward: variant.backwardPattern)
    if options.road == .heads {
      queries = options.layout ?? .contiguous(shape.queryLength, ranks: count)
      keys = shape.keyLength == queries.length ? queries : .contiguous(shape.keyLength, ranks: count)
      (own, sources, targets) = (whole, [], [])
      return
    }
    let fitting = SequenceLayout.fitting(whole.forward, variant.shape, ranks: count)
    queries = options.layout ?? fitting.queries
    keys = shape.keyLength == queries.length ? queries : fitting.keys
    let pairs = RankPairs(
      shape: variant.shape, whole: whole, queries: queries, keys: keys, pieceRows: options.pieceRows)
    own = pairs.patterns(of: rank, seeing: rank)
    sources = (1..<max(1, count)).map { distance in
      let other = (rank + distance) % count
      let (leg, patterns) = pairs.leg(of: rank, seeing: other)
      let staying = leg.movingQueries.complement(in: pairs.queries.rows[rank].count)
      let held = RowRuns(all: pairs.keys.rows[other].count)
      return Source(
        rank: other, leg: leg,
        patterns: leg.movingQueries.isEmpty
          ? patterns
          : patterns.mapped {
            $0.restricted(queryOffset: 0, rows: staying, keys: held, renumbersRows: false)
          })
    }
    targets = (1..<max(1, count)).map { distance in
      let other = (rank - distance + count) % count
      let (leg, patterns) = pairs.leg(of: other, seeing: rank)
      let held = RowRuns(all: pairs.keys.rows[rank].count)
      return Target(
        rank: other, leg: leg,
        patterns: patterns.mapped {
          $0.restricted(queryOffset: 0, rows: leg.movingQueries, keys: held)
        })
    }
  }

  /// The exchanges of keys in the order in which every rank makes them: what comes and what goes at a time.
  struct Slot: Sendable {
    var source: Int, target: Int
    var incoming: RowRuns?, outgoing: RowRuns?
  }

  /// From `rank + s` come n pieces, the i-th at time i/n, and to `rank − s` go m, the j-th at j/m: whoever has half as many pieces
  /// to get as to send gets one for two, so that neither rank waits for the other's pace (the chunks of zigzag are such).
  ///
  /// A slot is a time at which there is either. All ranks go through their slots by (s, time), which a message has in common for
  /// both its ends, and wait only for messages of slots that they have reached: the earliest slot always goes on.
  var slots: [Slot] {
    zip(sources, targets).enumerated().flatMap { index, pair in
      let (coming, going) = (pair.0.leg.movingKeys, pair.1.leg.movingKeys)
      var (i, j) = (0, 0), slots: [Slot] = []
      while i < coming.count || j < going.count {
        // Where one leg is at its end, its time is 1.
        let (own, other) = (i * max(1, going.count), j * max(1, coming.count))
        let comes = i < coming.count && (own <= other || j == going.count)
        let goes = j < going.count && (other <= own || i == coming.count)
        slots.append(
          Slot(
            source: index, target: index, incoming: comes ? coming[i] : nil, outgoing: goes ? going[j] : nil))
        i += comes ? 1 : 0
        j += goes ? 1 : 0
      }
      return slots
    }
  }

  /// The valid keys of every sequence among some keys of a rank; `nil`: all of all.
  func validKeys(_ places: RowRuns, of other: Int) -> [Int]? {
    guard shape.keyLengths != nil else { return nil }
    return (0..<shape.batch).map { batch in
      places.count(before: keys.rows[other].count(before: shape.validKeys(batch: batch)))
    }
  }
}

/// How a sequence is spread over ranks.
public struct RankOptions: Hashable, Sendable {
  /// Keys of a message, at most: a rank holds two incoming and two outgoing ones besides its own rows.
  public var pieceRows = 1024
  /// Rows of q that are computed against a piece at a time: their partial results are all that is held of them.
  public var rowsAtOnce = 2048
  /// What travels.
  public var road = Road.keys
  /// Which rows every rank holds; `nil`: what fits the pattern.
  public var layout: SequenceLayout?

  /// What travels between ranks.
  public enum Road: String, CaseIterable, Hashable, Sendable {
    /// The keys that rows see (and few queries that see many): ring, zigzag and halo, by the pattern.
    case keys
    /// Rows of all operands, each head to one rank (Ulysses).
    case heads
  }

  /// The defaults.
  public init() {}
}

/// The pairs between ranks, from the pattern of the whole problem.
private struct RankPairs {
  let shape: AttentionShape
  let whole: RankPlan.PassPatterns
  let queries: SequenceLayout, keys: SequenceLayout
  let pieceRows: Int

  func patterns(of rank: Int, seeing other: Int) -> RankPlan.PassPatterns {
    whole.mapped {
      $0.restricted(queryOffset: shape.queryOffset, rows: queries.rows[rank], keys: keys.rows[other])
    }
  }

  /// What moves, and all pairs between the two.
  func leg(of rank: Int, seeing other: Int) -> (RankLeg, RankPlan.PassPatterns) {
    let patterns = patterns(of: rank, seeing: other)
    // Keys that every sequence masks need not move.
    let longest = (0..<shape.batch).map { shape.validKeys(batch: $0) }.max() ?? 0
    let valid = keys.rows[other].count(before: longest)
    let all = seen(patterns.forward.lists, valid: valid)
    let wide = wideRows(patterns.forward.lists, of: valid)
    let rest = wide.complement(in: queries.rows[rank].count)
    let held = RowRuns(all: keys.rows[other].count)
    let few =
      wide.isEmpty
      ? all
      : seen(
        patterns.forward.lists.map { $0.restricted(queryOffset: 0, rows: rest, keys: held) }, valid: valid)
    let moves = 4 * bytes(queries: wide.count, keys: few.count) < bytes(queries: 0, keys: all.count)
    return (
      RankLeg(
        movingQueries: moves ? wide : RowRuns([]), movingKeys: (moves ? few : all).parts(of: pieceRows)),
      patterns
    )
  }

  /// Bytes that move in a forward pass.
  private func bytes(queries: Int, keys: Int) -> Double {
    let (d, e) = (shape.headDim, shape.valueDim), size = shape.precision.byteCount
    let perQuery = shape.queryHeads * (d * size + (e + 1) * 4), perKey = shape.keyHeads * (d + e) * size
    return Double(shape.batch) * (Double(queries * perQuery) + Double(keys * perKey))
  }

  private func seen(_ lists: [TileList], valid: Int) -> RowRuns {
    let runs = lists.flatMap(\.keysSeen.runs)
    return RowRuns(runs.map { $0.clamped(to: 0..<valid) })
  }

  /// Rows that see more than half of the other's valid keys in some list.
  private func wideRows(_ lists: [TileList], of valid: Int) -> RowRuns {
    var runs: [Range<Int>] = []
    for list in lists {
      for tile in list.tiles where list.segments(of: tile).reduce(0, { $0 + Int($1.count) }) * 2 > valid {
        runs += list.rows(of: tile).map { $0..<$0 + 1 }
      }
    }
    return RowRuns(runs)
  }
}
