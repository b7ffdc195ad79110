import AttentionCore
import Basics
import Settings
import Tensors
import Testing

@testable import Attention

/// Hashing, sorting and the rules of Reformer, apart from the oracle check that all variants pass.
@Suite struct LSHTests {
  static func inputs(_ shape: AttentionShape, seed: UInt64 = 1) throws -> Operands {
    let key = RandomKey(seed: seed)
    return Operands(
      query: try .normal(shape.queryShape, key: key("q")), key: try .normal(shape.keyShape, key: key("k")),
      value: try .normal(shape.valueShape, key: key("v")))
  }

  static func configuration(_ change: (inout LSH.Configuration) -> Void) -> LSH.Configuration {
    var configuration = LSH.Configuration()
    change(&configuration)
    return configuration
  }

  /// argmax [p ; −p], or `nil` when the best two are too near to tell in single precision.
  private static func bucket(_ products: [Double]) -> Int? {
    let all = products + products.map { -$0 }
    let sorted = all.sorted(by: >)
    return sorted[0] - sorted[1] < 1e-5 ? nil : all.firstIndex(of: sorted[0])
  }

  @Test(
    "buckets are the argmax of [xR; −xR] in Double, on every instruction set alike",
    arguments: [1, 7, 65, 130])
  func buckets(_ length: Int) throws {
    let shape = try AttentionShape(batch: 2, queryHeads: 2, queryLength: length, headDim: 17)
    let rotations = try Tensor.normal([2, 17, 3, 5], key: RandomKey(seed: 4))
    let lsh = try LSH(
      Self.configuration { ($0.buckets, $0.hashes) = (10, 3) }, for: shape, key: RandomKey(seed: 8)
    ).with(rotations: rotations.array(), shape: rotations.shape)
    let inputs = try Self.inputs(shape)
    let first = try lsh.queryBuckets(of: inputs, in: ExecutionContext(threads: 1))
    for set in InstructionSet.available {
      #expect(
        try lsh.queryBuckets(of: inputs, in: ExecutionContext(threads: 3, instructionSet: set)) == first)
    }
    var ties = 0
    for batch in 0..<2 {
      for head in 0..<2 {
        for hash in 0..<3 {
          for row in 0..<length {
            let products = (0..<5).map { column in
              (0..<17).reduce(0.0) {
                $0 + Double(inputs.query[batch, head, row, $1]) * Double(rotations[head, $1, hash, column])
              }
            }
            guard let expected = Self.bucket(products) else {
              ties += 1
              continue
            }
            let bucket = first[((batch * 2 + head) * 3 + hash) * length + row]
            #expect(Int(bucket) == expected, "batch \(batch), head \(head), row \(row)")
          }
        }
      }
    }
    #expect(ties < 3)
  }

  @Test(
    "groups of columns: every number of buckets finds the argmax",
    arguments: [1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 23, 32])
  func columnGroups(_ half: Int) throws {
    let rows = 70, dim = 9
    let rotations = try Tensor.normal([1, dim, 2, half], key: RandomKey(seed: 5))
    let input = try Tensor.normal([1, 1, rows, dim], key: RandomKey(seed: 6))
    // Sums of fused products in the order of dims: exactly these numbers on every instruction set; the first of equals.
    var expected: [Int32] = []
    for hash in 0..<2 {
      for row in 0..<rows {
        let sums = (0..<half).map { column in
          (0..<dim).reduce(Float(0)) {
            $0.addingProduct(rotations[0, $1, hash, column], input[0, 0, row, $1])
          }
        }
        let both = sums + sums.map(-)
        expected.append(Int32(both.firstIndex { $0 == both.max() } ?? -1))
      }
    }
    let hashing = BatchRotations(
      RandomRotations(rotations.array(), shape: rotations.shape, firstHalf: half, secondHalf: 0), batch: 1)
    for isa in InstructionSet.available {
      let buckets = try hashing.buckets(
        of: input, valid: [rows], in: ExecutionContext(threads: 2, instructionSet: isa))
      #expect(buckets == expected, "\(isa)")
    }
  }

  @Test("two factors: bucket = first + b₁·second")
  func twoFactors() throws {
    let shape = try AttentionShape(queryLength: 40, headDim: 8)
    let configuration = Self.configuration { ($0.buckets, $0.factorAbove, $0.hashes) = (32, 16, 2) }
    let halves = configuration.halves(tokens: 40)
    #expect(halves == (2, 4))
    let all = try Tensor.normal([1, 8, 2, 6], key: RandomKey(seed: 4)).array()
    let lsh = try LSH(configuration, for: shape, key: RandomKey(seed: 8))
      .with(rotations: all, shape: [1, 8, 2, 6])
    #expect(lsh.rotations.sets.map(\.bucketCount) == [32])
    let inputs = try Self.inputs(shape)
    func single(_ range: Range<Int>) throws -> [Int32] {
      let part = (0..<8 * 2).flatMap { index in range.map { all[index * 6 + $0] } }
      let set = RandomRotations(part, shape: [1, 8, 2, range.count], firstHalf: range.count, secondHalf: 0)
      return try BatchRotations(set, batch: 1)
        .buckets(of: inputs.query, valid: [40], in: ExecutionContext())
    }
    let (first, second) = (try single(0..<2), try single(2..<6))
    #expect(
      try lsh.queryBuckets(of: inputs, in: ExecutionContext()) == zip(first, second).map { $0 + 4 * $1 })
  }

  @Test("the number of buckets when none is given: 2n/chunk, a power of two")
  func automaticBuckets() {
    for (tokens, expected) in [(1, 2), (64, 2), (128, 4), (4096, 128), (4000, 64), (8192, 256)] {
      let halves = LSH.Configuration().halves(tokens: tokens)
      #expect(2 * halves.first * max(1, 2 * halves.second) == expected, "\(tokens) tokens")
    }
    #expect(
      LSH.Configuration().halves(tokens: 16384) == (8, 16), "512 buckets are 16 × 32, as in Hugging Face")
  }

  @Test("rotations from outside change the buckets; a wrong shape is refused in one line")
  func outsideRotations() throws {
    let shape = try AttentionShape(queryHeads: 2, queryLength: 20, headDim: 4)
    let lsh = try LSH(
      Self.configuration { ($0.buckets, $0.hashes) = (4, 1) }, for: shape, key: RandomKey(seed: 1))
    // Rotations that pick coordinates 0 and 1: bucket 0, 1 for the larger positive, 2, 3 for the larger negative.
    var values = [Float](repeating: 0, count: 2 * 4 * 2)
    for head in 0..<2 { (values[head * 8], values[head * 8 + 3]) = (1, 1) }
    let given = try lsh.with(rotations: values, shape: [2, 4, 1, 2])
    let inputs = try Self.inputs(shape)
    let buckets = try given.queryBuckets(of: inputs, in: ExecutionContext())
    for head in 0..<2 {
      for row in 0..<20 {
        let (x, y) = (inputs.query[0, head, row, 0], inputs.query[0, head, row, 1])
        let expected = x.magnitude >= y.magnitude ? (x >= 0 ? 0 : 2) : (y >= 0 ? 1 : 3)
        #expect(Int(buckets[head * 20 + row]) == expected)
      }
    }
    let error = #expect(throws: ConfigurationError.self) {
      try lsh.with(rotations: values, shape: [2, 4, 2, 1])
    }
    #expect(
      error?.description == "rotations: shape [2, 4, 2, 1] is not allowed; it takes the shape [2, 4, 1, 2]")
  }

  @Test("a token sees itself only when it has nothing else")
  func lonely() throws {
    let shape = try AttentionShape(queryLength: 9, headDim: 4, valueDim: 3, isCausal: true)
    let lsh = try LSH(
      Self.configuration { ($0.buckets, $0.hashes, $0.chunk) = (2, 3, 4) }, for: shape,
      key: RandomKey(seed: 2))
    let inputs = try Self.inputs(shape)
    let result = try lsh.forward(inputs, in: ExecutionContext())
    // Row 0 of a causal shape has no other key: its output is its value, whatever its score.
    for t in 0..<3 { #expect(result.output[0, 0, 0, t] == inputs.value[0, 0, 0, t]) }
    let definition = try #require(try lsh.definition(of: inputs) as? any PairDefinition)
    #expect(definition.multiplicity(0, 0, 0, 0) == 3, "once a round")
    for row in 1..<9 {
      let others = (0..<row).contains { definition.multiplicity(0, 0, row, $0) > 0 }
      #expect((definition.multiplicity(0, 0, row, row) > 0) == !others)
    }
  }

  @Test("with separate q and k, changing the future changes nothing in the past")
  func strictCausality() throws {
    let shape = try AttentionShape(queryLength: 30, headDim: 4, isCausal: true)
    let shared = try LSH(LSH.Configuration(), for: shape, key: RandomKey(seed: 2))
    let separate = try LSH(
      Self.configuration { $0.sharedQueryKey = false }, for: shape, key: RandomKey(seed: 2))
    #expect(separate.causality == .strict)
    #expect(shared.causality != .strict)
  }

  @Test("sorting is by bucket, then position")
  func order() {
    let order = BucketOrder([2, 0, 1, 0, 2, 2][...], bucketCount: 4)
    #expect(order.tokens == [1, 3, 2, 0, 4, 5])
    #expect(order.starts == [0, 2, 3, 6, 6])
  }

  @Test("q and k of different length need shared_query_key=false")
  func lengths() throws {
    let shape = try AttentionShape(queryLength: 3, keyLength: 5, headDim: 4)
    let error = #expect(throws: ConfigurationError.self) {
      try Catalog.standard.make("lsh", shape: shape, key: RandomKey(seed: 1))
    }
    #expect(
      error?.description
        == "shared_query_key: true is not allowed; it takes false when q and k differ in length (3 and 5 here)"
    )
  }

  @Test(
    "the closed form of memory is what the ledger counts, to 3 %",
    arguments: [(1, 1), (2, 2), (4, 4), (8, 8), (4, 2)], Precision.allCases)
  func memory(_ heads: (query: Int, key: Int), _ precision: Precision) throws {
    let shape = try AttentionShape(
      queryHeads: heads.query, keyHeads: heads.key, queryLength: 1024, headDim: 64, precision: precision)
    let inputs = try Self.inputs(shape).converted(to: precision)
    for configuration in [LSH.Configuration(), Self.configuration { $0.duplicates = .drop }] {
      let lsh = try LSH(configuration, for: shape, key: RandomKey(seed: 2))
      let ledger = MemoryLedger()
      let context = ExecutionContext(threads: 1, ledger: ledger)
      func check(_ pass: PassKind, given: Double) {
        let measured = Double(ledger.peakBytes) + given, cost = lsh.cost(of: pass)
        let predicted = cost.workspaceBytes + cost.inputOutputBytes
        #expect(
          abs(predicted / measured - 1) < 0.03, "\(pass): \(predicted) predicted, \(measured) measured")
      }
      let forward = try lsh.forward(inputs, in: context)
      check(.forward, given: shape.inputBytes)
      ledger.resetPeak()
      _ = try forward.backward(forward.output, in: context)
      check(.backward, given: shape.inputBytes + 4 * shape.outputShape.reduce(1) { $0 * Double($1) })
    }
  }
}
