import AttentionCore
import Basics
import LabTestSupport
import Settings
import Tensors
import Testing

@testable import Attention

/// Scores, norms and weights at the ends of single precision, through every path of the engine.
@Suite struct ExtremeScoreTests {
  /// What computes a call.
  struct Path: CustomTestStringConvertible, Sendable {
    let variant: String
    let set: InstructionSet
    let precision: Precision
    let isPaired: Bool

    var testDescription: String { "\(variant), \(set), \(precision)\(isPaired ? " in pairs" : "")" }

    static let all = ["full", "full-materialized"].flatMap { variant in
      InstructionSet.available.flatMap { set in
        [Path(variant: variant, set: set, precision: .float32, isPaired: false)]
          + (set.hasBFloat16Products ? [true, false] : [false]).map {
            Path(variant: variant, set: set, precision: .bfloat16, isPaired: $0)
          }
      }
    }

    func forward(_ inputs: Operands, _ shape: AttentionShape) throws -> Forward {
      var context = ExecutionContext(threads: 2, instructionSet: set)
      context.bfloat16Road = isPaired ? .products : .upconvert
      let shape = shape.with(precision: precision)
      return try Catalog.standard.make(
        variant, shape: shape, key: RandomKey(seed: 1)
      ).attend(inputs.converted(to: precision), in: context)
    }
  }

  /// Every row of q is one number, as is every row of k and of v.
  private static func inputs(_ q: [Float], _ k: [Float], _ v: [Float]) throws -> Operands {
    Operands(
      query: try Tensor(q, shape: [1, 1, q.count, 1]), key: try Tensor(k, shape: [1, 1, k.count, 1]),
      value: try Tensor(v, shape: [1, 1, v.count, 1]))
  }

  private static func shape(_ queries: Int, _ keys: Int, causal: Bool = false) throws -> AttentionShape {
    try AttentionShape(queryLength: queries, keyLength: keys, headDim: 1, isCausal: causal, scale: 1)
  }

  @Test("scores of −10³² are a softmax like any other, few rows or many", arguments: Path.all, [1, 3, 40])
  func hugeNegative(_ path: Path, _ rows: Int) throws {
    let inputs = try Self.inputs([Float](repeating: 0x1p53, count: rows), [-0x1p53, -0x1p54], [1, 5])
    let forward = try path.forward(inputs, Self.shape(rows, 2))
    #expect(forward.output.array() == [Float](repeating: 1, count: rows))
    for lse in forward.lse.array() { #expect(abs(lse / -0x1p106 - 1) < 1e-6, "\(lse)") }
    let gradient = try forward.backward(
      Tensor([Float](repeating: 1, count: rows), shape: [1, 1, rows, 1]),
      in: ExecutionContext(threads: 1, instructionSet: path.set))
    #expect(gradient.value.array() == [Float(rows), 0])
    #expect(gradient.query.array().allSatisfy { $0 == 0 } && gradient.key.array() == [0, 0])
  }

  @Test(
    "a score beyond single precision is refused whatever its sign, and the first pair named",
    arguments: Path.all, [1, 3, 40])
  func overflow(_ path: Path, _ rows: Int) throws {
    var queries = [Float](repeating: 1, count: rows)
    queries[rows - 1] = 0x1p80
    for key: Float in [-0x1p80, 0x1p80] {
      let inputs = try Self.inputs(queries, [1, 2, key, 3], [1, 1, 1, 1])
      let error = #expect(throws: ScoreOverflow.self) { try path.forward(inputs, Self.shape(rows, 4)) }
      #expect(error?.query == rows - 1 && error?.key == 2 && error?.batch == 0 && error?.head == 0)
      #expect(error?.score == Double(key) * 0x1p80)
      #expect(error?.description.contains("query \(rows - 1) and key 2 (batch 0, head 0)") == true)
    }
  }

  @Test("∞ − ∞ is no score either", arguments: Path.all)
  func notANumber(_ path: Path) throws {
    let shape = try AttentionShape(queryLength: 20, keyLength: 20, headDim: 2, scale: 1)
    var keys = [Float](repeating: 1, count: 40)
    (keys[10], keys[11]) = (0x1p100, -0x1p100)
    let inputs = Operands(
      query: try Tensor([Float](repeating: 0x1p60, count: 40), shape: [1, 1, 20, 2]),
      key: try Tensor(keys, shape: [1, 1, 20, 2]), value: try Tensor(zeros: [1, 1, 20, 2]))
    let error = #expect(throws: ScoreOverflow.self) { try path.forward(inputs, shape) }
    #expect(error?.key == 5)
  }

  @Test("a masked pair has no score, whatever its product", arguments: Path.all, [3, 40])
  func masked(_ path: Path, _ rows: Int) throws {
    // The last key overflows with every query but the last, which alone sees it.
    var queries = [Float](repeating: 0x1p80, count: rows), keys = [Float](repeating: 1, count: rows)
    (queries[rows - 1], keys[rows - 1]) = (0x1p-80, -0x1p80)
    let inputs = try Self.inputs(queries, keys, (0..<rows).map { Float($0) })
    let forward = try path.forward(inputs, Self.shape(rows, rows, causal: true))
    for (row, value) in forward.output.array().dropLast().enumerated() {
      #expect(abs(value - Float(row) / 2) <= 0.01 * Float(row + 1))
    }
    #expect(forward.lse.array().allSatisfy { $0.isFinite })
  }

  @Test("a weight that underflows is exactly 0", arguments: Path.all, [1, 3, 40])
  func zeroWeights(_ path: Path, _ rows: Int) throws {
    // The order of keys decides whether a weight is small from the start or becomes it.
    for keys: [Float] in [[0, -2000, -2000], [-2000, -2000, 0]] {
      let values: [Float] = keys.map { $0 == 0 ? 1 : 0x1p126 }
      let inputs = try Self.inputs([Float](repeating: 1, count: rows), keys, values)
      #expect(
        try path.forward(inputs, Self.shape(rows, 3)).output.array() == [Float](repeating: 1, count: rows))
    }
  }

