import CKernels
import RealModule

/// Cosines and sines of a rotary position encoding: `[positions, dim/2]`, angle `p·f_i`; `f_i = base^(−2i/dim)` where nothing else is
/// said.
public struct RotaryTable: Sendable {
  /// Which elements of a head form a pair.
  public enum Convention: String, CaseIterable, Hashable, Sendable {
    /// (2i, 2i + 1), as in the paper.
    case interleaved
    /// (i, i + d/2), Hugging Face's `rotate_half`.
    case half
  }

  /// The pairing.
  public let convention: Convention
  /// The elements of a head that are turned, the first ones, an even number.
  public let dim: Int
  let cosine: Tensor
  let sine: Tensor

  /// Tabulates `count` positions from `first` in Double. - Complexity: O(count·dim).
  /// - Precondition: `dim` is even.
  /// - Throws: `MemoryLimitExceeded`.
  public init(
    convention: Convention, dim: Int, first: Int = 0, count: Int, base: Double = 10_000,
    ledger: MemoryLedger? = nil
  ) throws(MemoryLimitExceeded) {
    try self.init(
      convention: convention, dim: dim, rows: RowRuns([first..<first + count]), base: base, ledger: ledger)
  }

  /// Tabulates some positions in Double, those of a rank's rows. - Complexity: O(rows·dim).
  /// - Parameters:
  ///   - convention: the pairing.
  ///   - dim: the elements of a head that are turned.
  ///   - rows: the positions, rising.
  ///   - base: of the angles.
  ///   - ledger: what counts the table.
  /// - Precondition: `dim` is even.
  /// - Throws: `MemoryLimitExceeded`.
  public init(
    convention: Convention, dim: Int, rows: RowRuns, base: Double = 10_000, ledger: MemoryLedger? = nil
  ) throws(MemoryLimitExceeded) {
    let frequencies = (0..<dim / 2).map { Double.pow(base, -2 * Double($0) / Double(dim)) }
    precondition(dim % 2 == 0, "rotary positions need an even head dim, not \(dim)")
    try self.init(convention: convention, frequencies: frequencies, rows: rows, ledger: ledger)
  }

  /// Tabulates some positions at given frequencies. - Complexity: O(rows·dim).
  /// - Parameters:
  ///   - convention: the pairing.
  ///   - frequencies: the angle of every pair at position 1.
  ///   - factor: what cosines and sines are multiplied by.
  ///   - rows: the positions, rising.
  ///   - ledger: what counts the table.
  /// - Throws: `MemoryLimitExceeded`.
  public init(
    convention: Convention, frequencies: [Double], factor: Double = 1, rows: RowRuns,
    ledger: MemoryLedger? = nil
  ) throws(MemoryLimitExceeded) {
    (self.convention, dim) = (convention, 2 * frequencies.count)
    var cosines: [Float] = [], sines: [Float] = []
    for position in rows.runs.joined() {
      for frequency in frequencies {
        let angle = Double(position) * frequency
        cosines.append(Float(factor * Double.cos(angle)))
        sines.append(Float(factor * Double.sin(angle)))
      }
    }
    cosine = try Tensor(cosines, shape: [rows.count, dim / 2], ledger: ledger)
    sine = try Tensor(sines, shape: [rows.count, dim / 2], ledger: ledger)
  }
}

extension ExecutionContext {
  /// Token rows to heads: columns `column ..< column + heads·dim` of x `[batch·length, width]` →
  /// `[batch, heads, length, dim]`, their first elements rotated when a table is given (`inverse`: rotated back). - Complexity: O(count).
  /// - Throws: `MemoryLimitExceeded`.
  public func splitHeads(
    _ x: Tensor, column: Int = 0, batch: Int, heads: Int, dim: Int, rotary: RotaryTable? = nil,
    inverse: Bool = false
  ) throws(MemoryLimitExceeded) -> Tensor {
    let length = x.shape[0] / batch, width = x.shape[1]
    precondition(
      x.isContiguous && column + heads * dim <= width, "heads \(heads)·\(dim) at \(column) of \(x.shape)")
    var y = try empty([batch, heads, length, dim])
    let x = x.pinned()
    let yView = y.pinnedForWriting()
    moveHeads(
      rows: x, width: width, column: column, heads: yView, shape: (batch, heads, length, dim),
      rotary,
      inverse: inverse, gather: true)
    return y
  }

