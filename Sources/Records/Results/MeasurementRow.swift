import AttentionCore
import Tensors

/// A row of `measurements.csv`. `MeasurementRow+Schema.swift` says what each field means; an absent number is an empty
/// field.
public struct MeasurementRow: Traceable, Hashable {
  // What was measured.
  /// The column `preset`.
  public var preset = ""
  /// The column `experiment`.
  public var experiment = ""
  /// The column `variant`.
  public var variant = ""
  /// The column `configuration`.
  public var configuration = ""
  /// The column `pass`.
  public var pass: PassKind?
  /// The column `batch`.
  public var batch: Int?
  /// The column `query_heads`.
  public var queryHeads: Int?
  /// The column `key_heads`.
  public var keyHeads: Int?
  /// The column `query_length`.
  public var queryLength: Int?
  /// The column `key_length`.
  public var keyLength: Int?
  /// The column `head_dim`.
  public var headDim: Int?
  /// The column `value_dim`.
  public var valueDim: Int?
  /// The column `causal`.
  public var causal: Bool?
  /// The column `threads`.
  public var threads: Int?
  /// The column `isa`.
  public var isa = ""
  /// The column `input`.
  public var input = ""
  /// The column `seed`.
  public var seed: UInt64?
  /// The column `precision`.
  public var precision = Precision.float32
  // How it went.
  /// The column `status`.
  public var status: MeasurementStatus?
  /// The column `reason`.
  public var reason = ""
  /// The column `cell_id`.
  public var cellID = ""
  /// The column `started_at`.
  public var startedAt = ""
  // What was found.
  /// The column `repeats`.
  public var repeats: Int?
  /// The column `seconds_median`.
  public var secondsMedian: Double?
  /// The column `seconds_p20`.
  public var secondsP20: Double?
  /// The column `seconds_p80`.
  public var secondsP80: Double?
  /// The column `flops`.
  public var flops: Double?
  /// The column `gflops`.
  public var gflops: Double?
  /// The column `fraction_of_peak`.
  public var fractionOfPeak: Double?
  /// The column `density`.
  public var density: Double?
  /// The column `plan_seconds`.
  public var planSeconds: Double?
  /// The column `plan_bytes`.
  public var planBytes: Int?
  /// The column `workspace_bytes`.
  public var workspaceBytes: Int?
  /// The column `peak_rss_bytes`.
  public var peakRSSBytes: Int?
  /// The column `predicted_bytes`.
  public var predictedBytes: Double?
  /// The column `error_rel`.
  public var errorRel: Double?
  /// The column `memory_bytes`.
  public var memoryBytes: Int?
  /// The column `padding_overhead`.
  public var paddingOverhead: Double?
  /// The column `error_oracle_rel`.
  public var errorOracleRel: Double?
  /// The column `state_bytes`.
  public var stateBytes: Double?
  /// The column `ranks`.
  public var ranks = 1
  /// The column `messages`.
  public var messages: Int?
  /// The column `bytes_sent`.
  public var bytesSent: Int?
  /// The column `seconds_waiting`.
  public var secondsWaiting: Double?
  /// The column `kept_mass`.
  public var keptMass: Double?
  /// The column `seconds_choosing`.
  public var secondsChoosing: Double?
  /// The column `quiet_repeats`.
  public var quietRepeats: Int?
  // Where it was made.
  /// The column `machine`.
  public var machine = ""
  /// The column `host`.
  public var host = ""
  /// The column `commit`.
  public var commit = ""
  /// The column `program`.
  public var program = ""
  /// The file that it was read from together with others; no column.
  public var source = ""

  /// Creates an empty row.
  public init() {}

  /// Whether its times are those of passes beside which nothing else was at work; false, too, where nobody looked.
  public var isQuiet: Bool { quietRepeats.map { $0 > 0 && $0 == repeats } ?? false }

  /// Whether it was measured.
  public var isDone: Bool { status == .ok }

  /// Turns the row into a failure: no number of a failed measurement is kept.
  public mutating func fail(_ status: MeasurementStatus, _ reason: String) {
    self.status = status
    self.reason = reason.split(whereSeparator: \.isNewline).joined(separator: " ")
    (repeats, secondsMedian, secondsP20, secondsP80) = (nil, nil, nil, nil)
    (secondsChoosing, quietRepeats) = (nil, nil)
    (gflops, fractionOfPeak, errorRel, errorOracleRel) = (nil, nil, nil, nil)
    (workspaceBytes, memoryBytes, peakRSSBytes) = (nil, nil, nil)
  }
}
