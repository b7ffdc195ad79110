import ArgumentParser
import AttentionCore
import Basics
import Commands
import Figures
import LeastSquares
import Pages
import Presets
import Records
import Tensors

/// `attnlab doctor`: what this machine has, and what is missing.
struct DoctorCommand: AsyncParsableCommand, FileCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Show processor, instruction set, measured peak and bandwidth, tools; say what is missing.",
    discussion: HelpText.page(
      """
      bfloat16 rows are multiplied in pairs where the processor does that faster than float32, else they are up-converted;
      ATTNLAB_BF16=products or ATTNLAB_BF16=upconvert forces a road, and ATTNLAB_ISA an instruction set.

      Sizes of blocks, heights of tiles and the like are derived from the caches and the instruction set; attnlab bench --tune
      measures them and keeps what is faster. ATTNLAB_CHOICES=derived ignores what is kept, ATTNLAB_CHOICES=assumed the processor
      too, and ATTNLAB_CHOICES=split_keys=4096,warms_keys=0 sets values.
      """,
      examples: [
        "attnlab doctor",
        "attnlab doctor --json",
      ]))

  @Option(help: "Threads of the measured peak. Default: all processors.")
  var threads: Int?

  @Flag(help: "Print JSON.")
  var json = false

  func files() -> CommandFiles { .none }

  func run() async throws {
    try ThreadFlag.check(threads)
    let threads = threads ?? Parallel.processorCount
    let machine = Machine.current
    let set = InstructionSet.default.rawValue
    let limits = MachinePeak.measure(threads: threads, instructionSet: set)
    let pairs = MachinePeak.bfloat16Gflops(threads: threads, instructionSet: set)
    let choice = BFloat16Choice.of(.default)
    let gnuplot = await Tool.gnuplotVersion()
    var missing: [String] = []
    if gnuplot == nil { missing.append(Gnuplot.advice) }
    if !LabVersion.isOptimized {
      missing.append("this is a debug build, its times mean nothing: swift build -c release")
    }
    if machine.instructionSets == ["portable"], machine.architecture == "x86_64" {
      missing.append("this processor has neither AVX2 nor AVX-512: the portable kernels are used")
    }
    if json {
      print(
        JSONValue.object([
          "machine": machine.json, "isa": .string(set), "threads": .int(threads),
          "peak_gflops": .number(limits.map { $0.peakFlopsAllThreads / 1e9 }),
          "peak_gflops_one_thread": .number(limits.map { $0.peakFlopsOneThread / 1e9 }),
          "peak_gflops_bfloat16": .number(pairs), "bfloat16": choice.json,
          "last_level_cache_bytes": .int(LastLevelCache.bytes), "choices": ChoiceTable().json,
          "bandwidth_gb_per_s": .number(limits.map { $0.bandwidthAllThreads / 1e9 }),
          "bandwidth_gb_per_s_one_thread": .number(limits.map { $0.bandwidthOneThread / 1e9 }),
          "gsl": .string(SolverVersion.gsl), "gnuplot": .text(gnuplot),
          "attnlab": .string(LabVersion.current), "missing": .array(missing.map { .string($0) }),
        ]).pretty)
      return
    }
    func rate(_ value: Double?, _ unit: String) -> String {
      value.map { Quantity.significant($0 / 1e9, 3) + " " + unit } ?? "–"
    }
    let lines: [(String, String)] = [
      ("processor", "\(machine.processor), \(machine.processors) usable, \(machine.architecture)"),
      ("system", machine.system), ("memory", Quantity.describe(bytes: Double(machine.memoryBytes))),
      ("instruction set", "\(set) (available: \(machine.instructionSets.joined(separator: ", ")))"),
      (
        "FMA peak",
        "\(rate(limits?.peakFlopsAllThreads, "GFLOP/s")) on \(counted(threads, "thread")), \(rate(limits?.peakFlopsOneThread, "GFLOP/s")) on one"
      ),
      (
        "bfloat16 peak",
        pairs.map { Quantity.significant($0, 3) + " GFLOP/s on \(counted(threads, "thread"))" }
          ?? "no instructions for it: rows are up-converted to float32"
      ),
      ("bfloat16 road", "\(choice.road): \(choice.reason)"),
      ("last-level cache", Quantity.describe(bytes: Double(LastLevelCache.bytes))),
      (
        "bandwidth",
        "\(rate(limits?.bandwidthAllThreads, "GB/s")) reading, on \(counted(threads, "thread")), \(rate(limits?.bandwidthOneThread, "GB/s")) on one"
      ),
      ("GSL", SolverVersion.gsl), ("gnuplot", gnuplot ?? "missing"), ("attnlab", LabVersion.current),
    ]
    print(namedLines(lines))
    show("\n" + ChoiceTable().text + "\n")
    for line in missing { show("missing: \(line)") }
    if missing.isEmpty { show("nothing is missing") }
  }
}
