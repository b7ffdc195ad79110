import Attention
import AttentionCore
import Parameters
import Tensors

/// Keys and values of one self-attention layer during generation, cut to what later queries can still see.
///
/// A sliding window keeps its `sinks` and the last `left·dilation + 1` rows; chunked attention drops whole chunks that
/// no later query sees; every other variant keeps all. The rows that are kept stand so that the variant itself, planned
/// for their number, gives the same result as over the whole sequence.
struct KeyValueCache {
  private(set) var key: Tensor?
  private(set) var value: Tensor?
  let attention: LayerAttention

  init(_ attention: LayerAttention) { self.attention = attention }

  /// Whether a causal row of the variant sees the same keys however many follow, so that what was computed for it stays
  /// valid. random-sparse gives the last block a row of its own and lsh sorts the whole sequence; of a variant that is
  /// not known here nothing is assumed.
  static func serves(_ attention: LayerAttention) -> Bool {
    switch attention.id {
    case "full", "full-materialized", "sliding-window", "local-global": true
    case "chunked": attention.settings["circular"] != .bool(true)
    default: false
    }
  }

  /// Rows held.
  var rows: Int { key?.shape[2] ?? 0 }
  /// Bytes held.
  var bytes: Int { 4 * ((key?.count ?? 0) + (value?.count ?? 0)) }

  /// Adds rows behind those that are held.
  mutating func append(key new: Tensor, value newValue: Tensor, _ compute: Compute) throws {
    guard let key, let value else {
      (self.key, self.value) = (new, newValue)
      return
    }
    self.key = try compute.stackRows([(key, 0..<key.shape[2]), (new, 0..<new.shape[2])])
    self.value = try compute.stackRows([(value, 0..<value.shape[2]), (newValue, 0..<newValue.shape[2])])
  }

  /// Drops what no later query can see.
  mutating func trim(_ compute: Compute) throws {
    guard let key, let value else { return }
    let dropped = droppable(rows: key.shape[2])
    guard !dropped.isEmpty else { return }
    let kept = [0..<dropped.lowerBound, dropped.upperBound..<key.shape[2]]
    self.key = try compute.stackRows(kept.map { (key, $0) })
    self.value = try compute.stackRows(kept.map { (value, $0) })
  }

  /// Rows that the next query, and all after it, cannot see.
  func droppable(rows: Int) -> Range<Int> {
    func setting(_ name: String, _ fallback: Int) -> Int {
      if case .int(let number)? = attention.settings[name] { number } else { fallback }
    }
    switch attention.id {
    case "sliding-window":
      // The next query stands at `rows` and reaches back left·dilation: its own row is still to come.
      let defaults = SlidingWindow.Configuration()
      let reach = setting("left", defaults.left) * setting("dilation", defaults.dilation)
      let sinks = setting("sinks", defaults.sinks)
      return min(sinks, rows)..<max(min(sinks, rows), rows - reach)
    case "chunked":
      let defaults = ChunkedAttention.Configuration()
      let chunk = setting("chunk", defaults.chunk), before = setting("before", defaults.before)
      let overlap = setting("overlap", defaults.overlap)
      let start = rows / chunk * chunk - before * chunk - overlap
      return 0..<max(0, start) / chunk * chunk
    default: return 0..<0
    }
  }
}
