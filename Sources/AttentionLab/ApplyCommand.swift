import ArgumentParser
import ArrayFiles
import Attention
import AttentionCore
import Basics
import Commands
import Foundation
import Pages
import Processes
import Tensors

/// `attnlab apply`: a variant on the user's own arrays.
struct ApplyCommand: FileCommand {
  static let configuration = CommandConfiguration(
    commandName: "apply",
    abstract: "Run a variant on NumPy arrays [batch, heads, n, d]; write output, log-sum-exp and gradients.",
    discussion: HelpText.page(
      """
      Arrays are bfloat16 (as ml_dtypes writes it), float16, float32 or float64; results are float32. --precision
      bfloat16 rounds q, k and v once. Fewer heads of k than of q means grouped queries; another length of k means
      cross-attention. attnlab mask with the same settings and seed shows the pattern.
      attnlab list VARIANT shows what a variant reads besides q, k and v (--in), and what it can show (--export).
      """,
      examples: [
        "attnlab apply sliding-window --q q.npy --k k.npy --v v.npy --out o.npy --causal --set left=255",
        "attnlab apply full --q q.npy --k k.npy --v v.npy --out o.npy --grad-out do.npy "
          + "--dq dq.npy --dv dv.npy",
        "attnlab apply chunked --q q.npy --k k.npy --v v.npy --out o.npy --set chunk=32 --against full",
        "attnlab apply lsh --q q.npy --v v.npy --out o.npy --in rotations=R.npy --export buckets=b.npy",
      ]))

  @Argument(help: "The variant; see attnlab list.", completion: .variants)
  var variant: String

  @Option(help: "q, [batch, heads, n, d].")
  var q: String

  @Option(help: "k, [batch, key heads, keys, d]; not needed by variants that do not read it.")
  var k: String?

  @Option(help: "v, [batch, key heads, keys, value dim]; not needed by variants that do not read it.")
  var v: String?

  @Option(help: "Where the output goes, [batch, heads, n, value dim].")
  var out: String

  @Option(help: "Where the log-sum-exp goes, [batch, heads, n].")
  var lse: String?

  @Option(help: "Where statistics of the weights of every row go, .csv: largest score, entropy.")
  var stats: String?

  @Option(
    help:
      "With --stats, the share of the weights that another attention would keep, such as 'sliding-window(left=63)'."
  )
  var keptBy: String?

  @Option(
    help:
      "Another attention, such as full: how far the output is from its own, head by head, and the weights kept."
  )
  var against: String?

  @Flag(help: "A query sees only its past; the last query is aligned with the last key.")
  var causal = false

  @Option(
    name: .customLong("set"), help: "A setting of the variant, name=value; may be repeated.",
    completion: .settings)
  var sets: [String] = []

  @Option(help: "The factor on q·k. Default: the variant's, 1/√d for most.")
  var scale: Double?

  @Option(help: "Valid keys of every sequence, such as 100,64: later ones are padding.")
  var keyLengths: String?

  @Option(help: "The gradient of the output, of its shape: needed by --dq, --dk, --dv and --gradient.")
  var gradOut: String?

  @Option(help: "Where the gradient of q goes.")
  var dq: String?

  @Option(help: "Where the gradient of k goes.")
  var dk: String?

  @Option(help: "Where the gradient of v goes.")
  var dv: String?

  @Option(
    name: .customLong("in"),
    help: "Another operand of the variant, NAME=file.npy; may be repeated.")
  var inputs: [String] = []

  @Option(
    name: .customLong("gradient"),
    help: "Where the gradient of another operand goes, NAME=file.npy; may be repeated.")
  var gradients: [String] = []

  @Option(
    name: .customLong("export"),
    help: "Where something else that the variant shows goes, NAME=file.npy, int32; may be repeated.")
  var exports: [String] = []

  @Option(help: "The seed of the variant's own draws; attnlab mask takes the same.")
  var seed: UInt64 = 1

  @Option(help: "Threads. Default: all processors.")
  var threads: Int?

  @Option(help: "The instruction set. Default: the best that the processor has.")
  var isa: InstructionSet?

  @Option(help: "How q, k and v are stored.")
  var precision = Precision.float32

  @Flag(help: "Print JSON.")
  var json = false

