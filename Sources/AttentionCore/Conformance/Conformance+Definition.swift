import Basics
import Tensors

extension Conformance {
  /// A forward and a backward pass as arrays.
  struct Result: Equatable {
    var output: [Float]
    /// `nil` of a variant without a softmax.
    var lse: [Float]?
    /// The gradient of every operand that has one.
    var gradients: [Operand.Name: [Float]]

    init(output: [Float], lse: [Float]?, gradients: [Operand.Name: [Float]]) {
      self.output = output
      self.lse = lse
      self.gradients = gradients
    }

    /// The number of elements whose bits differ; all when the sizes do.
    func differences(from other: Result) -> Int {
      func count(_ a: [Float], _ b: [Float]) -> Int {
        a.count == b.count ? zip(a, b).count { $0.bitPattern != $1.bitPattern } : max(a.count, b.count)
      }
      let names = Set(gradients.keys).union(other.gradients.keys)
      return count(output, other.output) + count(lse ?? [], other.lse ?? [])
        + names.reduce(0) { $0 + count(gradients[$1] ?? [], other.gradients[$1] ?? []) }
    }
  }

  func gradientOfOutput(_ shape: AttentionShape) throws -> Tensor {
    try Tensor.normal(shape.outputShape, key: key("output gradient"))
  }

  func evaluate(
    _ variant: any AttentionVariant, _ inputs: Operands, _ outputGradient: Tensor,
    in context: ExecutionContext
  ) throws -> Result {
    let forward = try variant.attend(inputs, in: context)
    let gradient = try forward.backward(outputGradient, in: context)
    var gradients: [Operand.Name: [Float]] = [:]
    for name in gradient.names { gradients[name] = gradient[name]?.array() }
    return Result(output: forward.output.array(), lse: forward.lse?.array(), gradients: gradients)
  }

  /// Output, LSE and gradients against the definition on every instruction set, and the definition against its own
  /// differences.
  func againstDefinition(
    _ variant: any AttentionVariant, _ definition: any Definition, _ inputs: Operands,
    _ item: ConformanceCase, _ subject: String, thorough: Bool
  ) throws -> [ConformanceCheck] {
    var checks = try compare(variant, definition, inputs, subject, group: item.group)
    // Rounded inputs cannot be moved by small steps, and the definition is the same for every precision.
    if thorough, item.shape.queryLength * item.shape.keyLength <= 5000, item.inputScale == 1,
      item.shape.precision == .float32
    {
      guard !definition.hasSurrogateGradient else { return checks }
      checks.append(try definitionDifferences(variant, definition, inputs, subject))
      // Float32 needs steps so long that each crosses kinks.
      if !variant.card.dependsOnData, !definition.hasKinks {
        checks.append(try variantDifferences(variant, definition, inputs, subject))
      }
    }
    return checks
  }

  /// Output, LSE and gradients of given inputs against the definition, on every instruction set.
  func compare(
    _ variant: any AttentionVariant, _ definition: any Definition, _ inputs: Operands, _ subject: String,
    group: String
  ) throws -> [ConformanceCheck] {
    let reference = try Reference(definition, inputs, gradientOfOutput(variant.shape))
    return try contexts.flatMap { set, context in
      try compared(variant, inputs, with: reference, in: context).map { result in
        ConformanceCheck(
          group: group, quantity: result.quantity, subject: "\(subject); \(set)", error: result.error,
          bound: result.bound)
      }
    }
  }

  /// A result beside what the definition says.
  struct Compared {
    var quantity: String
    var values: [Float], exact: [Double]
    /// What errors are relative to; `nil`: they are absolute.
    var magnitudes: [Double]?
    var bound: Double
    var shape: [Int]

    var error: Double {
      magnitudes.map { ErrorBudget.worst(values, exact, $0) } ?? ErrorBudget.worstAbsolute(values, exact)
    }
  }

  /// What the definition says of given inputs.
  struct Reference {
    let outputGradient: Tensor
    let exact: DefinitionResult, gradient: DefinitionGradient
    let budget: ErrorBudget

    init(_ definition: any Definition, _ inputs: Operands, _ outputGradient: Tensor) {
      let wide = DefinitionInputs(inputs)
      self.outputGradient = outputGradient
      exact = definition.forward(wide)
      gradient = definition.backward(outputGradient.array().map { Double($0) }, wide)
      budget = definition.budget(exact)
    }
  }

  /// Output, LSE and gradients of given inputs beside the definition's, in one context.
  func compared(
    _ variant: any AttentionVariant, _ inputs: Operands, with reference: Reference,
    in context: ExecutionContext
  ) throws -> [Compared] {
    let shape = variant.shape
    let (exact, gradient, budget) = (reference.exact, reference.gradient, reference.budget)
    let result = try evaluate(variant, inputs, reference.outputGradient, in: context)
    var all = [
      Compared(
        quantity: "output", values: result.output, exact: exact.output, magnitudes: exact.outputMagnitude,
        bound: budget.output, shape: shape.outputShape)
    ]
    // A softmax without its log-sum-exp fails: no values are not as many as there are rows.
    if result.lse != nil || variant is any SoftmaxVariant {
      all.append(
        Compared(
          quantity: "lse", values: result.lse ?? [], exact: exact.lse, bound: budget.lse,
          shape: shape.lseShape))
    }
    for operand in Operand.all(variant.operands) where operand.hasGradient && inputs[operand.name] != nil {
      all.append(
        Compared(
          quantity: operand.gradientLabel, values: result.gradients[operand.name] ?? [],
          exact: gradient.values[operand.name] ?? [], magnitudes: gradient.magnitudes[operand.name] ?? [],
          bound: budget.gradient(of: operand, at: shape), shape: operand.extents(at: shape)))
    }
    return all
  }

  /// Every instruction set; with bfloat16 inputs, one that has products of them a second time without.
  var contexts: [(name: String, ExecutionContext)] {
    instructionSets.flatMap { set in
      var context = ExecutionContext(threads: 2, instructionSet: set)
      guard precision == .bfloat16, set.hasBFloat16Products else { return [("\(set)", context)] }
      var upconverting = context
      (context.bfloat16Road, upconverting.bfloat16Road) = (.products, .upconvert)
      return [("\(set) in pairs", context), ("\(set) up-converting", upconverting)]
    }
  }

  /// Whether the tiles count exactly the pairs that the definition counts.
  func tiles(_ variant: any AttentionVariant, _ group: String, _ subject: String) -> [ConformanceCheck] {
    guard let base = variant as? any PatternVariant else { return [] }
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
  func sampledTiles(_ variant: any AttentionVariant) -> [ConformanceCheck] {
    guard let base = variant as? any PatternVariant else { return [] }
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
  func neededPairs(
    _ variant: any AttentionVariant, _ definition: any Definition, _ subject: String
  ) -> [ConformanceCheck] {
    guard !variant.card.dependsOnData, let definition = definition as? any PairDefinition else { return [] }
    let shape = variant.shape
    let needed = shape.definitionRows.reduce(0) { $0 + definition.pairCount(of: $1) }
    let said = variant.cost(of: .forward).neededPairs ?? .infinity
    return [
      ConformanceCheck(
        group: "cost", quantity: "needed pairs", subject: subject,
        error: (said - Double(needed)).magnitude,
        bound: 0, detail: "\(short(said)) said, \(needed) defined")
    ]
  }
}
