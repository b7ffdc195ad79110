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
  /// The share of full attention's weights that the pattern keeps.
  case kept
  /// The baseline's time over this one's.
  case speedup
  /// The time of planning.
  case plan
  /// Half of the range from the 20th to the 80th percentile of the times, as a share of the median.
  case spread

  /// The quantity in words; its unit stands there where values do not carry it.
  public var quantity: String {
    switch self {
    case .time: "time of a pass"
    case .spread: "spread of the times (half of 20th to 80th percentile over the median)"
    case .speed: "speed on needed pairs (GFLOP/s)"
    case .peak: "fraction of the machine's peak"
    case .memory: "memory of a pass"
    case .workspace: "workspace of a pass"
    case .process: "memory of the process"
    case .predicted: "memory by the closed form"
    case .error: "relative error against full attention"
    case .kept: "share of full attention's weights that is kept"
    case .speedup: "speed-up over the baseline"
    case .plan: "time of planning"
    }
  }

  /// The quantity as the head of a column.
  public var heading: String {
    switch self {
    case .peak: "of peak"
    case .predicted: "closed form"
    case .kept: "kept mass"
    case .speedup: "speed-up"
    default: rawValue
    }
  }

  /// Whether less of it is better.
  public var isLowerBetter: Bool { ![.speed, .peak, .speedup, .kept].contains(self) }

  /// Whether it says which variant is the better one: not what the process needed besides, nor a prediction.
  public var isContested: Bool { ![.spread, .process, .predicted].contains(self) }

  /// Whether it is a time of passes, or made of one, and so known as well as the times of the passes agree.
  public var isTimed: Bool { [.time, .speed, .peak, .speedup].contains(self) }

  /// Whether its law over the length is worth fitting.
  public var isScaling: Bool { [.time, .memory, .workspace, .process, .predicted].contains(self) }

  /// The value of a row; `nil` when it has none. The speed-up needs a baseline's time.
  public func value(_ row: MeasurementRow, baselineSeconds: Double? = nil) -> Double? {
    switch self {
    case .time: row.secondsMedian
    case .spread: Self.spread(row)
    case .speed: row.gflops
    case .peak: row.fractionOfPeak
    case .memory: row.memoryBytes.map { Double($0) }
    case .workspace: row.workspaceBytes.map { Double($0) }
    case .process: row.peakRSSBytes.map { Double($0) }
    case .predicted: row.predictedBytes
    case .error: row.errorRel
    case .kept: row.keptMass
    case .speedup: row.secondsMedian.flatMap { seconds in baselineSeconds.map { $0 / seconds } }
    case .plan: row.planSeconds
    }
  }

  /// A value for people.
  public func describe(_ value: Double?) -> String {
    guard let value else { return "–" }
    return switch self {
    case .time, .plan: Quantity.describe(seconds: value)
    // Beyond its own size a spread is a factor: ±1636 % says no more than ±16×.
    case .spread:
      value < 1 ? "±\(Quantity.significant(100 * value, 2)) %" : "±\(Quantity.significant(value, 2))×"
    case .speed: Quantity.significant(value, 3)
    case .peak, .kept: Quantity.significant(100 * value, 3) + " %"
    case .memory, .workspace, .process, .predicted: Quantity.describe(bytes: value)
    case .error: Quantity.significant(value, 2)
    case .speedup: Quantity.significant(value, 3) + "×"
    }
  }

  /// One repetition has no spread.
  private static func spread(_ row: MeasurementRow) -> Double? {
    guard let median = row.secondsMedian, let low = row.secondsP20, let high = row.secondsP80, median > 0,
      row.repeats ?? 2 > 1
    else { return nil }
    return (high - low) / median / 2
  }

  /// Metrics with commas between.
  /// - Parameters:
  ///   - text: the list.
  ///   - option: what it was given to, for messages.
  /// - Returns: the metrics, in that order.
  /// - Throws: `UsageError` for a name that there is not, with the nearest.
  public static func list(_ text: String, option: String) throws(UsageError) -> [Metric] {
    try text.split(separator: ",", omittingEmptySubsequences: false).map { word throws(UsageError) in
      guard let metric = Metric(rawValue: word.trimmed) else {
        let names = choices(allCases.map(\.rawValue), near: word.trimmed)
        throw UsageError("\(option) \(shown(text)): it takes a list of \(names)")
      }
      return metric
    }
  }
}
