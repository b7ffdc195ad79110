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
    for lse in try #require(forward.lse).array() { #expect(abs(lse / -0x1p106 - 1) < 1e-6, "\(lse)") }
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

  @Test("∞ − ∞ is no score", arguments: Path.all)
  func notANumber(_ path: Path) throws {
    let shape = try AttentionShape(queryLength: 20, keyLength: 20, headDim: 2, scale: 1)
    var keys = [Float](repeating: 1, count: 40)
    (keys[10], keys[11]) = (0x1p100, -0x1p100)
    let inputs = Operands(
      query: try Tensor([Float](repeating: 0x1p60, count: 40), shape: [1, 1, 20, 2]),
      key: try Tensor(keys, shape: [1, 1, 20, 2]), value: try Tensor(zeros: [1, 1, 20, 2]))
    // The variant that stores its scores computes such a row anew: the sum is 0.
    guard path.variant == "full" else {
      let forward = try path.forward(inputs, shape)
      #expect(forward.output.array().allSatisfy { $0 == 0 })
      #expect(try #require(forward.lse).array().allSatisfy(\.isFinite))
      return
    }
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
    #expect(try #require(forward.lse).array().allSatisfy { $0.isFinite })
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

  @Test(
    "what the scale makes small need not be held before: 10²⁰ · −10²⁰ · 10⁻³⁸", arguments: Path.all,
    [1, 3, 40])
  func scaledDown(_ path: Path, _ rows: Int) throws {
    let inputs = try Self.inputs([Float](repeating: 1e20, count: rows), [-1e20, -2e20], [1, 5])
    var shape = try Self.shape(rows, 2)
    shape.scale = 1e-38
    let forward = try path.forward(inputs, shape)
    #expect(forward.output.array() == [Float](repeating: 1, count: rows))
    let near: Float = path.precision == .bfloat16 ? 2 : 1e-3
    for lse in try #require(forward.lse).array() { #expect(abs(lse + 100) < near, "\(lse)") }
    let gradient = try forward.backward(
      Tensor([Float](repeating: 1, count: rows), shape: [1, 1, rows, 1]),
      in: ExecutionContext(threads: 1, instructionSet: path.set))
    #expect(gradient.value.array()[0] == Float(rows))
    let finite = gradient.query.array() + gradient.key.array()
    #expect(finite.count { $0.isFinite } == rows + 2)
  }

  @Test(
    "a sum that passes what single precision holds and comes back", arguments: InstructionSet.available,
    [1, 40])
  func cancelled(_ set: InstructionSet, _ rows: Int) throws {
    let big: Float = 1.5e19,
      shape = try AttentionShape(queryLength: rows, keyLength: 2, headDim: 4, valueDim: 1, scale: 1)
    let inputs = Operands(
      query: try Tensor([Float](repeating: big, count: 4 * rows), shape: [1, 1, rows, 4]),
      key: try Tensor([big, big, -big, -big, 0, 0, 0, 0], shape: [1, 1, 2, 4]),
      value: try Tensor([1, 5], shape: [1, 1, 2, 1]))
    // The variant that stores its scores has them; others may refuse the row, in one line, or be right.
    for id in ["full-materialized", "full"] {
      let variant = try Catalog.standard.make(id, shape: shape, key: RandomKey(seed: 1))
      let context = ExecutionContext(threads: 2, instructionSet: set)
      do {
        let forward = try variant.attend(inputs, in: context)
        #expect(forward.output.array().allSatisfy { abs($0 - 3) < 1e-6 }, "\(id)")
        #expect(try #require(forward.lse).array().allSatisfy { abs($0 - 0.693147) < 1e-6 }, "\(id)")
      } catch let error as ScoreOverflow {
        #expect(id == "full", "\(error)")
        #expect(error.description.contains("is a sum of products that single precision does not hold"))
      }
    }
  }

  @Test(
    "a padded query whose scores overflow is nobody's result", arguments: Catalog.standard.idsOfPlainOperands)
  func paddedQuery(_ id: String) throws {
    let shape = try AttentionShape(queryLength: 40, headDim: 8, keyLengths: [33])
    var inputs = try LSHTests.inputs(shape)
    let settings: [String: ParameterValue] = id == "lsh" ? ["shared_query_key": .bool(false)] : [:]
    let variant = try Catalog.standard.make(id, settings: settings, shape: shape, key: RandomKey(seed: 1))
    let gradientOfOutput = try LSHTests.inputs(shape).value
    func run() throws -> (Forward, Operands) {
      let forward = try variant.attend(inputs, in: ExecutionContext(threads: 2))
      return (forward, try forward.backward(gradientOfOutput, in: ExecutionContext(threads: 2)))
    }
    // Rows of padding have a gradient of their own only where they are computed.
    for row in 33..<40 { for t in 0..<8 { inputs.query[0, 0, row, t] = 0 } }
    let clean = try run()
    for value in [Float.greatestFiniteMagnitude, .infinity, .nan] {
      for row in 33..<40 { for t in 0..<8 { inputs.query[0, 0, row, t] = value } }
      let (forward, gradient) = try run()
      let outputs = forward.output.array(), sums = try #require(forward.lse).array()
      #expect(Array(outputs[..<(33 * 8)]) == Array(clean.0.output.array()[..<(33 * 8)]))
      #expect(Array(sums[..<33]) == Array(try #require(clean.0.lse).array()[..<33]))
      for row in 33..<40 where sums[row] == -.infinity {
        #expect(outputs[row * 8..<row * 8 + 8].allSatisfy { $0 == 0 })
      }
      #expect(!sums.contains { $0.isNaN } && !outputs.contains { !$0.isFinite })
      for name in [Operand.Name.query, .key, .value] {
        #expect(gradient[name]?.array().contains { !$0.isFinite } == false, "\(name)")
      }
      #expect(gradient.query.array()[(33 * 8)...].allSatisfy { $0 == 0 } || sums[33] > -.infinity)
    }
    // A row that is no padding is refused as before.
    for t in 0..<8 { inputs.query[0, 0, 32, t] = .greatestFiniteMagnitude }
    for row in 0..<40 { for t in 0..<8 { inputs.key[0, 0, row, t] = 10 } }
    let error = #expect(throws: ScoreOverflow.self) {
      try variant.attend(inputs, in: ExecutionContext(threads: 2))
    }
    #expect(error?.query == 32)
  }

  @Test("values of 3·10³⁸ have a mean", arguments: Catalog.standard.idsOfPlainOperands, Precision.allCases)
  func vastValues(_ id: String, _ precision: Precision) throws {
    guard try Catalog.standard.type(of: id).precisions.contains(precision) else { return }
    let shape = try AttentionShape(queryLength: 40, headDim: 8).with(precision: precision)
    let plain = try LSHTests.inputs(shape)
    let values = plain.value.array().enumerated().map { place, x in
      place % 8 == 0 ? (x < 0 ? -1 : 1) * (2e38 + 1e38 * min(1, x.magnitude)) : place % 8 == 1 ? 1e-30 * x : x
    }
    let inputs = try Operands(
      query: plain.query, key: plain.key, value: Tensor(values, shape: shape.valueShape)
    ).converted(to: precision)
    let settings: [String: ParameterValue] = id == "lsh" ? ["shared_query_key": .bool(false)] : [:]
    let variant = try Catalog.standard.make(id, settings: settings, shape: shape, key: RandomKey(seed: 1))
    let context = ExecutionContext(threads: 2)
    let first = try variant.attend(inputs, in: context)
    let forward = try variant.attendVastValues(inputs, after: first, in: context)
    let exact = try variant.definition(of: inputs).forward(DefinitionInputs(inputs))
    let output = forward.output.array(), near = precision == .bfloat16 ? 0.02 : 1e-4
    for (place, (found, right)) in zip(output, exact.output).enumerated() {
      #expect(
        abs(Double(found) - right) <= near * exact.outputMagnitude[place], "\(place): \(found), \(right)")
    }
    let ones = try Tensor([Float](repeating: 1e-30, count: 320), shape: shape.outputShape)
    let gradient = try forward.backward(ones, in: context)
    for name in [Operand.Name.query, .key, .value] {
      #expect(gradient[name]?.array().contains { !$0.isFinite } == false, "\(name)")
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
        forward.output.array(), forward.lse?.array() ?? [], gradient.value.array(),
        gradient.query.array().map { $0 * factor },
      ]
    }
    let ordinary = try run(1)
    for factor: Float in [0x1p63, 0x1p-75] { #expect(try run(factor) == ordinary, "\(factor)") }
  }

  @Test(
    "padded keys and values are not read, infinite ones neither",
    arguments: Catalog.standard.idsOfPlainOperands)
  func padding(_ id: String) throws {
    let shape = try AttentionShape(queryLength: 40, headDim: 8, keyLengths: [33])
    var inputs = try LSHTests.inputs(shape)
    let settings: [String: ParameterValue] = id == "lsh" ? ["shared_query_key": .bool(false)] : [:]
    let variant = try Catalog.standard.make(id, settings: settings, shape: shape, key: RandomKey(seed: 1))
    func run() throws -> [[Float]] {
      let forward = try variant.attend(inputs, in: ExecutionContext(threads: 2))
      let gradient = try forward.backward(inputs.query, in: ExecutionContext(threads: 2))
      return [
        forward.output.array(), forward.lse?.array() ?? [], gradient.query.array(), gradient.key.array(),
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
