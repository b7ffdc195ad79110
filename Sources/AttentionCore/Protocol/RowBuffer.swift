import Tensors

/// Rows `[batch, heads, length, dim]` that grow at the end and lose rows at the front or inside, in place: one side of a
/// key–value cache.
///
/// Room is kept for an eighth more rows and 16, so that a row appended costs O(1) moves of rows, not O(length).
public struct RowBuffer: Sendable {
  private var storage: Tensor
  private var held: Range<Int>
  private let ledger: MemoryLedger?

  /// Starts with the rows of a tensor.
  /// - Throws: `MemoryLimitExceeded`.
  public init(_ rows: Tensor, ledger: MemoryLedger? = nil) throws(MemoryLimitExceeded) {
    precondition(rows.rank == 4, "heads [batch, heads, length, dim] expected, not \(rows.shape)")
    self.ledger = ledger
    (storage, held) = (rows, 0..<0)
    storage = try Tensor(uninitialized: shape(rows: RowBuffer.capacity(for: rows.shape[2])), ledger: ledger)
    write(rows)
  }

  /// How many rows are held.
  public var count: Int { held.count }
  /// Bytes of the rows that are held, without the room for more.
  public var byteCount: Int { 4 * shape(rows: count).reduce(1, *) }
  /// Rows that fit before anything is moved or made.
  public var capacity: Int { storage.shape[2] }

  /// The rows; a view that must be gone before the next change, which else copies everything.
  public var rows: Tensor { storage.narrowed(axis: 2, to: held) }

  /// Adds rows behind those that are held.
  /// - Complexity: O(rows added) on average.
  /// - Throws: `MemoryLimitExceeded`; nothing is changed then.
  public mutating func append(_ rows: Tensor) throws(MemoryLimitExceeded) {
    precondition(
      rows.shape == shape(rows: rows.shape[2]), "rows \(rows.shape) do not fit behind \(storage.shape)")
    if held.upperBound + rows.shape[2] > capacity {
      let needed = count + rows.shape[2]
      // Enough room in front makes as many appends cheap as a new block would.
      if needed <= capacity, held.lowerBound >= count / 8 {
        slide(held, to: 0)
      } else {
        try resize(RowBuffer.capacity(for: needed))
      }
    }
    write(rows)
  }

  /// Drops rows; those behind them close up.
  /// - Parameter range: counted from the first row that is held.
  /// - Complexity: O(rows before or behind the range, whichever are fewer); O(rows left) when much room becomes free.
  /// - Throws: `MemoryLimitExceeded`.
  public mutating func remove(_ range: Range<Int>) throws(MemoryLimitExceeded) {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "rows \(range) of \(count)")
    guard !range.isEmpty else { return }
    let first = held.lowerBound, gap = first + range.lowerBound..<first + range.upperBound
    if range.lowerBound <= count - range.upperBound {
      let end = held.upperBound
      slide(first..<gap.lowerBound, to: first + range.count)
      held = first + range.count..<end
    } else {
      let kept = held.upperBound - range.count
      slide(gap.upperBound..<held.upperBound, to: gap.lowerBound)
      held = first..<kept
    }
    if capacity > count + count / 4 + 64 { try resize(RowBuffer.capacity(for: count)) }
  }

  private static func capacity(for rows: Int) -> Int { rows + rows / 8 + 16 }

  private func shape(rows: Int) -> [Int] { [storage.shape[0], storage.shape[1], rows, storage.shape[3]] }

  private mutating func write(_ rows: Tensor) {
    let source = rows.contiguous(), added = rows.shape[2], dim = rows.shape[3], stride = capacity * dim
    let start = held.upperBound * dim, heads = rows.shape[0] * rows.shape[1]
    let sourceView = source.pinned()
    let target = storage.pinnedForWriting()
    for head in 0..<heads {
      (target + head * stride + start).update(from: sourceView + head * added * dim, count: added * dim)
    }
    held = held.lowerBound..<held.upperBound + added
  }

  /// Moves rows of the block within it; `held` then begins where they lie.
  private mutating func slide(_ rows: Range<Int>, to place: Int) {
    let dim = storage.shape[3], stride = capacity * dim, heads = storage.shape[0] * storage.shape[1]
    let base = storage.pinnedForWriting()
    for head in 0..<heads {
      (base + head * stride + place * dim)
        .update(from: base + head * stride + rows.lowerBound * dim, count: rows.count * dim)
    }
    if rows == held { held = place..<place + rows.count }
  }

  private mutating func resize(_ capacity: Int) throws(MemoryLimitExceeded) {
    let old = rows
    storage = try Tensor(uninitialized: shape(rows: capacity), ledger: ledger)
    held = 0..<0
    write(old)
  }
}
