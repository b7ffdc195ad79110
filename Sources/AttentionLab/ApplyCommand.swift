import ArgumentParser
import ArrayFiles
import Attention
import AttentionCore
import Basics
import Foundation
import Laboratory
import Tensors

/// `attnlab apply`: a variant on the user's own arrays.
struct ApplyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apply",
    abstract: "Run a variant on NumPy arrays [batch, heads, n, d]; write output, log-sum-exp and gradients.",
    discussion: HelpText.page(
      """
      Arrays are bfloat16 (as ml_dtypes writes it), float16, float32 or float64; results are float32. --precision
      bfloat16 rounds q, k and v once. Fewer heads of k than of q means grouped queries; another length of k means
      cross-attention. attnlab mask with the same settings and seed shows the pattern.
      """,
      examples: [
        "attnlab apply sliding-window --q q.npy --k k.npy --v v.npy --out o.npy --causal --set left=255",
        "attnlab apply full --q q.npy --k k.npy --v v.npy --out o.npy --grad-out do.npy "
          + "--dq dq.npy --dv dv.npy",
        "attnlab apply lsh --q q.npy --v v.npy --out o.npy --rotations R.npy --buckets b.npy",
      ]))

  @Argument(help: "The variant; see attnlab list.")
  var variant: String

  @Option(help: "q, [batch, heads, n, d].")
  var q: String

  @Option(help: "k, [batch, key heads, keys, d]; not needed by lsh with a shared query-key.")
  var k: String?

  @Option(help: "v, [batch, key heads, keys, value dim].")
  var v: String

  @Option(help: "Where the output goes, [batch, heads, n, value dim].")
  var out: String

  @Option(help: "Where the log-sum-exp goes, [batch, heads, n].")
  var lse: String?

  @Flag(help: "A query sees only its past; the last query is aligned with the last key.")
  var causal = false

  @Option(name: .customLong("set"), help: "A setting of the variant, name=value; may be repeated.")
  var sets: [String] = []

  @Option(help: "The factor on q·k. Default: 1/√d (lsh with a shared query-key: 1).")
  var scale: Double?

  @Option(help: "Valid keys of every sequence, such as 100,64: later ones are padding.")
  var keyLengths: String?

  @Option(help: "The gradient of the output, of its shape: needed by --dq, --dk and --dv.")
  var gradOut: String?

  @Option(help: "Where the gradient of q goes.")
  var dq: String?

  @Option(help: "Where the gradient of k goes.")
  var dk: String?

  @Option(help: "Where the gradient of v goes.")
  var dv: String?

  @Option(help: "q of the global rows (local-global with separate global projections).")
  var globalQ: String?

  @Option(help: "k as the global rows see it.")
  var globalK: String?

  @Option(help: "v as the global rows see it.")
  var globalV: String?

  @Option(help: "Rotations of lsh, [head, d, hashes, buckets/2].")
  var rotations: String?

  @Option(help: "Where the buckets of the queries go (lsh), int32 [batch, head, hashes, n]; -1 in padding.")
  var buckets: String?

  @Option(help: "Where the buckets of the keys go (lsh), int32 [batch, head, hashes, keys]; -1 in padding.")
  var keyBuckets: String?

  @Option(help: "The seed of the variant's own draws; attnlab mask takes the same.")
  var seed: UInt64 = 1

  @Option(help: "Threads. Default: all processors.")
  var threads: Int?

  @Option(help: "The instruction set: \(InstructionSet.allCases.map(\.rawValue).joined(separator: ", ")).")
  var isa: String?

  @Option(help: "How q, k and v are stored: \(Precision.allCases.map(\.rawValue).joined(separator: " or ")).")
  var precision = Precision.float32.rawValue

  @Flag(help: "Print JSON.")
  var json = false

  func run() throws {
    let type = try AttentionLab.catalog.type(of: variant)
    let settings = try VariantSettings.parse(sets, for: type)
    try checkFlags()
    if k == nil && !VariantSettings.ignoresKeys(type, settings) {
      throw UsageError("--k: \(variant) needs it")
    }
    let arrays = try ArrayInputs(
      query: q, key: k, value: v, isCausal: causal, scale: scale,
      keyLengths: try ArrayInputs.numbers(keyLengths, "--key-lengths"), global: [globalQ, globalK, globalV],
      precision: try Precision.named(precision))
    let attention = try AnyAttention.make(
      type, settings: settings, shape: arrays.shape, key: VariantSettings.key(seed: seed)
    ).with(rotations: rotations)
    if arrays.inputs.global != nil, try attention.oracle(for: arrays.inputs).isGlobalRow == nil {
      throw UsageError(
        "--global-q: \(variant) has no separate global projections; only local-global takes them")
    }
    let context = ExecutionContext(
      threads: threads ?? Parallel.processorCount, instructionSet: try InstructionSet.named(isa) ?? .default)
    let gradient = try gradOut.map { try outputGradient($0, arrays.shape) }
    var written: [(String, NpyArray)] = []
    let forward = try attention.forward(arrays.inputs, in: context)
    try Self.requireFinite(forward.output, "output")
    // A row that sees no key has the log-sum-exp −∞.
    try Self.requireFinite(forward.lse, "log-sum-exp", allowing: -.infinity)
    written.append((out, NpyArray(forward.output)))
    if let lse { written.append((lse, NpyArray(forward.lse))) }
    try written += hashes(attention, arrays, context)
    if let gradient {
      let gradients = try forward.backward(gradient, in: context)
      for (tensor, name) in [(gradients.query, "q"), (gradients.key, "k"), (gradients.value, "v")] {
        try Self.requireFinite(tensor, "gradient of \(name)")
      }
      for (path, tensor) in [(dq, gradients.query), (dk, gradients.key), (dv, gradients.value)] {
        if let path { written.append((path, NpyArray(tensor))) }
      }
    }
    for (path, array) in written { try array.write(to: path) }
    show(attention, written)
  }

  private func checkFlags() throws {
    try ThreadFlag.check(threads)
    let gradients = [dq, dk, dv].compactMap(\.self)
    if gradOut == nil && !gradients.isEmpty {
      throw UsageError("--grad-out: needed by --dq, --dk and --dv")
    }
    if gradOut != nil && gradients.isEmpty {
      throw UsageError("--grad-out: give --dq, --dk or --dv to say where the gradients go")
    }
    try OutputFiles.check(
      [
        ("--out", out), ("--lse", lse), ("--dq", dq), ("--dk", dk), ("--dv", dv), ("--buckets", buckets),
        ("--key-buckets", keyBuckets),
      ], inputs: [q, k, v, gradOut, globalQ, globalK, globalV, rotations])
  }

  /// Finite inputs can still be too large: a score, a sum or a gradient beyond single precision.
  private static func requireFinite(
    _ tensor: Tensor, _ name: String, allowing exception: Float? = nil
  ) throws(UsageError) {
    let values = tensor.array()
    guard let bad = values.firstIndex(where: { !$0.isFinite && $0 != exception }) else { return }
    let index = zip(Tensor.rowMajorStrides(tensor.shape), tensor.shape).map { bad / $0 % $1 }
    throw UsageError(
      "the \(name) exceeds single precision: element \(index) would be \(values[bad].isNaN ? "nan" : "\(values[bad])"); nothing is written "
        + "(scale the inputs down, or give a smaller --scale)")
  }

  private func outputGradient(_ path: String, _ shape: AttentionShape) throws -> Tensor {
    let tensor = try ArrayInputs.tensor(path, "the gradient of the output")
    guard tensor.shape == shape.outputShape else {
      throw UsageError("\(path): shape \(tensor.shape); the output's shape \(shape.outputShape) is needed")
    }
    return tensor
  }

  private func hashes(
    _ attention: AnyAttention, _ arrays: ArrayInputs, _ context: ExecutionContext
  ) throws -> [(String, NpyArray)] {
    var written: [(String, NpyArray)] = []
    let shape = arrays.shape
    if let buckets {
      let lsh = try attention.hashing(for: "--buckets")
      written.append(
        (
          buckets,
          NpyArray(
            try lsh.queryBuckets(of: arrays.inputs, in: context),
            shape: [shape.batch, shape.queryHeads, lsh.configuration.hashes, shape.queryLength], as: .int32)
        ))
    }
    if let keyBuckets {
      let lsh = try attention.hashing(for: "--key-buckets")
      written.append(
        (
          keyBuckets,
          NpyArray(
            try lsh.keyBuckets(of: arrays.inputs, in: context),
            shape: [shape.batch, shape.queryHeads, lsh.configuration.hashes, shape.keyLength], as: .int32)
        ))
    }
    return written
  }

  private func show(_ attention: AnyAttention, _ written: [(String, NpyArray)]) {
    guard json else {
      for (path, array) in written { print("\(path): \(array.type) \(array.shape)") }
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
      ]).pretty)
  }
}
