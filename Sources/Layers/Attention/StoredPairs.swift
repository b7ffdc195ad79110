import AttentionCore
import Tensors

/// Keys and values of earlier rows of one text, as numbers without a gradient: `[1, key heads, rows, d]` each.
struct StoredPairs {
  private(set) var keys: RowBuffer
  private(set) var values: RowBuffer

  /// - Throws: `MemoryLimitExceeded`.
  init(keys: Tensor, values: Tensor, ledger: MemoryLedger?) throws(MemoryLimitExceeded) {
    self.keys = try RowBuffer(keys, ledger: ledger)
    self.values = try RowBuffer(values, ledger: ledger)
  }

  var count: Int { keys.count }
  var byteCount: Int { keys.byteCount + values.byteCount }

  /// Adds the pairs of later rows and drops the oldest beyond a limit.
  /// - Throws: `MemoryLimitExceeded`.
  mutating func append(keys newKeys: Tensor, values newValues: Tensor, limit: Int) throws(MemoryLimitExceeded)
  {
    try keys.append(newKeys)
    try values.append(newValues)
    let dropped = 0..<max(0, count - limit)
    try keys.remove(dropped)
    try values.remove(dropped)
  }
}

/// The keys and values that the sequences of a pass may look up in one layer.
struct StoredRows {
  /// `[batch, key heads, the most pairs of a sequence, d]`; zeros behind those of a sequence that has fewer.
  let keys: Tensor
  let values: Tensor
  /// Pairs of every sequence.
  let counts: [Int]

  /// - Parameter pairs: of every sequence; `nil`: it has none.
  /// - Returns: `nil` when no sequence has any.
  init?(_ pairs: [StoredPairs?], _ context: ExecutionContext) throws {
    counts = pairs.map { $0?.count ?? 0 }
    guard let first = pairs.lazy.compactMap(\.self).first, let longest = counts.max(), longest > 0 else {
      return nil
    }
    if pairs.count == 1 {
      (keys, values) = (first.keys.rows, first.values.rows)
      return
    }
    func side(_ rows: (StoredPairs) -> Tensor) throws -> Tensor {
      let one = rows(first), heads = one.shape[1], dim = one.shape[3]
      var all = try context.zeros([pairs.count, heads, longest, dim])
      for (sequence, pair) in pairs.enumerated() {
        guard let own = pair.map(rows) else { continue }
        for head in 0..<heads {
          all.replace(
            from: (sequence * heads + head) * longest * dim,
            with: own.narrowed(axis: 1, to: head..<head + 1))
        }
      }
      return all
    }
    keys = try side { $0.keys.rows }
    values = try side { $0.values.rows }
  }
}
