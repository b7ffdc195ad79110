import ArgumentParser
import Attention
import Foundation
import Laboratory
import Tensors

/// `attnlab bench`: the performance preset, and every figure beside the limit of this machine.
struct BenchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Run the performance preset: fractions of measured peak and bandwidth.",
    discussion: """
      A target that is missed is said, and is no error: what a machine reaches is a finding.

      Examples:
        attnlab bench
        attnlab bench --fresh --only full
      """)

  @Option(help: "The folder of the results. Default: results/performance.")
  var out: String?

  @Option(help: "Only these variants, separated by commas.")
  var only: String?

  @Flag(help: "Start over; the old folder is kept under another name.")
  var fresh = false

  func run() async throws {
    let folder = out ?? "results/performance"
    var arguments = ["performance", "--out", folder]
    if let only { arguments += ["--only", only] }
    if fresh { arguments.append("--fresh") }
    // Before and after: what two cores read together depends on where their buffers lie.
    let before = bandwidth()
    try await RunCommand.parse(arguments).run()
    let rows = try MeasurementRow.read(folder + "/measurements.csv")
    print("\n" + BenchTable(rows: rows, bandwidth: before.merging(bandwidth(), uniquingKeysWith: max)).text)
  }

  /// Bytes a second / 10⁹ by threads, where there is room to measure it.
  private func bandwidth() -> [Int: Double] {
    let found = Set([1, Parallel.processorCount]).compactMap { threads in
      (try? Calibration.bandwidth(threads: threads, seconds: 0.25)).map { (threads, $0 / 1e9) }
    }
    return Dictionary(uniqueKeysWithValues: found)
  }
}

/// The figures of the performance preset beside their targets.
struct BenchTable {
  let rows: [MeasurementRow]
  /// Measured bytes a second / 10⁹, by threads.
  let bandwidth: [Int: Double]

  var text: String {
    var table = TextTable([
      "experiment", "variant", "pass", "n", "d", "threads", "isa", "precision", "seconds", "GFLOP/s",
      "of the limit", "target", "tile waste", "visited, of the limit", "plan / time",
    ])
    for row in rows {
      let fraction = fraction(of: row)
      table.add([
        row.experiment, row.variant + (row.causal == true && row.pass != "decode" ? " causal" : ""), row.pass,
        "\(row.pass == "decode" ? row.keyLength ?? 0 : row.queryLength ?? 0)", "\(row.headDim ?? 0)",
        "\(row.threads ?? 0)", row.isa, row.precision,
        row.secondsMedian.map { String(format: "%.4f", $0) } ?? row.status,
        row.gflops.map { String(format: "%.0f", $0) } ?? "",
        fraction.map { String(format: "%.0f%%", 100 * $0) } ?? "", target(of: row) + gain(of: row),
        row.tileWaste.map { String(format: "%.2f", $0) } ?? "",
        row.pass == "decode" ? "" : visitedFraction(of: row).map { String(format: "%.0f%%", 100 * $0) } ?? "",
        planShare(of: row).map { String(format: "%.1f%%", 100 * $0) } ?? "",
      ])
    }
    return table.text
  }

  /// The share of the machine's limit: of the multiply-add peak; when decoding, of the bandwidth or of the peak, whichever
  /// takes longer (with several heads on a key head it can be the peak).
  func fraction(of row: MeasurementRow) -> Double? {
    guard row.pass == "decode" else { return row.fractionOfPeak }
    guard let seconds = row.secondsMedian, let keys = row.keyLength, let heads = row.keyHeads,
      let dim = row.headDim, let limit = bandwidth[row.threads ?? 1]
    else { return nil }
    let element = Double((Precision(rawValue: row.precision) ?? .float32).byteCount)
    let bytes =
      element * Double(row.batch ?? 1) * Double(heads) * Double(keys) * Double(dim + (row.valueDim ?? dim))
    return max(bytes / seconds / 1e9 / limit, row.fractionOfPeak ?? 0)
  }

  /// The share of the peak on the pairs that the tiles visit, needed or not.
  private func visitedFraction(of row: MeasurementRow) -> Double? {
    guard let fraction = row.fractionOfPeak, let waste = row.tileWaste else { return nil }
    return fraction * waste
  }

  /// The time to build tile lists and draw what is drawn, over the time of a pass.
  private func planShare(of row: MeasurementRow) -> Double? {
    guard let plan = row.planSeconds, let seconds = row.secondsMedian, seconds > 0 else { return nil }
    return plan / seconds
  }

  /// How many times as fast as float32 a bfloat16 row is, beside its target.
  private func gain(of row: MeasurementRow) -> String {
    guard row.experiment == "bfloat16", row.precision != Precision.float32.rawValue,
      let seconds = row.secondsMedian,
      let base = rows.first(where: {
        $0.experiment == row.experiment && $0.precision == Precision.float32.rawValue && $0.pass == row.pass
          && $0.variant == row.variant && $0.headDim == row.headDim && $0.threads == row.threads
          && $0.keyLength == row.keyLength
      })?.secondsMedian
    else { return "" }
    return String(format: " %.2f× float32", base / seconds)
  }

  /// What the row is to reach.
  private func target(of row: MeasurementRow) -> String {
    switch (row.experiment, row.pass) {
    case ("full", "forward"): row.causal == true ? "75%" : "85%"
    case ("full", "backward"): row.causal == true ? "" : "88%"
    case ("head-sizes", _): "64%"
    case ("decoding", _): "80%"
    case ("bfloat16", "forward") where row.precision != Precision.float32.rawValue: "1.5×:"
    case ("instruction-sets", "forward"): row.isa == "avx2" ? "85%" : ""
    case ("sparse", "forward"):
      row.variant == "sliding-window" && row.configuration.contains("left=256") ? "60%" : ""
    default: ""
    }
  }
}
