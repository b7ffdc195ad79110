/// A matrix `[batch·length, Σ heads·dim]` of token rows whose columns lie as heads: part p has them as
/// `[batch, heads_p, length, dim_p]`, the parts beside each other in their order.
///
/// Products with it (`matmul`, `accumulateProduct`) read the heads where they lie, so nobody moves them into rows first.
public struct HeadMatrix: Sendable {
  /// The heads, row-major.
  public let parts: [Tensor]

  /// Joins parts of one batch and length.
  /// - Precondition: parts of rank 4 with the same first and third extents.
  public init(_ parts: [Tensor]) {
    self.parts = parts.map { $0.contiguous() }
    precondition(
      !parts.isEmpty
        && parts.allSatisfy {
          $0.rank == 4 && $0.shape[0] == parts[0].shape[0] && $0.shape[2] == parts[0].shape[2]
        }, "heads [batch, heads, length, dim] of one batch and length expected: \(parts.map(\.shape))")
  }

  /// Sequences.
  public var batch: Int { parts[0].shape[0] }
  /// Rows of a sequence.
  public var length: Int { parts[0].shape[2] }
  /// Rows of the matrix.
  public var rows: Int { batch * length }
  /// Columns of the matrix.
  public var columns: Int { parts.reduce(0) { $0 + $1.shape[1] * $1.shape[3] } }

  /// The same as rows, `[batch·length, columns]`.
  /// - Complexity: O(rows·columns).
  /// - Throws: `MemoryLimitExceeded`.
  public func moved(in context: ExecutionContext) throws(MemoryLimitExceeded) -> Tensor {
    var result = try context.empty([rows, columns])
    var column = 0
    for part in parts {
      context.mergeHeads(part, into: &result, column: column)
      column += part.shape[1] * part.shape[3]
    }
    return result
  }
}

/// Columns of a product that are to lie as heads of their own.
public struct HeadColumns: Sendable {
  /// Heads beside each other.
  public let heads: Int
  /// Columns of a head.
  public let dim: Int
  /// What turns every row of them, if anything does.
  public let rotary: RotaryTable?

  /// Describes `heads·dim` columns.
  public init(heads: Int, dim: Int, rotary: RotaryTable? = nil) {
    (self.heads, self.dim, self.rotary) = (heads, dim, rotary)
  }
}

/// The columns of one head as a product finds them: element (sequence s, row i, column t) stands at
/// `base + s·sequenceStride + i·dim + t`.
struct HeadPiece {
  let base: UnsafeMutablePointer<Float>
  let sequenceStride: Int
  let dim: Int
  /// The first column of the matrix that is the head's.
  let column: Int

  /// Where a row of a sequence begins.
  func row(_ row: Int, of sequence: Int) -> UnsafeMutablePointer<Float> {
    base + sequence * sequenceStride + row * dim
  }

  /// The heads of some tensors `[batch, heads, length, dim]`, beside each other.
  static func pieces(_ parts: [(view: PinnedView<Float>, shape: [Int])]) -> [HeadPiece] {
    var pieces: [HeadPiece] = [], column = 0
    for (view, shape) in parts {
      let (heads, size, dim) = (shape[1], shape[2] * shape[3], shape[3])
      for head in 0..<heads {
        pieces.append(
          HeadPiece(base: view + head * size, sequenceStride: heads * size, dim: dim, column: column))
        column += dim
      }
    }
    return pieces
  }
}
