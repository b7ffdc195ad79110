import Basics
import Tensors

extension Conformance {
  /// A forward and a backward pass as arrays.
  struct Result: Equatable {
    var output: [Float]
    var lse: [Float]
    var query: [Float]
    var key: [Float]
    var value: [Float]
    var global: [[Float]] = []

    /// The number of elements whose bits differ; all when the sizes do.
    func differences(from other: Result) -> Int {
      func count(_ a: [Float], _ b: [Float]) -> Int {
        a.count == b.count ? zip(a, b).count { $0.bitPattern != $1.bitPattern } : max(a.count, b.count)
      }
      let pairs = [
        (output, other.output), (lse, other.lse), (query, other.query), (key, other.key),
        (value, other.value),
      ]
      return (pairs + zip(global, other.global)).reduce(0) { $0 + count($1.0, $1.1) }
    }
  }

  func gradientOfOutput(_ shape: AttentionShape) throws -> Tensor {
    try Tensor.normal(shape.outputShape, key: key("output gradient"))
  }

  func evaluate(
    _ variant: AnyAttention, _ inputs: QKV, _ outputGradient: Tensor, in context: ExecutionContext
  ) throws -> Result {
    let forward = try variant.forward(inputs, in: context)
    let gradient = try forward.backward(outputGradient, in: context)
    var result = Result(
      output: forward.output.array(), lse: forward.lse.array(), query: gradient.query.array(),
      key: gradient.key.array(), value: gradient.value.array())
    if let global = gradient.global {
      result.global = [global.query.array(), global.key.array(), global.value.array()]
    }
    return result
  }

  /// Output, LSE and gradients against the oracle on every instruction set, and the oracle against its own differences.
  func againstOracle(
    _ variant: AnyAttention, _ item: ConformanceCase, _ subject: String, thorough: Bool
  ) throws -> [ConformanceCheck] {
    var checks = try compare(variant, item, subject, group: item.group, withGlobal: false)
    let inputs = try item.inputs(key("inputs"))
    let oracle = try variant.oracle(for: inputs)
    if oracle.isGlobalRow != nil {
      checks += try compare(variant, item, subject, group: "global projections", withGlobal: true)
    }
    // Rounded inputs cannot be moved by small steps, and the oracle is the same for every precision.
    if thorough, item.shape.queryLength * item.shape.keyLength <= 5000, item.inputScale == 1,
      item.shape.precision == .float32
    {
      checks.append(try oracleDifferences(oracle, inputs, subject))
      if !variant.card.dependsOnData {
        checks.append(try variantDifferences(variant, oracle, inputs, subject))
      }
    }
    return checks
  }

  private func compare(
    _ variant: AnyAttention, _ item: ConformanceCase, _ subject: String, group: String, withGlobal: Bool
  ) throws -> [ConformanceCheck] {
    let inputs = try item.inputs(key("inputs"), withGlobal: withGlobal)
    return try compare(variant, inputs, subject, group: group)
  }

  /// Output, LSE and gradients of given inputs against the oracle, on every instruction set.
  func compare(_ variant: AnyAttention, _ inputs: QKV, _ subject: String, group: String) throws
    -> [ConformanceCheck]
  {
    let shape = variant.shape
    let outputGradient = try gradientOfOutput(shape)
    let oracle = try variant.oracle(for: inputs)
    let reference = Reference(oracle, ReferenceInputs(inputs))
    let exact = reference.forward()
    let gradient = reference.backward(outputGradient.array().map { Double($0) })
    let budget = ErrorBudget(
      shape: shape, scoreMagnitude: exact.scoreMagnitude, mostKeys: exact.mostKeys,
      normalizesKeys: oracle.keySource == .normalizedQueries)
    var checks: [ConformanceCheck] = []
    for (set, context) in contexts {
      let result = try evaluate(variant, inputs, outputGradient, in: context)
      func add(_ quantity: String, _ error: Double, _ bound: Double) {
        checks.append(
          ConformanceCheck(
            group: group, quantity: quantity, subject: "\(subject); \(set)", error: error, bound: bound))
      }
      func add(
        _ prefix: String, _ values: [[Float]], _ exact: Reference.Gradient.Set
      ) {
        let (v, m) = (exact.values, exact.magnitudes)
        add(prefix + "dq", ErrorBudget.worst(values[0], v.query, m.query), budget.queryGradient)
        add(prefix + "dk", ErrorBudget.worst(values[1], v.key, m.key), budget.keyGradient)
        add(prefix + "dv", ErrorBudget.worst(values[2], v.value, m.value), budget.valueGradient)
      }
      add("output", ErrorBudget.worst(result.output, exact.output, exact.outputMagnitude), budget.output)
      add("lse", ErrorBudget.worstAbsolute(result.lse, exact.lse), budget.lse)
      add("", [result.query, result.key, result.value], gradient.local)
      if let global = gradient.global {
        let values = result.global.count == 3 ? result.global : [[], [], []]
        add("global ", values, global)
      }
    }
    return checks
  }

