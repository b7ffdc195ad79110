import AttentionCore
import Basics
import LabTestSupport
import Tensors
import Testing

@testable import Attention

/// The engine on bfloat16 q, k and v against the naive Double loop on the same rounded values.
@Suite struct BFloat16Tests {
  /// An instruction set, with products of bfloat16 pairs or up-converting.
  struct Path: CustomTestStringConvertible, Sendable {
    let set: InstructionSet
    let isPaired: Bool

    var testDescription: String { isPaired ? "\(set) in pairs" : "\(set) up-converting" }

    /// Weights rounded to 8 bits are off by 1.7e-3 root mean square, and 2⁻⁸ at most; up-converted ones not at all.
    var tolerance: Double { isPaired ? 0x1p-8 : EngineTests.tolerance }

    func context(_ threads: Int = 2) -> ExecutionContext {
      var context = ExecutionContext(threads: threads, instructionSet: set)
      context.bfloat16Road = isPaired ? .products : .upconvert
      return context
    }

    static let all = InstructionSet.available.flatMap { set in
      (set.hasBFloat16Products ? [Path(set: set, isPaired: true)] : []) + [Path(set: set, isPaired: false)]
    }
  }

  private func check(_ test: EngineCase, _ path: Path, strided: Bool = false) throws {
    var inputs = try EngineInputs(test.shape, seed: test.seed, strided: strided)
    let (q, k, v) = (inputs.query, inputs.key, inputs.value)
    (inputs.query, inputs.key, inputs.value) = (try stored(q), try stored(k), try stored(v))
    let shape = test.shape.with(precision: .bfloat16)
    let scale = shape.effectiveScale
    let expected = NaiveResult(test, inputs, scale: scale)
    let (output, lse) = try Engine.forward(
      query: inputs.query, key: inputs.key, value: inputs.value, shape: shape, scale: scale,
      pattern: test.pattern,
      in: path.context())
    let name = "\(path.testDescription), \(test)"
    #expect(relativeError(output, expected.output) < path.tolerance, "output: \(name)")
    #expect(relativeError(lse, expected.lse) < EngineTests.tolerance, "LSE: \(name)")
    let gradient = try Engine.backward(
      outputGradient: inputs.outputGradient, query: inputs.query, key: inputs.key, value: inputs.value,
      output: output, lse: lse, shape: shape, scale: scale, pattern: test.pattern, in: path.context())
    // P is recomputed in float32; dQ and dK take D from the output.
    #expect(relativeError(gradient.value, expected.value) < EngineTests.tolerance, "dV: \(name)")
    #expect(relativeError(gradient.key, expected.key) < 4 * path.tolerance, "dK: \(name)")
    #expect(relativeError(gradient.query, expected.query) < 4 * path.tolerance, "dQ: \(name)")
  }

  /// Rounded, and lying as it did.
  private func stored(_ tensor: Tensor) throws -> Tensor {
    guard !tensor.isContiguous, tensor.rank == 4 else { return try tensor.converted(to: .bfloat16) }
    return try tensor.transposed(1, 2).converted(to: .bfloat16).transposed(1, 2)
  }

  /// Random tiles over a random shape, grouped heads and padding included.
  private func randomCase(_ seed: UInt64) throws -> EngineCase {
    var generator = RandomKey(seed: seed)("shape").generator()
    let dims = [1, 2, 3, 8, 16, 24, 40, 33, 63, 65]
    let group = 1 + generator.integer(below: 2)
    let keyHeads = 1 + generator.integer(below: 2)
    let batch = 1 + generator.integer(below: 2)
    let keys = 1 + generator.integer(below: 210)
    let shape = try AttentionShape(
      batch: batch, queryHeads: keyHeads * group, keyHeads: keyHeads,
      queryLength: 1 + generator.integer(below: 150), keyLength: keys,
      headDim: dims[generator.integer(below: dims.count)],
      valueDim: dims[generator.integer(below: dims.count)],
      isCausal: seed % 2 == 0,
      keyLengths: seed % 3 == 0 ? (0..<batch).map { _ in generator.integer(below: keys + 1) } : nil)
    return EngineCase(
      seed: seed, shape: shape, tiles: 1 + generator.integer(below: 5), perHead: seed % 4 == 1)
  }

  @Test("random tiles, every mask and list", arguments: Path.all, Array(1...16).map(UInt64.init))
  func randomTiles(path: Path, seed: UInt64) throws {
    try check(randomCase(seed), path, strided: seed % 2 == 1)
  }

