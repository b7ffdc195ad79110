import AttentionCore
import Tensors

extension MeasurementRow {
  /// The columns of `measurements.csv`. New ones are added at the end.
  public static let schema: [Field<MeasurementRow>] = question + answer + later + originFields

  /// What was measured.
  private static let question: [Field<MeasurementRow>] = [
    .field("preset", \.preset, .text, .contender, phrase: "%", "the preset; empty for a single measurement"),
    .field("experiment", \.experiment, .text, .contender, phrase: "%", "the experiment of the preset"),
    .field("variant", \.variant, .text, .contender, phrase: "%", "the variant's id, or a peer's name")
      .required,
    .field(
      "configuration", \.configuration, .text, .contender, phrase: "%",
      "name=value of all settings of the variant, separated by ;"),
    .optional("pass", \.pass, .choice, .shape, phrase: "%", "what is timed").required,
    .optional("batch", \.batch, .count(from: 1), .shape, unit: "sequences", phrase: "batch %", "sequences")
      .required,
    .optional("query_heads", \.queryHeads, .count(from: 1), .shape, phrase: "% heads", "heads of q").required,
    .optional("key_heads", \.keyHeads, .count(from: 1), .shape, phrase: "% key heads", "heads of k and v")
      .required,
    .optional("query_length", \.queryLength, .count(from: 1), .length, unit: "tokens", "rows of q").required,
    .optional("key_length", \.keyLength, .count(from: 1), .length, unit: "tokens", "rows of k and v")
      .required,
    .optional("head_dim", \.headDim, .count(from: 1), .shape, phrase: "head dim %", "last axis of q and k")
      .required,
    .optional("value_dim", \.valueDim, .count(from: 1), .shape, phrase: "value dim %", "last axis of v")
      .required,
    .optional("causal", \.causal, .flag, .shape, phrase: "causal", "whether a query sees only its past")
      .required,
    .optional("threads", \.threads, .count(from: 1), .shape, phrase: "% threads", "threads of the pass")
      .required,
    .field(
      "isa", \.isa, .words(InstructionSet.allCases.map(\.rawValue)), .contender, phrase: "%",
      "the instruction set of the kernels"),
    .field("input", \.input, .text, .contender, phrase: "%", "where q, k and v come from"),
    .optional("seed", \.seed, .seed, .contender, phrase: "seed %", "the seed of inputs and draws"),
  ]

  /// How it went, and what was found.
  private static let answer: [Field<MeasurementRow>] = [
    .optional("status", \.status, .choice, .record, "how it ended").required,
    .field("reason", \.reason, .text, .record, "why it ended so when it is not ok, in one line"),
    .optional("repeats", \.repeats, .count(), .record, unit: "passes", "timed passes"),
    .optional("seconds_median", \.secondsMedian, .duration, .time, unit: "s", "median time of a pass")
      .requiredWhenDone,
    .optional("seconds_p20", \.secondsP20, .duration, .time, unit: "s", "20th percentile of the times"),
    .optional("seconds_p80", \.secondsP80, .duration, .time, unit: "s", "80th percentile of the times"),
    .optional(
      "flops", \.flops, .amount, .quantity, unit: "operations",
      "floating-point operations on needed pairs, closed form"),
    .optional("gflops", \.gflops, .amount, .time, unit: "GFLOP/s", "flops ÷ seconds_median ÷ 1e9"),
    .optional(
      "fraction_of_peak", \.fractionOfPeak, .fractionOfPeak, .time,
      "gflops ÷ the multiply-add peak measured in the same run with the same threads and instruction set; "
        + "empty when it exceeds 2, where the peak cannot be right"),
    .optional("density", \.density, .density, .quantity, "needed pairs ÷ all pairs, with multiplicity"),
    .optional(
      "plan_seconds", \.planSeconds, .amount, .time, unit: "s",
      "time to configure the variant: tile lists, rotations"),
    .optional("plan_bytes", \.planBytes, .count(), .quantity, unit: "bytes", "what that leaves"),
    .optional(
      "workspace_bytes", \.workspaceBytes, .count(), .quantity, unit: "bytes",
      "memory_bytes without inputs, results and log-sum-exp"),
    .optional(
      "peak_rss_bytes", \.peakRSSBytes, .count(), .quantity, unit: "bytes",
      "high-water mark of the process"),
    .optional(
      "predicted_bytes", \.predictedBytes, .amount, .quantity, unit: "bytes",
      "the closed form of memory_bytes"),
    .optional(
      "error_rel", \.errorRel, .amount, .quantity,
      "‖x − x_full‖ ÷ ‖x_full‖ over sampled query rows; x is the output, or for backward the gradient of q; "
        + "full attention computes from float32 inputs"),
    .field("cell_id", \.cellID, .text, .record, "a hash of what is measured"),
    .field("started_at", \.startedAt, .text, .record, "when it began, ISO 8601, UTC"),
  ]

  /// Columns that came later.
  private static let later: [Field<MeasurementRow>] = [
    .optional(
      "memory_bytes", \.memoryBytes, .count(), .quantity, unit: "bytes",
      "peak of the ledger during the pass: inputs, results and workspace"),
    .optional(
      "padding_overhead", \.paddingOverhead, .amount, .quantity,
      "pairs that the tiles execute ÷ pairs that the definition needs"
    ).formerly("tile_waste"),
    .field(
      "precision", \.precision, .choice, .contender, phrase: "%",
      "how q, k and v are stored; float32 where a file does not say"),
    .optional(
      "error_oracle_rel", \.errorOracleRel, .amount, .quantity,
      "as error_rel, against the variant's own definition on the inputs as stored"),
    .optional(
      "state_bytes", \.stateBytes, .amount, .quantity, unit: "bytes",
      "what a decoder keeps of the past, by the closed form"),
    .field(
      "ranks", \.ranks, .integer(1...4096), .shape, unit: "processes", phrase: "% ranks",
      "processes that shared the sequence; 1 where a file does not say"),
    .optional(
      "messages", \.messages, .count(), .quantity, "messages of a pass, of all ranks; empty with one rank"),
    .optional(
      "bytes_sent", \.bytesSent, .count(), .quantity, unit: "bytes", "bytes in those messages"),
    .optional(
      "seconds_waiting", \.secondsWaiting, .duration, .time, unit: "s",
      "time of a pass in waits for messages, of the rank that waited longest; mean over passes"),
    .optional(
      "kept_mass", \.keptMass, .fraction, .quantity,
      "share of full attention's weights that lies on pairs which the variant sees, mean over sampled query rows"
    ),
    .optional(
      "seconds_choosing", \.secondsChoosing, .duration, .time, unit: "s",
      "time by which a forward pass chooses keys by data, a part of its own; median"),
    .optional(
      "quiet_repeats", \.quietRepeats, .count(), .record, unit: "passes",
      "passes beside which multiply-adds had the share of the peak that quiet asks for: these alone were timed where there are three "
        + "or more, else all; empty where nobody looked"),
  ]
}
