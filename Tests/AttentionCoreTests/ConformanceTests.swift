import Basics
import Settings
import Tensors
import Testing

@testable import AttentionCore

/// A correct variant computed by the reference itself, and ways to break it: the check must notice every one.
struct Plant: AttentionVariant {
  /// What is wrong.
  enum Bug: String, CaseIterable, Sendable {
    case none, wrongMask, wrongGradient, swappedGradient, futureLeak, threadDependent, redrawn, wrongScale,
      emptyRowNaN,
      wrongHead, ignoresPadding, wrongLSE, outputOff, ignoresLedger, sentinelScores, acceptsOverflow,
      flooredWeights, singleSquares, noLSE
  }
  struct Configuration: VariantConfiguration {
    var bug = Bug.none
    static let parameters: [Parameter<Self>] = [.choice("bug", \.bug, help: "What is wrong")]
  }

  static let card = VariantCard(id: "plant", title: "Plant", paper: "none", idea: "A window.", equation: "o")
  let configuration: Configuration
  let shape: AttentionShape
  let planBytes = 0

  init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey) throws(ConfigurationError) {
    self.configuration = configuration
    self.shape = shape
  }

  private func allows(_ query: Int, _ key: Int) -> Bool {
    let distance = query + shape.queryOffset - key
    return distance <= 30 && distance >= (shape.isCausal ? 0 : -30)
  }

  func cost(of pass: PassKind) -> Cost {
    var pairs = 0
    for batch in 0..<shape.batch {
      for query in 0..<shape.queryLength {
        pairs += (0..<shape.validKeys(batch: batch)).count { allows(query, $0) } * shape.queryHeads
      }
    }
    return Cost(
      flops: 0, neededPairs: Double(pairs), executedPairs: Double(pairs), workspaceBytes: 0,
      inputOutputBytes: 0,
      stateBytes: 0)
  }

  func definition(of inputs: Operands) throws -> any Definition {
    SoftmaxDefinition(shape: shape, multiplicity: { allows($2, $3) ? 1 : 0 })
  }

  /// What this variant computes: the oracle of the definition, bent by the bug.
  private func bent(_ wide: DefinitionInputs) -> SoftmaxDefinition {
    let bug = configuration.bug
    var bentShape = shape
    if bug == .ignoresPadding { bentShape.keyLengths = nil }
    if bug == .wrongScale { bentShape.scale = shape.effectiveScale * 1.001 }
    if bug == .wrongHead, shape.keyHeads == 2 { bentShape.keyHeads = 2 }
    return SoftmaxDefinition(
      shape: bentShape,
      multiplicity: { _, _, query, key in
        if bug == .wrongMask, query + shape.queryOffset - key == 30 { return 0 }
        if bug == .sentinelScores, score(wide, query, key) <= -1e30 { return 0 }
        if bug == .futureLeak, shape.isCausal, key == query + shape.queryOffset + 1 { return 1 }
        return allows(query, key) ? 1 : 0
      })
  }

  /// The score of a pair in the first head of the first sequence: there a fault is seen as well as anywhere.
  private func score(_ inputs: DefinitionInputs, _ query: Int, _ key: Int) -> Double {
    let dim = shape.headDim
    return shape.effectiveScale
      * DoubleVectors.dot(inputs[.query], query * dim, inputs[.key], key * dim, count: dim).sum
  }

  /// x/‖x‖·‖x‖ with the squares in single precision.
  private func rescaled(_ rows: Tensor) throws -> Tensor {
    var values = rows.array()
    for start in stride(from: 0, to: values.count, by: shape.headDim) {
      let range = start..<start + shape.headDim
      let norm = values[range].reduce(0) { $0 + $1 * $1 }.squareRoot()
      for index in range { values[index] = values[index] / norm * norm }
    }
    return try Tensor(values, shape: rows.shape)
  }

  /// Σ_j v_j of every row's own keys, times 2⁻¹⁰⁰: what weights that are no smaller add.
  private func addFloor(to output: inout [Double], _ inputs: DefinitionInputs) {
    let values = inputs[.value]
    for index in output.indices {
      let row = index / shape.valueDim, head = row / shape.queryLength
      let keyHead = head / shape.queryHeads * shape.keyHeads + shape.keyHead(of: head % shape.queryHeads)
      for key in 0..<shape.keyLength where allows(row % shape.queryLength, key) {
        let at = (keyHead * shape.keyLength + key) * shape.valueDim + index % shape.valueDim
        output[index] += 0x1p-100 * values[at]
      }
    }
  }

  private func narrow(_ values: [Double], _ shape: [Int], _ context: ExecutionContext) throws -> Tensor {
    let ledger = configuration.bug == .ignoresLedger ? nil : context.ledger
    return try Tensor(values.map { Float($0) }, shape: shape, ledger: ledger)
  }

  func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    try context.checkCancellation()
    let given = inputs
    var inputs = inputs
    if configuration.bug == .wrongHead, shape.keyHeads == 2 {
      let key = inputs.key.array()
      let half = key.count / shape.batch / 2
      var swapped = key
      for index in key.indices { swapped[index] = key[index / half % 2 == 0 ? index + half : index - half] }
      inputs.key = try Tensor(swapped, shape: shape.keyShape)
    }
    if configuration.bug == .singleSquares { inputs.query = try rescaled(inputs.query) }
    let wide = DefinitionInputs(inputs)
    var result = bent(wide).forward(wide)
    if configuration.bug == .acceptsOverflow { result.largestScores = result.largestScores.map { _ in 0 } }
    if configuration.bug == .flooredWeights { addFloor(to: &result.output, wide) }
    switch configuration.bug {
    case .threadDependent: result.output[0] *= 1 + 1e-6 * Double(context.threads)
    case .redrawn: result.output[0] *= 1 + 1e-6 * Double.random(in: 0...1)
    case .wrongLSE: result.lse = result.lse.map { $0 * 1.0001 + 0.0001 }
    case .outputOff: result.output[result.output.count - 1] += 1e-4
    case .emptyRowNaN:
      for row in result.lse.indices where result.lse[row] == -.infinity { result.lse[row] = .nan }
    default: break
    }
    return Forward(
      output: try narrow(result.output, shape.outputShape, context),
      lse: configuration.bug == .noLSE
        ? nil : try narrow(result.singlePrecisionLSE.map { Double($0) }, shape.lseShape, context)
    ) { outputGradient, context in
      let wide = DefinitionInputs(given)
      let gradient = bent(wide).backward(outputGradient.array().map { Double($0) }, wide)
      let factor = configuration.bug == .wrongGradient ? 1.001 : 1
      let key = configuration.bug == .swappedGradient ? gradient.key.reversed() : gradient.key
      return Operands(
        query: try narrow(gradient.query.map { $0 * factor }, shape.queryShape, context),
        key: try narrow(key, shape.keyShape, context),
        value: try narrow(gradient.value, shape.valueShape, context))
    }
  }
}