  @Test(
    "backward has the bits of inputs that were up-converted before", arguments: Path.all,
    Array(1...12).map(UInt64.init))
  func upconvertedBits(path: Path, seed: UInt64) throws {
    // Every fourth is dense, and long enough for several panels.
    let dense = try AttentionShape(
      queryHeads: 2, keyHeads: 1, queryLength: 300, keyLength: 210 + Int(seed) * 10, headDim: 24, valueDim: 40
    )
    let test =
      try seed % 4 == 0 ? EngineCase(shape: dense, list: self.dense(dense), seed: seed) : randomCase(seed)
    var inputs = try EngineInputs(test.shape, seed: test.seed, strided: seed % 3 == 0)
    let (q, k, v) = (inputs.query, inputs.key, inputs.value)
    (inputs.query, inputs.key, inputs.value) = (try stored(q), try stored(k), try stored(v))
    let shape = test.shape.with(precision: .bfloat16), scale = shape.effectiveScale
    let (output, lse) = try Engine.forward(
      query: inputs.query, key: inputs.key, value: inputs.value, shape: shape, scale: scale,
      pattern: test.pattern, in: path.context())
    func gradients(_ shape: AttentionShape, _ qkv: Operands) throws -> [[UInt32]] {
      let gradient = try Engine.backward(
        outputGradient: inputs.outputGradient, query: qkv.query, key: qkv.key, value: qkv.value,
        output: output,
        lse: lse, shape: shape, scale: scale, pattern: test.pattern, in: path.context())
      return [gradient.query, gradient.key, gradient.value].map { $0.array().map(\.bitPattern) }
    }
    let given = Operands(query: inputs.query, key: inputs.key, value: inputs.value)
    let wide = try given.converted(to: .float32, ledger: nil)
    #expect(try gradients(shape, given) == gradients(shape.with(precision: .float32), wide), "\(test)")
  }

  @Test(
    "forward has the bits of inputs that were up-converted before, by tiles that share rows",
    arguments: InstructionSet.available, Array(1...12).map(UInt64.init))
  func sharedRows(set: InstructionSet, seed: UInt64) throws {
    var generator = RandomKey(seed: seed)("shared").generator()
    // KV blocks of 192 to 384 keys.
    let kvBlocks = 2 + generator.integer(below: 3), keys = 250 + generator.integer(below: 600)
    let shape = try AttentionShape(
      batch: 2, queryHeads: 4, keyHeads: 2, queryLength: 200 + generator.integer(below: 300), keyLength: keys,
      headDim: 24, valueDim: 40, keyLengths: seed % 3 == 0 ? [keys - 70, 5] : nil, precision: .bfloat16)
    var list = TileList()
    for start in stride(from: 0, to: shape.queryLength, by: 64) {
      let count = min(64, shape.queryLength - start)
      let first = generator.integer(below: 40), last = keys - generator.integer(below: 40)
      let cut = first + 1 + generator.integer(below: last - first - 1)
      // All keys, a band that moves on, or two runs that do not meet.
      let segments: [TileList.Segment] =
        switch seed % 3 {
        case 0: [.init(start: 0, count: keys)]
        case 1: [.init(start: start % (keys - 210), count: 210, mask: .band(low: -150, high: 40))]
        default: [.init(start: first, count: cut - first), .init(start: cut, count: last - cut)]
        }
      list.addTile(start: start, count: count, segments: segments)
    }
    let pattern = TilePattern(shared: list)
    let inputs = try EngineInputs(shape.with(precision: .float32), seed: seed)
    let given = Operands(
      query: try stored(inputs.query), key: try stored(inputs.key), value: try stored(inputs.value))
    let wide = try given.converted(to: .float32, ledger: nil)
    var context = Path(set: set, isPaired: false).context(1 + Int(seed) % 2)
    context.choices.kvBlockBytes = 4 * 96 * kvBlocks * 64
    // Every other case takes a group of tiles through a KV block together.
    if seed % 2 == 0 { context.choices.localKeys = 100 }
    let plan = Engine.forwardSchedule(of: pattern, for: shape, in: context).plan
    #expect(Engine.sharedKeys(plan, shape, in: context) > 0)
    func bits(_ shape: AttentionShape, _ qkv: Operands) throws -> [[UInt32]] {
      let (output, lse) = try Engine.forward(
        query: qkv.query, key: qkv.key, value: qkv.value, shape: shape, scale: 0.3, pattern: pattern,
        in: context)
      return [output, lse].map { $0.array().map(\.bitPattern) }
    }
    #expect(try bits(shape, given) == bits(shape.with(precision: .float32), wide))
  }

