import ArgumentParser
import AttentionCore
import Basics
import Commands
import Foundation
import Measuring
import Pages
import Presets
import Processes
import Records
import Settings
import Tasks
import Tensors

/// `attnlab measure`: one cell, in this process.
struct MeasureCommand: FileCommand {
  static let configuration = CommandConfiguration(
    commandName: "measure",
    abstract: "Measure one variant at one shape: time, memory, error against full attention.",
    discussion: HelpText.page(
      examples: [
        "attnlab measure full --n 4096 --heads 8",
        "attnlab measure sliding-window --n 16384 --causal --set left=255 --pass backward --json",
        "attnlab measure full --n 4096 --precision bfloat16",
      ]))

  @Argument(help: "The variant; see attnlab list.", completion: .variants)
  var variant: String

  @Option(help: .cell("n"))
  var n: Int

  @Option(help: .cell("batch"))
  var batch = 1

  @Option(help: .cell("heads"))
  var heads = 1

  @Option(help: .cell("key-heads"))
  var keyHeads: Int?

  @Option(help: .cell("key-length"))
  var keyLength: Int?

  @Option(help: .cell("head-dim"))
  var headDim = 64

  @Option(help: .cell("value-dim"))
  var valueDim: Int?

  @Flag(help: .cell("causal"))
  var causal = false

  @Option(help: .cell("pass"))
  var pass = PassKind.forward

  @Option(help: "Threads. Default: all processors; with several ranks each has its share of them.")
  var threads: Int?

  @Option(help: .cell("ranks"))
  var ranks = 1

  @Option(help: .cell("isa"))
  var isa: InstructionSet?

  @Option(help: .cell("precision"))
  var precision = Precision.float32

  @Option(help: .cell("repeats"))
  var repeats = 5

  @Option(help: .cell("warmup"))
  var warmup = 1

  @Option(help: .cell("budget"))
  var budget = "10s"

  @Option(
    help:
      "Where q, k and v come from; text without a path: the project's own sources; a layer of a trained model."
  )
  var input = InputSource.gaussian

  @Option(help: .cell("seed"))
  var seed: UInt64 = 1

  @Option(
    name: .customLong("set"), help: "A setting of the variant, name=value; may be repeated.",
    completion: .settings)
  var sets: [String] = []

  @Option(
    help: "The most memory that the pass may use, such as 8GiB. Default: three quarters of the machine's.")
  var memoryLimit: String?

  @Option(help: "The machine's peak in GFLOP/s when it is known; else it is measured.")
  var peakGflops: Double?

  @Flag(help: "Print one JSON object whose keys are the columns of measurements.csv.")
  var json = false

  func files() -> CommandFiles {
    var files = CommandFiles()
    for path in input.paths { files.read(path) }
    return files
  }

  func run() throws {
    ParentWatch.begin()
    let catalog = Installed.catalog
    let cell = try cell(catalog)
    if TextCorpus.projectFolder() == nil, let note = input.noteWithoutSources { Terminal.note(note) }
    var request = CellRequest(cell, memoryLimit: ProcessMemory.defaultLimit)
    if let memoryLimit {
      guard let bytes = Quantity.bytes(memoryLimit) else {
        throw UsageError("--memory-limit \(memoryLimit): it takes \(Quantity.bytesAllowed)")
      }
      request.memoryLimit = bytes
    }
    request.peakGflops = peakGflops ?? (ranks == 1 ? MachinePeak.gflops(cell.peak) : nil)
    if let peak = request.peakGflops {
      noteLongTime(of: cell, catalog, peak: peak, limit: request.memoryLimit)
    }
    guard var row = try Blocking.row(of: request) else { return }
    (row.commit, row.program) = (Blocking.commit(), ProgramFile.hash)
    if json { print(row.json.pretty) }
    switch row.status {
    case .ok: if !json { print(MeasurementPage.text(row)) }
    case .unsupported, .error: throw UsageError("\(cell.label): \(row.reason)")
    default: throw CheckFailure("attnlab measure: \(row["status"]): \(cell.label): \(row.reason)")
    }
  }

  /// Says how long a measurement will take before it begins, where that is long.
  private func noteLongTime(of cell: Cell, _ catalog: Catalog, peak: Double, limit: Int) {
    let forecast = Forecast([cell], catalog: catalog, memoryLimit: limit, peakGflops: peak).lines[0]
    guard forecast.seconds >= 60 else { return }
    Terminal.note(
      "attnlab measure: this will take about \(Quantity.describe(seconds: forecast.seconds)) "
        + "if it reaches \(Quantity.significant(100 * Forecast.assumedShare, 2)) % of the peak; Ctrl-C ends it"
    )
  }

  private func cell(_ catalog: Catalog) throws -> Cell {
    try ThreadFlag.check(threads)
    for (name, value, least) in [("repeats", repeats, 1), ("warmup", warmup, 0)] where value < least {
      throw UsageError("--\(name) \(value): it takes a whole number of at least \(least)")
    }
    if let peakGflops, !(peakGflops > 0 && peakGflops.isFinite) {
      throw UsageError("--peak-gflops \(peakGflops): it takes a number above 0")
    }
    var cell = Cell(variant: variant, queryLength: n, keyLength: keyLength)
    cell.settings = try ParameterValue.settings(parsing: sets)
    try cell.set(flag: "budget", to: budget)
    (cell.pass, cell.precision, cell.input) = (pass, precision, input)
    if let isa { cell.instructionSet = isa.rawValue }
    (cell.batch, cell.heads, cell.headDim, cell.isCausal) = (batch, heads, headDim, causal)
    (cell.seed, cell.warmup, cell.repeats) = (seed, warmup, repeats)
    try cell.set(flag: "ranks", to: "\(ranks)")
    if let threads { cell.threads = threads }
    let own: [(key: String, field: WritableKeyPath<Cell, Int>, value: Int?)] = [
      ("key_length", \.keyLength, keyLength), ("key_heads", \.keyHeads, keyHeads),
      ("value_dim", \.valueDim, valueDim),
    ]
    for (_, field, value) in own { if let value { cell[keyPath: field] = value } }
    cell.complete(
      given: Set(own.filter { $0.value != nil }.map(\.key) + (threads == nil ? [] : ["threads"])))
    try VariantDescription(try catalog.type(of: variant)).check(cell.settings)
    _ = try cell.shape()
    return cell
  }
}

extension ArgumentHelp {
  /// The help of a flag that sets a field of a cell: what the field's declaration says.
  static func cell(_ flag: String) -> ArgumentHelp { ArgumentHelp(stringLiteral: Cell.help(flag)) }
}