  /// Every instruction set; with bfloat16 inputs, one that has products of them a second time without.
  var contexts: [(name: String, ExecutionContext)] {
    instructionSets.flatMap { set in
      var context = ExecutionContext(threads: 2, instructionSet: set)
      guard precision == .bfloat16, set.hasBFloat16Products else { return [("\(set)", context)] }
      var widening = context
      (context.bfloat16Road, widening.bfloat16Road) = (.products, .upconvert)
      return [("\(set) in pairs", context), ("\(set) widening", widening)]
    }
  }

  /// Whether the tiles count exactly the pairs that the definition counts.
  func tiles(_ variant: AnyAttention, _ group: String, _ subject: String) -> [ConformanceCheck] {
    guard let base = variant.base as? any PatternVariant else { return [] }
    let shape = variant.shape
    var wrong = 0
    var example = ""
    for batch in 0..<shape.batch {
      for head in 0..<shape.queryHeads {
        var counts = [Int](repeating: 0, count: shape.queryLength * shape.keyLength)
        var outside = 0
        base.pattern.list(batch: batch, head: head).forEachPair(queryOffset: shape.queryOffset) { row, key in
          if row >= 0, row < shape.queryLength, key >= 0, key < shape.keyLength {
            counts[row * shape.keyLength + key] += 1
          } else {
            outside += 1
          }
        }
        wrong += outside
        for row in 0..<shape.queryLength {
          for column in 0..<shape.keyLength {
            let count = counts[row * shape.keyLength + column]
            let expected = base.multiplicity(batch: batch, head: head, query: row, key: column)
            if count != expected {
              wrong += 1
              if example.isEmpty {
                example = "row \(row), key \(column): \(count) in the tiles, \(expected) defined"
              }
            }
          }
        }
      }
    }
    return [
      ConformanceCheck(
        group: "tiles", quantity: "pairs", subject: subject, error: Double(wrong), bound: 0, detail: example)
    ]
  }

  /// The same for a few rows of a shape that is too large to compare whole.
  func sampledTiles(_ variant: AnyAttention) -> [ConformanceCheck] {
    guard let base = variant.base as? any PatternVariant else { return [] }
    let shape = variant.shape
    let samples = Set((0..<8).map { (shape.queryLength - 1) * $0 / 7 })
    var wrong = 0
    for head in Set([0, shape.queryHeads - 1]) {
      let list = base.pattern.list(batch: 0, head: head)
      var counts: [Int: [Int]] = [:]
      for row in samples { counts[row] = [Int](repeating: 0, count: shape.keyLength) }
      for tile in list.tiles {
        for (lane, row) in list.rows(of: tile).enumerated() where samples.contains(row) {
          for segment in list.segments(of: tile) {
            for (t, key) in list.keys(of: segment).enumerated()
            where list.allows(segment.mask, lane: lane, position: row + shape.queryOffset, t: t, key: key) {
              counts[row]?[key] += 1
            }
          }
        }
      }
      for (row, counts) in counts {
        wrong += (0..<shape.keyLength).count {
          counts[$0] != base.multiplicity(batch: 0, head: head, query: row, key: $0)
        }
      }
    }
    return [
      ConformanceCheck(
        group: "tiles", quantity: "sampled rows", subject: subject(variant), error: Double(wrong), bound: 0)
    ]
  }

  /// Whether the closed-form cost counts the pairs that the definition counts.
  func neededPairs(_ variant: AnyAttention, _ item: ConformanceCase, _ subject: String) throws
    -> [ConformanceCheck]
  {
    guard !variant.card.dependsOnData else { return [] }
    let shape = item.shape
    let oracle = try variant.oracle(for: try item.inputs(key("inputs")))
    var needed = 0
    for batch in 0..<shape.batch {
      for head in 0..<shape.queryHeads {
        for row in 0..<shape.queryLength {
          for column in 0..<shape.validKeys(batch: batch) {
            needed += oracle.multiplicity(batch, head, row, column)
          }
        }
      }
    }
    let cost = variant.cost(of: .forward)
    return [
      ConformanceCheck(
        group: "cost", quantity: "needed pairs", subject: subject,
        error: (cost.neededPairs - Double(needed)).magnitude,
        bound: 0, detail: "\(short(cost.neededPairs)) said, \(needed) defined")
    ]
  }
}
