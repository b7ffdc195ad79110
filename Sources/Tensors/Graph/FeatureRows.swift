/// Numbers that describe rows, such as the nodes of a graph or the pixels of images, `[rows, width]`: shared by every batch that
/// reads them.
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

  /// Some runs of as many rows each, such as images of a batch.
  /// - Parameters:
  ///   - numbers: which runs, in the order in which they are to stand.
  ///   - length: rows of a run.
  /// - Complexity: O(elements).
  public func runs(_ numbers: [Int], of length: Int) throws(MemoryLimitExceeded) -> FeatureRows {
    var part = try Tensor(uninitialized: [numbers.count * length, width])
    for (place, number) in numbers.enumerated() {
      part.replace(
        from: place * length * width,
        with: values.narrowed(axis: 0, to: number * length..<(number + 1) * length))
    }
    return FeatureRows(part)
  }
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