  @Test("parts of a row that are put together keep their weights", arguments: InstructionSet.available)
  func merged(_ set: InstructionSet) throws {
    // Every score is −10⁸: between parts of 2048 and of fewer keys the LSE in single precision knows no difference.
    let count = 5000
    let values = (0..<count).map { Float($0 < 4096 ? 0 : 1) }
    let inputs = try Self.inputs([1e4], [Float](repeating: -1e4, count: count), values)
    let path = Path(variant: "full", set: set, precision: .float32, isPaired: false)
    let output = try path.forward(inputs, Self.shape(1, count)).output.array()
    #expect(abs(Double(output[0]) - 904.0 / 5000) < 1e-6, "\(output[0])")
    // A part of weight e⁻²⁰⁰⁰ adds nothing, however large its values.
    let keys = (0..<count).map { Float($0 < 4096 ? 0 : -2000) }
    let vast = try Self.inputs([1], keys, values.map { $0 == 0 ? 1 : 0x1p126 })
    let one = try path.forward(vast, Self.shape(1, count)).output.array()
    #expect(abs(one[0] - 1) < 1e-6, "\(one[0])")
  }

  @Test("norms of 2·10¹⁹ and 10⁻²² hash and attend as ordinary ones", arguments: InstructionSet.available)
  func norms(_ set: InstructionSet) throws {
    let base = try AttentionShape(queryLength: 130, headDim: 8)
    let inputs = try LSHTests.inputs(base)
    func run(_ factor: Float) throws -> [[Float]] {
      var shape = base
      shape.scale = 1 / Double(factor)
      let lsh = try Catalog.standard.make(
        "lsh", settings: ["buckets": .int(4), "chunk": .int(16)], shape: shape, key: RandomKey(seed: 2))
      let query = try Tensor(inputs.query.array().map { $0 * factor }, shape: shape.queryShape)
      let context = ExecutionContext(threads: 2, instructionSet: set)
      let forward = try lsh.attend(Operands(query: query, key: query, value: inputs.value), in: context)
      let gradient = try forward.backward(inputs.value, in: context)
      return [
        forward.output.array(), forward.lse.array(), gradient.value.array(),
        gradient.query.array().map { $0 * factor },
      ]
    }
    let ordinary = try run(1)
    for factor: Float in [0x1p63, 0x1p-75] { #expect(try run(factor) == ordinary, "\(factor)") }
  }

  @Test("padded keys and values are not read, infinite ones neither", arguments: Catalog.standard.ids)
  func padding(_ id: String) throws {
    let shape = try AttentionShape(queryLength: 40, headDim: 8, keyLengths: [33])
    var inputs = try LSHTests.inputs(shape)
    let settings: [String: ParameterValue] = id == "lsh" ? ["sharedQueryKey": .bool(false)] : [:]
    let variant = try Catalog.standard.make(id, settings: settings, shape: shape, key: RandomKey(seed: 1))
    func run() throws -> [[Float]] {
      let forward = try variant.attend(inputs, in: ExecutionContext(threads: 2))
      let gradient = try forward.backward(inputs.query, in: ExecutionContext(threads: 2))
      return [
        forward.output.array(), forward.lse.array(), gradient.query.array(), gradient.key.array(),
        gradient.value.array(),
      ]
    }
    let clean = try run()
    for (number, value) in [Float.infinity, -.infinity, .nan, .greatestFiniteMagnitude].enumerated() {
      for row in 33..<40 {
        inputs.key[0, 0, row, number] = value
        inputs.value[0, 0, row, number] = value
      }
      #expect(try run() == clean, "\(value)")
    }
  }
}