  func run() throws {
    let type = try Installed.catalog.type(of: variant)
    let settings = try VariantSettings.parse(sets, for: type)
    let standard: [(Operand.Name, String?)] = [(.query, dq), (.key, dk), (.value, dv)]
    let named = try NamedFiles(
      in: inputs, gradients: gradients,
      standard: standard.compactMap { name, path in path.map { (name, $0) } },
      exports: exports, of: type, settings)
    try checkFlags(named)
    if k == nil, named.declared.contains(where: { $0.name == .key }) {
      throw UsageError("--k: \(variant) needs it")
    }
    if v == nil, named.declared.contains(where: { $0.name == .value }) {
      throw UsageError("--v: \(variant) needs it")
    }
    let arrays = try ArrayInputs(
      query: q, key: k, value: v ?? k ?? q, isCausal: causal, scale: scale,
      keyLengths: try ArrayInputs.numbers(keyLengths, "--key-lengths"),
      precision: precision)
    let attention = try type.make(
      settings: settings, shape: arrays.shape, key: VariantSettings.key(seed: seed))
    let inputs = try arrays.inputs(of: attention, named.inputs)
    var context = ExecutionContext(
      threads: threads ?? Parallel.processorCount,
      instructionSet: try InstructionSet.available(isa) ?? .default)
    // Which of two roads is faster is measured, and on a busy machine not always with the same answer.
    context.bfloat16Road = BFloat16Choice.reproducible
    let gradient = try gradOut.map { try outputGradient($0, arrays.shape) }
    var written: [(String, NpyArray)] = []
    var forward = try attention.attend(inputs, in: context)
    if forward.output.array().contains(where: { !$0.isFinite }) {
      forward = try attention.attendVastValues(inputs, after: forward, in: context)
    }
    noteClearedPadding(forward, attention.shape)
    try ArrayInputs.requireFinite(forward.output, "output")
    // A row that sees no key has the log-sum-exp −∞.
    if let lse = forward.lse { try ArrayInputs.requireFinite(lse, "log-sum-exp", allowing: -.infinity) }
    written.append((out, NpyArray(forward.output)))
    if let lse {
      guard let sums = forward.lse else { throw UsageError("--lse: \(variant) has no log-sum-exp") }
      written.append((lse, NpyArray(sums)))
    }
    for (name, path) in named.exports {
      let array = try attention.export(name, of: inputs, in: context)
      written.append((path, NpyArray(array.values, shape: array.shape, as: .int32)))
    }
    if let gradient {
      let gradients = try forward.backward(gradient, in: context)
      for operand in Operand.all(attention.operands) {
        guard let tensor = gradients[operand.name] else { continue }
        try ArrayInputs.requireFinite(tensor, "gradient of \(operand.shortName)")
      }
      for (name, path) in named.gradients {
        guard let tensor = gradients[name] else {
          throw UsageError("--gradient \(name): nothing reads it at this shape")
        }
        written.append((path, NpyArray(tensor)))
      }
    }
    let statistics = try stats.map { _ in
      try AttentionStatistics(
        attention, inputs, lse: forward.lse, keptBy: keptBy.map { ($0, Installed.catalog) },
        key: VariantSettings.key(seed: seed), in: context)
    }
    let comparison = try against.map {
      try OutputComparison(
        forward, against: $0, Installed.catalog, inputs, of: attention,
        key: VariantSettings.key(seed: seed), in: context)
    }
    for (path, array) in written { try array.write(to: path) }
    if let stats, let statistics { try AtomicFile.write(Array(statistics.text.utf8), to: stats) }
    show(attention, written, comparison)
  }

  func files() -> CommandFiles {
    var files = CommandFiles()
    for path in [q, k, v, gradOut] { files.read(path) }
    for pair in inputs { files.read(CommandFiles.path(in: pair)) }
    for (flag, path) in [
      ("--out", out), ("--lse", lse), ("--dq", dq), ("--dk", dk), ("--dv", dv), ("--stats", stats),
    ] {
      files.write(path, flag)
    }
    for (flag, pairs) in [("--gradient", gradients), ("--export", exports)] {
      for pair in pairs { files.write(CommandFiles.path(in: pair), flag) }
    }
    return files
  }

  private func checkFlags(_ named: NamedFiles) throws {
    try ThreadFlag.check(threads)
    if keptBy != nil && stats == nil { throw UsageError("--kept-by: it goes with --stats") }
    if gradOut == nil && !named.gradients.isEmpty {
      throw UsageError("--grad-out: needed by --dq, --dk, --dv and --gradient")
    }
    if gradOut != nil && named.gradients.isEmpty {
      throw UsageError("--grad-out: give --dq, --dk, --dv or --gradient to say where the gradients go")
    }
  }

  /// Says which queries were taken for padding though they have scores: with as many queries as keys, --key-lengths counts both.
  private func noteClearedPadding(_ forward: Forward, _ shape: AttentionShape) {
    guard let first = forward.clearedPadding.first else { return }
    let row = shape.definitionRow(first), others = forward.clearedPadding.count - 1
    let place = "query \(row.query) (batch \(row.batch), head \(row.head))"
    Terminal.note(
      "note: \(place)\(others > 0 ? " and \(others) more have scores" : " has a score") beyond single precision; "
        + "--key-lengths makes padding of such rows: output 0, log-sum-exp −∞")
  }

  private func outputGradient(_ path: String, _ shape: AttentionShape) throws -> Tensor {
    let tensor = try ArrayInputs.tensor(path, "the gradient of the output")
    guard tensor.shape == shape.outputShape else {
      throw UsageError("\(path): shape \(tensor.shape); the output's shape \(shape.outputShape) is needed")
    }
    return tensor
  }

  private func show(
    _ attention: any AttentionVariant, _ written: [(String, NpyArray)], _ comparison: OutputComparison?
  ) {
    guard json else {
      for (path, array) in written { print("\(path): \(array.type) \(array.shape)") }
      if let comparison { print("\n" + comparison.text) }
      return
    }
    print(
      JSONValue.object([
        "variant": .string(variant), "configuration": .string(attention.configurationSummary),
        "precision": .string(attention.shape.precision.rawValue),
        "written": .array(
          written.map { path, array in
            .object([
              "path": .string(path), "type": .string(array.type.rawValue),
              "shape": .array(array.shape.map(JSONValue.int)),
            ])
          }),
        "against": comparison?.json ?? .null,
      ]).pretty)
  }
}
