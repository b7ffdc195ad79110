import Records

extension CellNames {
  /// Names for cells.
  public init(_ cells: [Cell]) { self.init(cells.map { MeasurementRow($0) }) }

  /// The name of a cell.
  public subscript(cell: Cell) -> String { self[MeasurementRow(cell)] }
}