/// A pattern variant whose tiles and definition may disagree.
struct PlantedPattern: PatternVariant {
  struct Configuration: VariantConfiguration {
    var isWrong = false
    static let parameters: [Parameter<Self>] = [
      .flag("isWrong", \.isWrong, help: "Whether a key is counted twice")
    ]
  }

  static let card = VariantCard(id: "planted-pattern", title: "P", paper: "none", idea: "All.", equation: "o")
  let configuration: Configuration
  let shape: AttentionShape
  let pattern: TilePattern

  init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey) throws(ConfigurationError) {
    self.configuration = configuration
    self.shape = shape
    var list = TileList()
    for start in stride(from: 0, to: shape.queryLength, by: 64) {
      let extra = configuration.isWrong && start == 64 ? [TileList.Segment(start: 0, count: 1)] : []
      list.addTile(
        start: start, count: min(64, shape.queryLength - start),
        segments: [.init(start: 0, count: shape.keyLength)] + extra)
    }
    pattern = TilePattern(shared: list)
  }

  func multiplicity(batch: Int, head: Int, query: Int, key: Int) -> Int { 1 }
  func cost(of pass: PassKind) -> Cost {
    Cost(flops: 0, neededPairs: 0, executedPairs: 0, workspaceBytes: 0, inputOutputBytes: 0, stateBytes: 0)
  }
  func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    throw CancellationRequested()
  }
}

@Suite struct ConformanceTests {
  static func report(_ bug: Plant.Bug) -> ConformanceReport {
    let conformance = Conformance(Plant.self, instructionSets: [.default])
    let settings: [String: ParameterValue] = ["bug": .string(bug.rawValue)]
    let showsInBits: [Plant.Bug] = [
      .none, .futureLeak, .threadDependent, .redrawn, .ignoresLedger, .ignoresPadding,
    ]
    let quick = conformance.run(.quick, settings: settings)
    let exact = showsInBits.contains(bug) ? conformance.exact(settings).checks : []
    return ConformanceReport(variant: "plant", checks: quick.checks + exact)
  }

