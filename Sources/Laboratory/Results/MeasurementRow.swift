import Basics
import Tensors

/// A row of `measurements.csv`. Units are in the column names; an absent number is an empty field.
public struct MeasurementRow: Sendable, Hashable {
  /// The columns, in their order. New ones are added at the end.
  public static let columns = [
    "preset", "experiment", "variant", "configuration", "pass", "batch", "query_heads", "key_heads",
    "query_length", "key_length", "head_dim", "value_dim", "causal", "threads", "isa", "input", "seed",
    "status", "reason", "repeats", "seconds_median", "seconds_p20", "seconds_p80", "flops", "gflops",
    "fraction_of_peak", "density", "plan_seconds", "plan_bytes", "workspace_bytes", "peak_rss_bytes",
    "predicted_bytes", "error_rel", "cell_id", "started_at", "memory_bytes", "tile_waste",
    "precision", "error_oracle_rel",
  ]

  /// The preset's name; empty for a single measurement.
  public var preset = ""
  /// The experiment's name.
  public var experiment = ""
  /// The variant's id, or a peer's name.
  public var variant = ""
  /// `name=value` of all parameters, separated by `;`.
  public var configuration = ""
  /// forward, backward or decode.
  public var pass = ""
  /// Sequences.
  public var batch: Int?
  /// Heads of q.
  public var queryHeads: Int?
  /// Heads of k and v.
  public var keyHeads: Int?
  /// Rows of q.
  public var queryLength: Int?
  /// Rows of k.
  public var keyLength: Int?
  /// The last axis of q and k.
  public var headDim: Int?
  /// The last axis of v.
  public var valueDim: Int?
  /// Whether a query sees only its past.
  public var causal: Bool?
  /// Threads.
  public var threads: Int?
  /// The instruction set.
  public var isa = ""
  /// Where q, k and v came from.
  public var input = ""
  /// The seed.
  public var seed: UInt64?
  /// How it ended: a `MeasurementStatus`.
  public var status = ""
  /// Why, when not ok; one line.
  public var reason = ""
  /// Timed passes.
  public var repeats: Int?
  /// The median of their times.
  public var secondsMedian: Double?
  /// The 20th percentile.
  public var secondsP20: Double?
  /// The 80th percentile.
  public var secondsP80: Double?
  /// Floating-point operations on needed pairs, closed form.
  public var flops: Double?
  /// flops ÷ seconds_median ÷ 10⁹.
  public var gflops: Double?
  /// gflops ÷ the fused multiply-add peak measured in the same run with the same threads and instruction set.
  public var fractionOfPeak: Double?
  /// Needed pairs ÷ all pairs.
  public var density: Double?
  /// The time to configure the variant: tile lists, rotations.
  public var planSeconds: Double?
  /// The bytes that this leaves.
  public var planBytes: Int?
  /// What the pass needed beyond inputs, results and log-sum-exp: the ledger's peak less those, measured.
  public var workspaceBytes: Int?
  /// The process's own high-water mark.
  public var peakRSSBytes: Int?
  /// The closed form of `memory_bytes`.
  public var predictedBytes: Double?
  /// ‖x − x_full‖ ÷ ‖x_full‖ over sampled query rows; x is the output, or the gradient of q for backward. The reference
  /// computes from float32 inputs, so that rounding them to bfloat16 shows.
  public var errorRel: Double?
  /// The cell's name.
  public var cellID = ""
  /// When it began, ISO 8601, UTC.
  public var startedAt = ""
  /// The ledger's peak during the pass: inputs, results and workspace, measured.
  public var memoryBytes: Int?
  /// Pairs that the tiles visit ÷ pairs that the definition needs.
  public var tileWaste: Double?

  /// How q, k and v are stored; float32 in files from before there was a choice.
  public var precision = Precision.float32.rawValue
  /// ‖x − x_oracle‖ ÷ ‖x_oracle‖ over the same rows, against the variant's own definition on the inputs as stored.
  public var errorOracleRel: Double?

  /// Creates an empty row.
  public init() {}

  /// The fields in the order of `columns`.
  public var fields: [String] {
    MeasurementRow.columns.map { name in
      switch value(name) {
      case .null: ""
      case .bool(let flag): flag ? "true" : "false"
      case .int(let number): "\(number)"
      case .double: value(name).compact == "null" ? "" : value(name).compact
      case .string(let text): text
      case .array, .object: ""
      }
    }
  }

  /// One object whose keys are the columns.
  public var json: JSONValue {
    .object(MeasurementRow.columns.map { JSONValue.Member(key: $0, value: value($0)) })
  }

  /// The value of a column; null for a column that does not exist.
  public func value(_ column: String) -> JSONValue {
    switch column {
    case "preset": .string(preset)
    case "experiment": .string(experiment)
    case "variant": .string(variant)
    case "configuration": .string(configuration)
    case "pass": .string(pass)
    case "batch": .number(batch)
    case "query_heads": .number(queryHeads)
    case "key_heads": .number(keyHeads)
    case "query_length": .number(queryLength)
    case "key_length": .number(keyLength)
    case "head_dim": .number(headDim)
    case "value_dim": .number(valueDim)
    case "causal": causal.map(JSONValue.bool) ?? .null
    case "threads": .number(threads)
    case "isa": .string(isa)
    case "input": .string(input)
    case "seed": seed.map { $0 <= UInt64(Int.max) ? .int(Int($0)) : .string("\($0)") } ?? .null
    case "status": .string(status)
    case "reason": .string(reason)
    case "repeats": .number(repeats)
    case "seconds_median": .number(secondsMedian)
    case "seconds_p20": .number(secondsP20)
    case "seconds_p80": .number(secondsP80)
    case "flops": .number(flops)
    case "gflops": .number(gflops)
    case "fraction_of_peak": .number(fractionOfPeak)
    case "density": .number(density)
    case "plan_seconds": .number(planSeconds)
    case "plan_bytes": .number(planBytes)
    case "workspace_bytes": .number(workspaceBytes)
    case "peak_rss_bytes": .number(peakRSSBytes)
    case "predicted_bytes": .number(predictedBytes)
    case "error_rel": .number(errorRel)
    case "cell_id": .string(cellID)
    case "started_at": .string(startedAt)
    case "memory_bytes": .number(memoryBytes)
    case "tile_waste": .number(tileWaste)
    case "precision": .string(precision)
    case "error_oracle_rel": .number(errorOracleRel)
    default: .null
    }
  }
}