  /// Heads back to token rows, into columns of y `[batch·length, width]`; the inverse of `splitHeads`.
  public func mergeHeads(
    _ x: Tensor, into y: inout Tensor, column: Int = 0, rotary: RotaryTable? = nil, inverse: Bool = false
  ) {
    precondition(x.rank == 4, "heads [batch, heads, length, dim] expected: \(x.shape)")
    let x = x.contiguous()
    let shape = (x.shape[0], x.shape[1], x.shape[2], x.shape[3]), width = y.shape[1]
    precondition(
      y.shape[0] == shape.0 * shape.2 && column + shape.1 * shape.3 <= width,
      "\(x.shape) at \(column) of \(y.shape)")
    let xView = x.pinned()
    let y = y.pinnedForWriting()
    moveHeads(
      rows: y, width: width, column: column, heads: xView, shape: shape, rotary,
      inverse: inverse,
      gather: false)
  }

  /// Heads with one more element each: `[batch, heads, length, dim]` → `[…, dim + 1]`, the last `value(head, row)`.
  /// - Complexity: O(count).
  /// - Throws: `MemoryLimitExceeded`.
  public func extendHeads(
    _ x: Tensor, with value: (_ head: Int, _ row: Int) -> Float
  ) throws(MemoryLimitExceeded) -> Tensor {
    precondition(x.rank == 4 && x.isContiguous, "heads [batch, heads, length, dim] expected: \(x.shape)")
    let (heads, length, dim) = (x.shape[1], x.shape[2], x.shape[3])
    let rows = x.shape[0] * heads * length
    var y = try empty([x.shape[0], heads, length, dim + 1])
    let x = x.pinned()
    let yView = y.pinnedForWriting()
    for row in 0..<rows {
      (yView + row * (dim + 1)).update(from: x + row * dim, count: dim)
      yView[row * (dim + 1) + dim] = value(row / length % heads, row % length)
    }
    return y
  }

  /// Heads `[batch, heads, length, dim]` whose first elements are rotated (`inverse`: rotated back). - Complexity: O(count).
  /// - Throws: `MemoryLimitExceeded`.
  public func turned(
    _ x: Tensor, _ rotary: RotaryTable, inverse: Bool = false
  ) throws(MemoryLimitExceeded) -> Tensor {
    precondition(x.rank == 4, "heads [batch, heads, length, dim] expected: \(x.shape)")
    let rows = x.contiguous().reshaped([x.count / x.shape[3], x.shape[3]])
    return try splitHeads(
      rows, batch: x.shape[0] * x.shape[1], heads: 1, dim: x.shape[3], rotary: rotary, inverse: inverse
    ).reshaped(x.shape)
  }

  private func moveHeads(
    rows: PinnedView<Float>, width: Int, column: Int, heads: PinnedView<Float>, shape: (Int, Int, Int, Int),
    _ rotary: RotaryTable?, inverse: Bool, gather: Bool
  ) {
    let (batch, count, length, dim) = shape
    if let rotary {
      precondition(
        rotary.dim <= dim && rotary.cosine.shape[0] >= length, "rotary table for \(length) × \(dim)")
    }
    let cosine = rotary?.cosine.pinned()
    let sine = rotary?.sine.pinned()
    slices(batch * count, grain: 1, cost: length * dim) { part in
      for index in part {
        let row = index / count * length, head = index % count
        attn_head_rows(
          isa, rows.pointer + row * width + column + head * dim, width,
          heads.pointer + index * length * dim,
          length, dim, rotary?.dim ?? 0, cosine.map { UnsafePointer($0.pointer) },
          sine.map { UnsafePointer($0.pointer) },
          inverse ? -1 : 1, rotary?.convention == .half ? 1 : 0, gather ? 1 : 0)
      }
    }
  }
}