  @Test("a correct variant passes everything, with room to spare")
  func correct() {
    let report = Self.report(.none)
    #expect(report.passed)
    #expect(report.failures.isEmpty, "\(report.failures.first?.description ?? "")")
    let groups = Set(report.checks.map(\.group))
    for group in [
      "lengths", "head sizes", "grouped-query", "cross lengths", "rows without keys", "padding",
      "large scores",
      "given scale", "huge negative scores", "huge scores", "huge norms", "tiny norms",
      "overflowing scores", "one overflowing score", "masked overflow", "exact zero weights", "threads",
      "seed", "strides", "ledger", "cancellation", "causality", "cost",
    ] { #expect(groups.contains(group), "\(group) was not checked") }
  }

  static let plantings: [(Plant.Bug, [String])] = [
    (.wrongMask, ["lengths", "cross lengths"]), (.wrongGradient, ["lengths"]),
    (.swappedGradient, ["head sizes"]),
    (.futureLeak, ["causality"]), (.threadDependent, ["threads"]), (.redrawn, ["seed"]),
    (.wrongScale, ["lengths", "given scale"]), (.emptyRowNaN, ["rows without keys"]),
    (.wrongHead, ["grouped-query"]),
    (.ignoresPadding, ["padding"]), (.wrongLSE, ["lengths"]), (.outputOff, ["lengths"]),
    (.ignoresLedger, ["ledger"]), (.sentinelScores, ["huge negative scores"]),
    (.acceptsOverflow, ["one overflowing score"]),
    (.flooredWeights, ["exact zero weights"]), (.singleSquares, ["huge norms", "tiny norms"]),
  ]

  @Test("every planted bug is found, by the check that is meant for it", arguments: plantings)
  func planted(_ bug: Plant.Bug, _ groups: [String]) {
    let report = Self.report(bug)
    #expect(!report.passed)
    let failed = Set(report.failures.map(\.group))
    for group in groups {
      #expect(failed.contains(group), "\(bug): \(group) did not fail, only \(failed.sorted())")
    }
  }

  @Test("a variant without a log-sum-exp, as a recurrence is, is checked in all else")
  func withoutLSE() throws {
    let conformance = Conformance(Plant.self, instructionSets: [.default])
    let item = ConformanceCase("lengths", try AttentionShape(queryLength: 20, headDim: 8))
    let checks = conformance.run(item, ["bug": .string("noLSE")], thorough: false)
    #expect(checks.allSatisfy { $0.verdict == .passed })
    #expect(Set(checks.map(\.quantity)).isSuperset(of: ["output", "dq", "dk", "dv"]))
    #expect(!checks.contains { $0.quantity == "lse" })
  }

  @Test("differences find a gradient that is not that of the forward pass")
  func differences() throws {
    let conformance = Conformance(Plant.self, instructionSets: [.default])
    let shape = try AttentionShape(queryLength: 20, headDim: 8)
    func check(_ bug: String) -> [ConformanceCheck] {
      conformance.run(ConformanceCase("lengths", shape), ["bug": .string(bug)], thorough: true)
        .filter { $0.group == "finite differences" }
    }
    #expect(check("none").count == 2)
    #expect(check("none").allSatisfy { $0.verdict == .passed })
    #expect(check("swappedGradient").contains { $0.quantity == "variant" && $0.verdict == .failed })
  }

  @Test("tiles that count a pair twice are found, and so is a variant that throws")
  func tiles() throws {
    let conformance = Conformance(PlantedPattern.self, instructionSets: [.default])
    let shape = try AttentionShape(queryLength: 100, headDim: 4)
    for isWrong in [false, true] {
      let variant = try PlantedPattern.make(
        settings: ["isWrong": .bool(isWrong)], shape: shape, key: RandomKey(seed: 1))
      let checks = conformance.tiles(variant, "tiles", "")
      #expect(checks.map(\.error) == [isWrong ? 36 : 0])
      #expect(checks.allSatisfy { ($0.verdict == .failed) == isWrong })
      #expect(conformance.sampledTiles(variant).allSatisfy { ($0.verdict == .failed) == isWrong })
    }
    let report = conformance.run(.quick)
    #expect(!report.passed && report.failures.contains { $0.detail.contains("threw: cancelled") })
  }

  @Test("the shape class keeps what matters and is small enough for the reference")
  func shapeClass() throws {
    let shape = try AttentionShape(
      batch: 4, queryHeads: 16, keyHeads: 4, queryLength: 1, keyLength: 65536, headDim: 96, valueDim: 64,
      isCausal: true)
    let small = try ConformanceCase.shapeClass(of: shape).shape
    #expect(small.queryLength == 1 && small.keyLength == 320 && small.headDim == 96 && small.valueDim == 64)
    #expect(small.groupSize == 2 && small.isCausal)
  }

  @Test("a budget grows with length and head dim, and zero magnitude allows only zero")
  func budget() throws {
    let small = ErrorBudget(
      shape: try AttentionShape(queryLength: 10, headDim: 16), scoreMagnitude: 3, mostKeys: 10)
    let large = ErrorBudget(
      shape: try AttentionShape(queryLength: 10000, headDim: 128), scoreMagnitude: 3, mostKeys: 10000)
    #expect(small.output < large.output && small.queryGradient < large.queryGradient)
    #expect(small.output < 1e-5, "a bound that hides errors of 1e-5 is no bound")
    #expect(ErrorBudget.worst([1, 0], [1, 0], [1, 0]) == 0)
    #expect(ErrorBudget.worst([1, 1e-3], [1, 0], [1, 0]) == .infinity)
    #expect(ErrorBudget.worst([.nan], [0], [1]) == .infinity)
    #expect(ErrorBudget.worstAbsolute([-.infinity, 1], [-.infinity, 1.5]) == 0.5)
    #expect(ErrorBudget.worstAbsolute([-.infinity], [3]) == .infinity)
  }
}