  @Test("head sizes, odd ones too", arguments: Path.all, [1, 5, 40, 64, 77, 80, 96, 128])
  func headSizes(path: Path, dim: Int) throws {
    for valueDim in [dim, dim + 1] {
      let shape = try AttentionShape(queryLength: 70, keyLength: 101, headDim: dim, valueDim: valueDim)
      try check(EngineCase(shape: shape, list: dense(shape)), path)
    }
  }

  @Test(
    "tile heights and odd numbers of keys", arguments: Path.all, [1, 4, 5, 8, 9, 16, 17, 33, 48, 49, 64, 65])
  func tileHeights(path: Path, rows: Int) throws {
    for keys in [1, 2, 97] {
      let shape = try AttentionShape(queryLength: rows, keyLength: keys, headDim: 16)
      try check(EngineCase(shape: shape, list: dense(shape)), path)
    }
  }

  @Test("a scale of any sign and size; large scores", arguments: Path.all, [-1.0, 0, 1e-3, 40, 1e9, -1e9])
  func scales(path: Path, scale: Double) throws {
    let shape = try AttentionShape(queryLength: 20, keyLength: 120, headDim: 8, precision: .bfloat16)
    let test = EngineCase(shape: shape, list: dense(shape))
    var inputs = try EngineInputs(shape, seed: 3)
    (inputs.query, inputs.key) = (try stored(inputs.query), try stored(inputs.key))
    inputs.value = try stored(inputs.value)
    let expected = NaiveResult(test, inputs, scale: scale)
    let (output, lse) = try Engine.forward(
      query: inputs.query, key: inputs.key, value: inputs.value, shape: shape, scale: scale,
      pattern: test.pattern,
      in: path.context())
    #expect(relativeError(lse, expected.lse) < EngineTests.tolerance)
    // Scores of 1e9 are known to about 100, so that the weights of rivals are not known at all.
    if scale.magnitude < 1e6 { #expect(relativeError(output, expected.output) < 2 * path.tolerance) }
    #expect(!output.array().contains { !$0.isFinite })
  }

  @Test("equal values come out exact, whatever the weights", arguments: Path.all)
  func constantValues(path: Path) throws {
    let shape = try AttentionShape(queryLength: 80, keyLength: 333, headDim: 24, precision: .bfloat16)
    let inputs = try EngineInputs(shape, seed: 9)
    let value = try Tensor([Float](repeating: 3, count: 333 * 24), shape: shape.valueShape)
    let (output, _) = try Engine.forward(
      query: stored(inputs.query), key: stored(inputs.key), value: stored(value), shape: shape, scale: 1,
      pattern: TilePattern(shared: dense(shape)), in: path.context())
    #expect(output.array().allSatisfy { ($0 - 3).magnitude < 3 * 2e-6 })
  }

  @Test("NaN and infinity in v go as far as in float32", arguments: Path.all)
  func notNumbers(path: Path) throws {
    let shape = try AttentionShape(queryLength: 80, headDim: 9, isCausal: true, precision: .bfloat16)
    let inputs = try EngineInputs(shape, seed: 9)
    var list = TileList()
    for start in stride(from: 0, to: 80, by: 64) {
      let count = min(64, 80 - start)
      list.addTile(
        start: start, count: count,
        segments: [.init(start: 0, count: start + count, mask: .band(low: 0, high: 1000))])
    }
    var value = inputs.value
    value[0, 0, 70, 3] = .nan
    value[0, 0, 79, 8] = .infinity
    let (output, lse) = try Engine.forward(
      query: stored(inputs.query), key: stored(inputs.key), value: stored(value), shape: shape, scale: 0.1,
      pattern: TilePattern(shared: list), in: path.context())
    // A masked weight is 0, and 0·NaN is NaN: as in float32, a value that is no number spoils its whole block.
    var expected = inputs
    expected.value = value
    let wide = try Engine.forward(
      query: stored(inputs.query).converted(to: .float32), key: stored(inputs.key).converted(to: .float32),
      value: expected.value, shape: shape.with(precision: .float32), scale: 0.1,
      pattern: TilePattern(shared: list),
      in: path.context())
    #expect(output.array().map(\.isFinite) == wide.output.array().map(\.isFinite))
    #expect(output[0, 0, 75, 3].isNaN && output[0, 0, 10, 3].isFinite)
    #expect(!lse.array().contains { !$0.isFinite })
  }

  @Test("the same bits for any number of threads", arguments: Path.all, [1, 2, 3].map(UInt64.init))
  func threads(path: Path, seed: UInt64) throws {
    let shape = try AttentionShape(
      queryHeads: 2, keyHeads: seed % 2 == 0 ? 1 : 2, queryLength: 140, keyLength: 2200, headDim: 8,
      precision: .bfloat16)
    let test = EngineCase(seed: seed, shape: shape, tiles: 6)
    let inputs = try EngineInputs(shape, seed: seed)
    let (query, key, value) = (try stored(inputs.query), try stored(inputs.key), try stored(inputs.value))
    func run(_ threads: Int) throws -> [[UInt32]] {
      let (output, lse) = try Engine.forward(
        query: query, key: key, value: value, shape: shape, scale: 1, pattern: test.pattern,
        in: path.context(threads))
      return [output, lse].map { $0.array().map(\.bitPattern) }
    }
    let one = try run(1)
    for threads in [2, 3] { #expect(try run(threads) == one, "seed \(seed), \(threads) threads") }
  }

  @Test(
    "every variant within its budget on every instruction set",
    arguments: Catalog.standard.ids(taking: .bfloat16))
  func variants(_ id: String) throws {
    let type = try Catalog.standard.type(of: id)
    for settings in [[:], Conformance.samples(of: type).last ?? [:]] {
      checkVariant(
        type, .quick, settings: settings, instructionSets: InstructionSet.available, precision: .bfloat16)
    }
  }

  @Test("bits, causality, padding, ledger", arguments: Catalog.standard.ids(taking: .bfloat16))
  func exact(_ id: String) throws {
    let type = try Catalog.standard.type(of: id)
    let report = Conformance(type, instructionSets: [.default], precision: .bfloat16)
      .exact(Conformance.samples(of: type).last ?? [:])
    #expect(report.passed, "\(report.failures.first?.description ?? "nothing passed")")
  }

  @Test("half of the bytes in the ledger, and in the closed form")
  func memory() throws {
    let length = 4096
    let shape = try AttentionShape(queryLength: length, headDim: 64, precision: .bfloat16)
    let wide = try Catalog.standard.type(of: "full")
    func cost(_ precision: Precision, _ pass: PassKind) throws -> Cost {
      try wide.make(
        settings: [:], shape: shape.with(precision: precision), key: RandomKey(seed: 1)
      )
      .cost(of: pass)
    }
    let inputs = Double(3 * length * 64)
    let difference =
      try cost(.float32, .forward).inputOutputBytes - cost(.bfloat16, .forward).inputOutputBytes
    #expect(difference == 2 * inputs)
    #expect(try cost(.bfloat16, .decode).stateBytes * 2 == cost(.float32, .decode).stateBytes)
    let ledger = MemoryLedger()
    let drawn = try EngineInputs(shape, seed: 1)
    let stored = try Operands(query: drawn.query, key: drawn.key, value: drawn.value)
      .converted(to: .bfloat16, ledger: ledger)
    #expect(Double(ledger.currentBytes) == 2 * inputs)
    let variant = try wide.make(settings: [:], shape: shape, key: RandomKey(seed: 1))
    let forward = try variant.forward(stored, in: ExecutionContext(threads: 1, ledger: ledger))
    // Backward keeps no up-converted copy: gradients and the closed form of its workspace are all.
    ledger.resetPeak()
    let before = ledger.currentBytes
    _ = try forward.backward(drawn.outputGradient, in: ExecutionContext(threads: 1, ledger: ledger))
    let found = Double(ledger.peakBytes - before)
    let expected = try 4 * inputs + cost(.bfloat16, .backward).workspaceBytes
    #expect(abs(found - expected) < 0.02 * expected, "\(found) bytes, not \(expected)")
    #expect(
      expected - 4 * inputs < 0.6 * 4 * inputs, "up-converted copies would be as large as the gradients")
    #expect(ledger.currentBytes == before)
  }

  private func dense(_ shape: AttentionShape) -> TileList {
    var list = TileList()
    for start in stride(from: 0, to: shape.queryLength, by: 64) {
      list.addTile(
        start: start, count: min(64, shape.queryLength - start),
        segments: [.init(start: 0, count: shape.keyLength)])
    }
    return list
  }
}
