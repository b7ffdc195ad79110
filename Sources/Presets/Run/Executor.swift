import Records

/// Where cells are run: processes of this machine, this process, later a Slurm array. A cell is a value, and what is
/// known of it when it ends are rows; everything else (which cells are left, one table, one record) is the runner's.
public protocol Executor<Kind>: Sendable {
  /// The kind of experiment whose cells it runs.
  associatedtype Kind: ExperimentKind

  /// The rows of cells, each cell's together, as soon as they are known. The next cell begins when the rows of the one
  /// before are taken: what was taken is written.
  ///
  /// A cell that fails has a row that says so. The stream throws what ends the whole run: `Interrupted`, or a `UsageError`
  /// such as a full disk.
  func rows(
    of cells: [Kind.Cell], in folder: RunFolder
  ) -> AsyncThrowingStream<FinishedCell<Kind>, any Error>
}

/// A cell with its rows.
public struct FinishedCell<Kind: ExperimentKind>: Sendable {
  /// The cell.
  public let cell: Kind.Cell
  /// Its rows; the last one says that it is finished.
  public let rows: [Kind.Row]

  /// Creates a pair.
  public init(_ cell: Kind.Cell, _ rows: [Kind.Row]) { (self.cell, self.rows) = (cell, rows) }
}
