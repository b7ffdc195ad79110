import AttentionCore
import Tensors

/// Keys and values of one layer of one sequence, as far as a later query can see them.
///
/// Which keys no later query sees is the variant's to say (`VariantConfiguration.unseenKeys`). The rows that are held
/// stand for a shorter sequence with the same answers: a causal query is aligned with the last key, and what is dropped
/// leaves the distances that the variant goes by as they were.
struct KeyValueCache {
  private var keys: RowBuffer?
  private var values: RowBuffer?
  private let unseen: @Sendable (Int) -> Range<Int>?

  /// - Parameter unseen: the keys, of so many, that no query behind them sees; `nil`: none is dropped.
  init(unseen: @escaping @Sendable (Int) -> Range<Int>? = { _ in nil }) { self.unseen = unseen }

  /// The keys `[1, heads, rows, dim]` that are held.
  var key: Tensor? { keys?.rows }
  /// The values.
  var value: Tensor? { values?.rows }
  /// Bytes of both.
  var bytes: Int { (keys?.byteCount ?? 0) + (values?.byteCount ?? 0) }

  /// Adds rows behind those that are held.
  mutating func append(key: Tensor, value: Tensor, _ context: ExecutionContext) throws {
    guard keys != nil else {
      keys = try RowBuffer(key, ledger: context.ledger)
      values = try RowBuffer(value, ledger: context.ledger)
      return
    }
    try keys?.append(key)
    try values?.append(value)
  }

  /// Drops what no later query can see; returns which rows that was.
  mutating func trim() throws -> Range<Int>? {
    guard let count = keys?.count, let dropped = unseen(count), !dropped.isEmpty else { return nil }
    try keys?.remove(dropped)
    try values?.remove(dropped)
    return dropped
  }
}
