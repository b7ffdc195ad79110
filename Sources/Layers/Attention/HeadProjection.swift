import Tensors

/// What the maps of a layer made of rows: q, k and v as heads, or the rows of a product that heads are cut from.
enum HeadProjection {
  /// Whose heads.
  enum Part: Int { case query, key, value }

  case rows(Tensor)
  /// Heads, of which the first are those of a part.
  case heads([Tensor], first: Part)

  /// Heads of a part, `[batch, heads, length, d]`; in rows they begin at a column, and are turned where `columns` says so.
  func heads(
    _ part: Part, _ columns: HeadColumns, at column: Int, batch: Int, _ context: ExecutionContext
  ) throws -> Tensor {
    switch self {
    case .heads(let parts, let first): parts[part.rawValue - first.rawValue]
    case .rows(let rows):
      try context.splitHeads(
        rows, column: column, batch: batch, heads: columns.heads, dim: columns.dim, rotary: columns.rotary)
    }
  }

  /// The rows of the product.
  var rows: Tensor? { if case .rows(let rows) = self { rows } else { nil } }
}
