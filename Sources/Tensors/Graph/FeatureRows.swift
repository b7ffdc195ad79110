/// Numbers that describe rows, such as the nodes of a graph, `[rows, width]`: shared by every batch that reads them.
public final class FeatureRows: Sendable {
  /// `[rows, width]`, contiguous.
  public let values: Tensor

  /// Takes a table.
  /// - Precondition: two axes.
  public init(_ values: Tensor) {
    precondition(values.rank == 2, "features \(values.shape)")
    self.values = values.contiguous()
  }

  /// Rows.
  public var count: Int { values.shape[0] }
  /// Numbers of a row.
  public var width: Int { values.shape[1] }
}

extension FeatureRows: Hashable {
  /// Whether both hold the same numbers.
  public static func == (first: FeatureRows, second: FeatureRows) -> Bool {
    first === second
      || (first.values.shape == second.values.shape && first.values.array() == second.values.array())
  }

  /// Hashes the extents.
  public func hash(into hasher: inout Hasher) { hasher.combine(values.shape) }
}
