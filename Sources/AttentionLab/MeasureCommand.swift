import ArgumentParser
import AttentionCore
import Foundation
import Laboratory
import Settings
import Tensors

/// `attnlab measure`: one cell, in this process.
struct MeasureCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "measure",
    abstract: "Measure one variant at one shape: time, memory, error against full attention.",
    discussion: """
      Examples:
        attnlab measure full --n 4096 --heads 8
        attnlab measure sliding-window --n 16384 --causal --set left=255 --pass backward --json
        attnlab measure full --n 4096 --precision bfloat16
      """)

  @Argument(help: "The variant; see attnlab list.")
  var variant: String

  @Option(help: "Rows of q (when decoding: of the cache).")
  var n: Int

  @Option(help: "Sequences.")
  var batch = 1

  @Option(help: "Heads of q.")
  var heads = 1

  @Option(help: "Heads of k and v; a divisor of the heads. Default: the heads.")
  var keyHeads: Int?

  @Option(help: "Rows of k and v. Default: n.")
  var keyLength: Int?

  @Option(help: "The last axis of q and k.")
  var headDim = 64

  @Option(help: "The last axis of v. Default: the head dim.")
  var valueDim: Int?

  @Flag(help: "A query sees only its past.")
  var causal = false

  @Option(help: "forward, backward or decode.")
  var pass = "forward"

  @Option(help: "Threads. Default: all processors.")
  var threads: Int?

  @Option(help: "The instruction set: \(InstructionSet.allCases.map(\.rawValue).joined(separator: ", ")).")
  var isa: String?

  @Option(help: "How q, k and v are stored: \(Precision.allCases.map(\.rawValue).joined(separator: " or ")).")
  var precision = Precision.float32.rawValue

  @Option(help: "The most timed passes.")
  var repeats = 5

  @Option(help: "Passes before the first timed one.")
  var warmup = 1

  @Option(help: "Once three passes and this much time are measured, no more passes.")
  var budget = "10s"

  @Option(help: "gaussian, text (the project's sources) or text:PATH.")
  var input = "gaussian"

  @Option(help: "The seed of the inputs and of the variant's own draws.")
  var seed: UInt64 = 1

  @Option(name: .customLong("set"), help: "A setting of the variant, name=value; may be repeated.")
  var sets: [String] = []

  @Option(
    help: "The most memory that the pass may use, such as 8GiB. Default: three quarters of the machine's.")
  var memoryLimit: String?

  @Option(help: "The machine's peak in GFLOP/s when it is known; else it is measured.")
  var peakGflops: Double?

  @Flag(help: .hidden)
  var checked = false

  @Flag(help: "Print one JSON object whose keys are the columns of measurements.csv.")
  var json = false

  func run() throws {
    ParentWatch.begin()
    let catalog = AttentionLab.catalog
    let cell = try cell(catalog)
    var measurement = Measurement(cell, catalog: catalog)
    if let memoryLimit {
      guard let bytes = Quantity.bytes(memoryLimit) else {
        throw UsageError("--memory-limit \(memoryLimit): it takes \(Quantity.bytesAllowed)")
      }
      measurement.memoryLimit = bytes
    }
    measurement.isChecked = checked
    measurement.peakGflops = peakGflops ?? MachinePeak.gflops(cell)
    let row = measurement.run()
    if json { print(row.json.pretty) }
    switch MeasurementStatus(rawValue: row.status) {
    case .ok: if !json { print(Self.page(row)) }
    case .unsupported, .error: throw UsageError("\(cell.label): \(row.reason)")
    default: throw CheckFailure("attnlab measure: \(row.status): \(cell.label): \(row.reason)")
    }
  }

  private func cell(_ catalog: Catalog) throws -> Cell {
    guard let pass = PassKind(rawValue: pass) else {
      throw UsageError(
        "--pass \(pass): it takes one of \(PassKind.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    guard let input = InputSource(input) else {
      throw UsageError("--input \(input): it takes \(InputSource.allowed)")
    }
    guard let budgetSeconds = Quantity.seconds(budget) else {
      throw UsageError("--budget \(budget): it takes \(Quantity.secondsAllowed)")
    }
    try ThreadFlag.check(threads)
    for (name, value, least) in [("repeats", repeats, 1), ("warmup", warmup, 0)] where value < least {
      throw UsageError("--\(name) \(value): it takes a whole number of at least \(least)")
    }
    if let peakGflops, !(peakGflops > 0 && peakGflops.isFinite) {
      throw UsageError("--peak-gflops \(peakGflops): it takes a number above 0")
    }
    var cell = Cell(variant: variant, queryLength: n, keyLength: keyLength)
    cell.settings = try ParameterValue.settings(parsing: sets)
    (cell.pass, cell.batch, cell.heads, cell.keyHeads) = (pass, batch, heads, keyHeads ?? heads)
    (cell.headDim, cell.valueDim, cell.isCausal) = (headDim, valueDim ?? headDim, causal)
    if pass == .decode { (cell.queryLength, cell.isCausal) = (1, true) }
    if let threads { cell.threads = threads }
    if let isa { cell.instructionSet = isa }
    cell.precision = try Precision.named(precision)
    (cell.input, cell.seed) = (input, seed)
    (cell.warmup, cell.repeats, cell.budgetSeconds) = (warmup, repeats, budgetSeconds)
    try VariantDescription(try catalog.type(of: variant)).check(cell.settings)
    _ = try cell.shape()
    return cell
  }

  private static func page(_ row: MeasurementRow) -> String {
    func bytes(_ value: Double?) -> String { value.map { Quantity.describe(bytes: $0) } ?? "–" }
    func seconds(_ value: Double?) -> String { value.map { Quantity.describe(seconds: $0) } ?? "–" }
    func number(_ value: Double?) -> String { value.map { Quantity.significant($0, 3) } ?? "–" }
    let share =
      row.fractionOfPeak.map { ", \(Quantity.significant(100 * $0, 3)) % of the machine's peak" } ?? ""
    let lines: [(String, String)] = [
      (
        "variant",
        "\(row.variant) \(row.configuration)\(row.precision == "float32" ? "" : " \(row.precision)")"
      ),
      (
        "time",
        "\(seconds(row.secondsMedian)) (20 %: \(seconds(row.secondsP20)), 80 %: \(seconds(row.secondsP80)), \(row.repeats ?? 0) repeats)"
      ),
      ("speed", "\(number(row.gflops)) GFLOP/s on needed pairs\(share)"),
      (
        "memory",
        "ledger \(bytes(row.memoryBytes.map { Double($0) })), process \(bytes(row.peakRSSBytes.map { Double($0) })), closed form \(bytes(row.predictedBytes))"
      ),
      ("plan", "\(seconds(row.planSeconds)), \(bytes(row.planBytes.map { Double($0) }))"),
      ("density", number(row.density)),
      (
        "error",
        "\(number(row.errorRel)) relative to full attention, \(number(row.errorOracleRel)) to its own definition"
      ),
    ]
    return lines.map { $0.0.padding(toLength: 9, withPad: " ", startingAt: 0) + $0.1 }.joined(separator: "\n")
  }
}
