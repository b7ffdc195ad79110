import AttentionCore
import Tensors

/// Which rows of a sequence every rank holds: a rank's rows stand one after the other in its tensors, in rising order.
public struct SequenceLayout: Hashable, Sendable {
  /// Rows of the whole sequence.
  public let length: Int
  /// The rows of every rank.
  public let rows: [RowRuns]

  /// Gives rows to ranks.
  /// - Precondition: every row belongs to one rank.
  public init(length: Int, rows: [RowRuns]) {
    precondition(
      RowRuns(rows.flatMap(\.runs)) == RowRuns(all: length) && rows.reduce(0) { $0 + $1.count } == length,
      "rows of \(rows.count) ranks are not those of a sequence of \(length)")
    self.length = length
    self.rows = rows
  }

  /// Rank r holds one run of rows, up to the r-th border.
  public init(length: Int, borders: [Int]) {
    let ends = borders + [length]
    self.init(
      length: length, rows: zip([0] + borders, ends).map { RowRuns([$0..<max($0, $1)]) })
  }

  /// Runs of equal lengths, give or take one row.
  public static func contiguous(_ length: Int, ranks: Int) -> SequenceLayout {
    SequenceLayout(length: length, borders: (1..<max(1, ranks)).map { length * $0 / ranks })
  }

  /// Rank r holds the chunks r and 2P − 1 − r of 2P: where a row sees what is before it, every rank has as many pairs.
  public static func zigzag(_ length: Int, ranks: Int) -> SequenceLayout {
    func chunk(_ number: Int) -> Range<Int> {
      length * number / (2 * ranks)..<length * (number + 1) / (2 * ranks)
    }
    return SequenceLayout(
      length: length, rows: (0..<ranks).map { RowRuns([chunk($0), chunk(2 * ranks - 1 - $0)]) })
  }

  /// The part of a tensor `[batch, heads, length, dim]` that a rank holds, as a tensor of its own.
  /// - Throws: `MemoryLimitExceeded`.
  public func part(
    of tensor: Tensor, rank: Int, ledger: MemoryLedger? = nil
  ) throws(MemoryLimitExceeded) -> Tensor {
    let block = try Tensor.packed([tensor], rows: rows[rank], ledger: ledger)
    return block.reshaped([tensor.shape[0], tensor.shape[1], rows[rank].count, tensor.shape[3]])
  }

  /// The whole tensor from the parts of all ranks.
  /// - Throws: `MemoryLimitExceeded`.
  public func whole(_ parts: [Tensor], ledger: MemoryLedger? = nil) throws(MemoryLimitExceeded) -> Tensor {
    let (batch, heads, dim) = (parts[0].shape[0], parts[0].shape[1], parts[0].shape[3])
    var whole = try Tensor(zeros: [batch, heads, length, dim], ledger: ledger)
    for (part, rows) in zip(parts, rows) { whole.add(part, toRows: rows) }
    return whole
  }
}
