import Basics

/// A quantity of a measurement that can be compared and plotted.
public enum Metric: String, CaseIterable, Sendable {
  /// The median time of a pass.
  case time
  /// The rate on needed pairs.
  case speed
  /// The rate as a fraction of the machine's peak.
  case peak
  /// The ledger's peak: inputs, results, workspace.
  case memory
  /// What the pass needed beyond inputs and results.
  case workspace
  /// The process's high-water mark.
  case process
  /// The closed form of `memory`.
  case predicted
  /// The relative error against full attention.
  case error
  /// The baseline's time over this one's.
  case speedup
  /// The time of planning.
  case plan

  /// The quantity in words; its unit stands there where values do not carry it.
  public var quantity: String {
    switch self {
    case .time: "time of a pass"
    case .speed: "speed on needed pairs (GFLOP/s)"
    case .peak: "fraction of the machine's peak"
    case .memory: "memory of a pass"
    case .workspace: "workspace of a pass"
    case .process: "memory of the process"
    case .predicted: "memory by the closed form"
    case .error: "relative error against full attention"
    case .speedup: "speed-up over the baseline"
    case .plan: "time of planning"
    }
  }

  /// Whether its law over the length is worth fitting.
  public var isScaling: Bool { [.time, .memory, .workspace, .process, .predicted].contains(self) }

  /// The value of a row; `nil` when it has none. The speed-up needs a baseline's time.
  public func value(_ row: MeasurementRow, baselineSeconds: Double? = nil) -> Double? {
    switch self {
    case .time: row.secondsMedian
    case .speed: row.gflops
    case .peak: row.fractionOfPeak
    case .memory: row.memoryBytes.map { Double($0) }
    case .workspace: row.workspaceBytes.map { Double($0) }
    case .process: row.peakRSSBytes.map { Double($0) }
    case .predicted: row.predictedBytes
    case .error: row.errorRel
    case .speedup: row.secondsMedian.flatMap { seconds in baselineSeconds.map { $0 / seconds } }
    case .plan: row.planSeconds
    }
  }

  /// A value for people.
  public func describe(_ value: Double?) -> String {
    guard let value else { return "–" }
    return switch self {
    case .time, .plan: Quantity.describe(seconds: value)
    case .speed: Quantity.significant(value, 3)
    case .peak: Quantity.significant(100 * value, 3) + " %"
    case .memory, .workspace, .process, .predicted: Quantity.describe(bytes: value)
    case .error: Quantity.significant(value, 2)
    case .speedup: Quantity.significant(value, 3) + "×"
    }
  }
}
