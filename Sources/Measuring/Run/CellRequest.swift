import AttentionCore
import Basics
import Records

/// What a process is asked to measure: a cell and the means, as the JSON that travels to it.
public struct CellRequest: Hashable, Sendable {
  /// The cell.
  public var cell: Cell
  /// The most bytes that the pass may use.
  public var memoryLimit: Int
  /// The machine's peak for this cell in GFLOP/s; `nil`: it is not known, and no fraction is given.
  public var peakGflops: Double?
  /// Whether the variant passed its check at this shape class earlier in the run.
  public var isChecked = false

  /// Creates a request.
  public init(_ cell: Cell, memoryLimit: Int) {
    (self.cell, self.memoryLimit) = (cell, memoryLimit)
  }

  /// The request as JSON.
  public var json: JSONValue {
    .object([
      "cell": cell.json, "memory_limit_bytes": .int(memoryLimit), "peak_gflops": .number(peakGflops),
      "checked": .bool(isChecked),
    ])
  }

  /// Reads a request.
  /// - Throws: `UsageError` naming the field that is missing or not allowed.
  public init(json text: String) throws(UsageError) {
    let value = try JSONValue.object(decoding: text, place: "cell")
    guard case .object = value["cell"], case .int(let limit) = value["memory_limit_bytes"], limit > 0 else {
      throw UsageError("cell: it takes an object with cell and memory_limit_bytes")
    }
    cell = try Cell(json: value["cell"], place: "cell")
    memoryLimit = limit
    peakGflops = value["peak_gflops"].numberValue
    isChecked = value["checked"] == .bool(true)
  }

  /// The measurement that is asked for; ranks share the memory.
  func measurement(_ catalog: Catalog) -> Measurement {
    var measurement = Measurement(cell, catalog: catalog)
    (measurement.memoryLimit, measurement.peakGflops) = (memoryLimit / cell.ranks, peakGflops)
    measurement.isChecked = isChecked
    return measurement
  }
}
