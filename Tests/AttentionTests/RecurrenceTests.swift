import AttentionCore
import Basics
import Foundation
import LabTestSupport
import Settings
import Tensors
import Testing

@testable import Attention

/// The scan over chunks beside its definition, with decays, maps and sizes that no variant of the catalogue has together.
@Suite struct RecurrenceTests {
  static let key = RandomKey(seed: 11)
  static let recurrences = ["linear", "retention", "gla", "mamba2", "gated-delta", "kda"]

  static func variant(
    _ id: String, _ shape: AttentionShape, _ settings: [String: ParameterValue] = [:]
  ) throws -> any RecurrentVariant {
    let made = try Catalog.standard.make(id, settings: settings, shape: shape, key: Self.key)
    return try #require(made as? any RecurrentVariant)
  }

  /// A recurrence at a shape, in chunks of some length.
  struct Case: CustomTestStringConvertible, Sendable {
    var shape: AttentionShape
    var recurrence: Recurrence
    var chunk = ScanGeometry.defaultChunk

    var testDescription: String { "\(shape.summary), \(recurrence), chunk \(chunk)" }
  }

  static func cases() throws -> [Case] {
    let causal = try [
      AttentionShape(queryLength: 1, headDim: 4, isCausal: true),
      AttentionShape(
        batch: 2, queryHeads: 4, keyHeads: 2, queryLength: 83, headDim: 6, valueDim: 9, isCausal: true),
      AttentionShape(batch: 2, queryLength: 40, headDim: 17, isCausal: true, keyLengths: [40, 13]),
      AttentionShape(queryHeads: 2, queryLength: 5, keyLength: 70, headDim: 8, isCausal: true),
      AttentionShape(queryHeads: 2, queryLength: 70, keyLength: 33, headDim: 8, isCausal: true),
      AttentionShape(
        batch: 2, queryHeads: 2, queryLength: 30, keyLength: 60, headDim: 8, isCausal: true,
        keyLengths: [60, 37]),
    ]
    // A gate of 1, a usual one, and one that leaves nothing of the token before.
    let recurrences = [
      Recurrence(decay: .fixed([0, 0]), scale: 0.7), Recurrence(decay: .fixed([-0.03, -0.4]), scale: 0.7),
      Recurrence(decay: .fixed([-50, -7]), map: .unit(epsilon: 1e-6)),
      Recurrence(decay: .fixed([-0.1, -50]), map: .eluPlusOne, normalizer: 1e-6),
    ]
    var cases = causal.flatMap { shape in recurrences.map { Case(shape: shape, recurrence: $0) } }
    cases += [5, 16, 128].map { Case(shape: causal[1], recurrence: recurrences[1], chunk: $0) }
    let whole = try AttentionShape(
      batch: 2, queryHeads: 2, keyHeads: 1, queryLength: 90, keyLength: 71, headDim: 6, valueDim: 5,
      keyLengths: [71, 20])
    return cases
      + [5, 64].map { Case(shape: whole, recurrence: .init(map: .eluPlusOne, normalizer: 0), chunk: $0) }
  }

  static func inputs(_ shape: AttentionShape) throws -> Operands {
    Operands(
      query: try .normal(shape.queryShape, key: key("q")), key: try .normal(shape.keyShape, key: key("k")),
      value: try .normal(shape.valueShape, key: key("v")))
  }

  static func inputs(of variant: any AttentionVariant) throws -> Operands {
    var inputs = try inputs(variant.shape)
    for operand in variant.operands where !operand.isStandard {
      inputs[operand.name] = try operand.drawn(at: variant.shape, key: key(operand.shortName))
    }
    return inputs
  }

  @Test(
    "outputs and gradients are those of the definition, on every instruction set", arguments: try cases())
  func definition(_ test: Case) throws {
    let shape = test.shape, inputs = try Self.inputs(shape), wide = DefinitionInputs(inputs)
    let outputGradient = try Tensor.normal(shape.outputShape, key: Self.key("do"))
    let definition = RecurrentDefinition(shape: shape, recurrence: test.recurrence)
    let exact = definition.forward(wide), budget = definition.budget(exact)
    let gradient = definition.backward(outputGradient.array().map { Double($0) }, wide)
    for set in InstructionSet.available {
      let context = ExecutionContext(threads: 2, instructionSet: set)
      let scan = RecurrentScan(shape, test.recurrence, chunk: test.chunk)
      let (output, kept) = try scan.forward(inputs, from: nil, in: context)
      let found = try scan.backward(outputGradient, inputs, output: output, kept, in: context).inputs
      let worst = ErrorBudget.worst(output.array(), exact.output, exact.outputMagnitude)
      #expect(worst <= budget.output, "\(set)")
      for operand in Operand.standard {
        let name = operand.name
        let worst = ErrorBudget.worst(
          found[name]?.array() ?? [], gradient.values[name] ?? [], gradient.magnitudes[name] ?? [])
        #expect(worst <= budget.gradient(of: operand, at: shape), "d\(name), \(set)")
      }
    }
  }

  @Test("the ledger's peak is the closed form and the results, to the byte", arguments: try cases(), [1, 3])
  func workspace(_ test: Case, threads: Int) throws {
    let shape = test.shape, inputs = try Self.inputs(shape), ledger = MemoryLedger()
    let context = ExecutionContext(threads: threads, ledger: ledger)
    let scan = RecurrentScan(shape, test.recurrence, chunk: test.chunk)
    func bytes(_ shapes: [Int]...) -> Int { shapes.reduce(0) { $0 + 4 * $1.reduce(1, *) } }
    let outputGradient = try Tensor.normal(shape.outputShape, key: Self.key("do"))
    let results = bytes(shape.outputShape)
    var forward = Optional(try scan.forward(inputs, from: nil, in: context))
    #expect(ledger.peakBytes - results == scan.workspaceBytes(of: .forward, in: context))
    ledger.resetPeak()
    var gradient = try forward.map {
      try scan.backward(outputGradient, inputs, output: $0.output, $0.kept, in: context).inputs
    }
    let gradients = bytes(shape.queryShape, shape.keyShape, shape.valueShape)
    #expect(ledger.peakBytes - results - gradients == scan.workspaceBytes(of: .backward, in: context))
    (forward, gradient) = (nil, nil)
    #expect(ledger.currentBytes == 0 && gradient == nil)
  }

  @Test(
    "a sequence in parts, each behind the state of those before, is the whole; token by token too",
    arguments: recurrences)
  func parts(_ id: String) throws {
    let context = ExecutionContext(threads: 2), length = 150
    func variant(_ rows: Int) throws -> any RecurrentVariant {
      let shape = try AttentionShape(
        batch: 2, queryHeads: 4, keyHeads: 2, queryLength: rows, headDim: 8, valueDim: 12, isCausal: true)
      let made = try Catalog.standard.make(id, shape: shape, key: Self.key)
      return try #require(made as? any RecurrentVariant)
    }
    let whole = try variant(length), inputs = try Self.inputs(of: whole)
    let (expected, last) = try whole.forward(inputs, from: nil, in: context)
    for cuts in [[70], [1, 64, 65, 129], Array(1..<length)] {
      var state: RecurrentState?
      for (first, end) in zip([0] + cuts, cuts + [length]) {
        func rows(_ x: Tensor) -> Tensor { x.narrowed(axis: 2, to: first..<end) }
        var part = inputs
        for name in inputs.names {
          if let x = inputs[name], x.rank == 4 { part[name] = rows(x) }
        }
        let (result, next) = try variant(end - first).forward(part, from: state, in: context)
        state = next
        for (a, b) in zip(result.output.array(), rows(expected.output).array()) {
          #expect(abs(a - b) < 2e-5 * (1 + abs(b)), "\(first)")
        }
      }
      for (a, b) in zip(try #require(state).values.array(), last.values.array()) {
        #expect(abs(a - b) < 2e-5 * (1 + abs(b)))
      }
    }
    #expect(Double(last.byteCount) == 2 * whole.cost(of: .decode).stateBytes)
  }

  @Test(
    "gates at their ends: nothing fades, all fades, nothing is written; the workspace is the closed form",
    arguments: InstructionSet.available, ["mamba2", "gla", "gated-delta", "kda"])
  func gates(_ set: InstructionSet, _ id: String) throws {
    let shape = try AttentionShape(
      batch: 2, queryHeads: 4, keyHeads: 2, queryLength: 150, headDim: 6, valueDim: 9, isCausal: true,
      keyLengths: [150, 77])
    let variant = try Self.variant(id, shape, id == "gla" ? ["temperature": .double(0.25)] : [:])
    var inputs = try Self.inputs(of: variant)
    // Strengths of 0 and 1 too.
    if let writing = inputs[.writing] {
      inputs[.writing] = try Tensor(writing.array().map { 60 * $0 }, shape: writing.shape)
    }
    // Steps of 0 to 180; head 0 fades by e^−9000 at most (of gla e^−720), head 1 hardly.
    let steps = try #require(inputs[.step])
    inputs[.step] = try Tensor(steps.array().map { 60 * $0 }, shape: steps.shape)
    if inputs[.decayRate] != nil {
      inputs[.decayRate] = try Tensor([4, -60], shape: [2])
    } else {
      inputs[.stepBias] = try Tensor((0..<12).map { $0 < 6 ? 0 : 300 }, shape: [2, 6])
    }
    let outputGradient = try Tensor.normal(shape.outputShape, key: Self.key("do"))
    let definition = try variant.definition(of: inputs), wide = DefinitionInputs(inputs)
    let exact = definition.forward(wide), budget = definition.budget(exact)
    let gradient = definition.backward(outputGradient.array().map { Double($0) }, wide)
    let ledger = MemoryLedger(), scan = variant.recurrentScan
    let context = ExecutionContext(threads: 2, instructionSet: set, ledger: ledger)
    let forward = try variant.attend(inputs, in: context)
    let results = 4 * shape.outputShape.reduce(1, *)
    #expect(ledger.peakBytes - results == scan.workspaceBytes(of: .forward, in: context))
    let worst = ErrorBudget.worst(forward.output.array(), exact.output, exact.outputMagnitude)
    #expect(worst <= budget.output)
    ledger.resetPeak()
    let found = try forward.backward(outputGradient, in: context)
    #expect(
      ledger.peakBytes - results - 4 * (gradient.query.count + gradient.key.count + gradient.value.count)
        <= scan.workspaceBytes(of: .backward, in: context))
    for operand in variant.operands {
      let name = operand.name
      let worst = ErrorBudget.worst(
        found[name]?.array() ?? [], gradient.values[name] ?? [], gradient.magnitudes[name] ?? [])
      #expect(worst <= budget.gradient(of: operand, at: shape), "d\(name)")
    }
  }

  @Test("the products that are done are those of the closed form", arguments: recurrences)
  func products(_ id: String) throws {
    var shapes = try Self.cases().prefix(24).map(\.shape)
    if id == "linear" { shapes.append(try #require(Self.cases().last).shape) }
    for shape in Set(shapes) {
      let variant = try Self.variant(id, shape), inputs = try Self.inputs(of: variant)
      let context = ExecutionContext(threads: 2)
      for chunk in [5, 64] {
        var scan = RecurrentScan(shape, variant.recurrence, chunk: chunk)
        let gates = try variant.recurrence.gate.map {
          try ScanGates(shape: shape, gate: $0).values(inputs, in: context)
        }
        for pass in [PassKind.forward, .backward] {
          let count = ProductCount()
          if pass == .forward { scan.count = count }
          let (output, kept) = try scan.forward(inputs, gates, from: nil, in: context)
          scan.count = count
          if pass == .backward {
            _ = try scan.backward(output, inputs, gates, output: output, kept, in: context)
          }
          let (needed, executed) = scan.operations(of: pass, in: context)
          #expect(
            Double(count.value) == executed && needed <= executed, "\(shape.summary), \(pass), \(chunk)")
          scan.count = nil
        }
      }
    }
  }

  @Test(
    "gradients go through states: of parts they are those of the whole, and of the first state they are exact",
    arguments: recurrences)
  func stateGradients(_ id: String) throws {
    let context = ExecutionContext(threads: 2), length = 100, cut = 37
    func variant(_ rows: Int) throws -> any RecurrentVariant {
      try Self.variant(
        id,
        AttentionShape(
          batch: 2, queryHeads: 4, keyHeads: 2, queryLength: rows, headDim: 8, valueDim: 12, isCausal: true))
    }
    let whole = try variant(length), inputs = try Self.inputs(of: whole)
    let size = whole.recurrentScan.geometry.stateCount
    // A normaliser is positive.
    func state(_ name: String) throws -> RecurrentState {
      var values = try Tensor.normal([2, 2, size], key: Self.key(name)).array()
      if id == "linear" { values = values.map(\.magnitude) }
      return RecurrentState(values: try Tensor(values, shape: [2, 2, size]))
    }
    let first = try state("first"), behind = try state("behind")
    let outputGradient = try Tensor.normal(whole.shape.outputShape, key: Self.key("do"))
    let all = try whole.stretch(inputs, from: first, in: context)
    let expected = try all.backward(outputGradient, behind, context)
    func rows(_ x: Tensor, _ range: Range<Int>) -> Tensor { x.narrowed(axis: 2, to: range).contiguous() }
    func part(_ range: Range<Int>) -> Operands {
      var part = inputs
      for name in inputs.names {
        if let x = inputs[name], x.rank == 4 { part[name] = rows(x, range) }
      }
      return part
    }
    let one = try variant(cut).stretch(part(0..<cut), from: first, in: context)
    let two = try variant(length - cut).stretch(part(cut..<length), from: one.state, in: context)
    let late = try two.backward(rows(outputGradient, cut..<length), behind, context)
    let early = try one.backward(rows(outputGradient, 0..<cut), late.before, context)
    func close(_ a: [Float], _ b: [Float], _ what: String) {
      let largest = 1 + (b.map(\.magnitude).max() ?? 0)
      #expect(a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) < 3e-5 * largest }, "\(what)")
    }
    close(early.before.values.array(), expected.before.values.array(), "state")
    for operand in whole.operands {
      let name = operand.name
      let a = try #require(early.inputs[name]), b = try #require(late.inputs[name])
      let found = try #require(expected.inputs[name])
      if found.rank == 4 {
        close(a.array(), rows(found, 0..<cut).array(), "\(name)")
        close(b.array(), rows(found, cut..<length).array(), "\(name)")
      } else {
        close(zip(a.array(), b.array()).map { $0 + $1 }, found.array(), "\(name)")
      }
    }
    // Without a normaliser a loss is affine in the first state: its difference is the gradient's product, whatever the step.
    guard id != "linear" else { return }
    let step = try state("step")
    func loss(_ stretch: RecurrentStretch) -> Double {
      func dot(_ a: Tensor, _ b: Tensor) -> Double {
        zip(a.array(), b.array()).reduce(0) { $0 + Double($1.0) * Double($1.1) }
      }
      return dot(stretch.result.output, outputGradient) + dot(stretch.state.values, behind.values)
    }
    let moved = RecurrentState(
      values: try Tensor(
        zip(first.values.array(), step.values.array()).map { $0 + $1 }, shape: first.values.shape))
    let difference = loss(try whole.stretch(inputs, from: moved, in: context)) - loss(all)
    let along = zip(expected.before.values.array(), step.values.array()).reduce(0.0) {
      $0 + Double($1.0) * Double($1.1)
    }
    #expect(abs(difference - along) < 1e-3 * (1 + abs(along)))
  }

  @Test("a gradient that comes from far behind all keys is within its bound", arguments: recurrences)
  func longPast(_ id: String) throws {
    for (rows, keys) in [(33, 190), (1, 100), (1, 257)] {
      let shape = try AttentionShape(
        queryHeads: 2, queryLength: rows, keyLength: keys, headDim: 8, isCausal: true)
      let variant = try Self.variant(id, shape, id == "mamba2" ? ["skip": .bool(false)] : [:])
      let inputs = try Self.inputs(of: variant), wide = DefinitionInputs(inputs)
      let outputGradient = try Tensor.normal(shape.outputShape, key: Self.key("do"))
      let definition = try variant.definition(of: inputs), exact = definition.forward(wide)
      let budget = definition.budget(exact)
      let gradient = definition.backward(outputGradient.array().map { Double($0) }, wide)
      let context = ExecutionContext(threads: 1)
      let found = try variant.attend(inputs, in: context).backward(outputGradient, in: context)
      for operand in variant.operands {
        let name = operand.name
        let worst = ErrorBudget.worst(
          found[name]?.array() ?? [], gradient.values[name] ?? [], gradient.magnitudes[name] ?? [])
        let bound = budget.gradient(of: operand, at: shape)
        #expect(worst <= bound, "d\(name) at \(rows)×\(keys): \(worst / bound)")
      }
    }
  }

  @Test("retention is a sum over keys that fade by distance; its factors are those of the paper")
  func retention() throws {
    let shape = try AttentionShape(queryHeads: 2, queryLength: 70, headDim: 4, valueDim: 1, isCausal: true)
    let variant = try Retention(.init(), for: shape, key: Self.key), inputs = try Self.inputs(shape)
    let output = try variant.attend(inputs, in: ExecutionContext(threads: 1)).output
    for head in 0..<2 {
      let factor = 1 - 1 / Double(32 << head)
      for i in [0, 1, 63, 64, 69] {
        var sum = 0.0, fading = 1.0
        for j in (0...i).reversed() {
          let product = (0..<4).reduce(0.0) {
            $0 + Double(inputs.query[0, head, i, $1]) * Double(inputs.key[0, head, j, $1])
          }
          sum += 0.5 * fading * product * Double(inputs.value[0, head, j, 0])
          fading *= factor
        }
        #expect(abs(Double(output[0, head, i, 0]) - sum) < 1e-5)
      }
    }
    let spread = Retention.Configuration(decays: .spread).logDecays(heads: 3)
    for (logarithm, part) in zip(spread, [32.0, 128, 512]) {
      #expect(abs(exp(logarithm) - (1 - 1 / part)) < 1e-12)
    }
  }

  @Test("an output of linear attention is a mean of values; a sequence without keys has 0")
  func means() throws {
    for isCausal in [false, true] {
      let shape = try AttentionShape(
        batch: 2, queryLength: 66, headDim: 8, isCausal: isCausal, keyLengths: [66, 0])
      var inputs = try Self.inputs(shape)
      inputs.value = try Tensor([Float](repeating: 3, count: inputs.value.count), shape: shape.valueShape)
      let variant = try LinearAttention(
        .init(normalized: true, epsilon: 0), for: shape, key: Self.key)
      let output = try variant.attend(inputs, in: ExecutionContext(threads: 1)).output.array()
      #expect(output[..<528].allSatisfy { abs($0 - 3) < 1e-5 } && output[528...].allSatisfy { $0 == 0 })
    }
  }

  @Test("what stands in padded rows, numbers or not, is nobody's result", arguments: ["linear", "retention"])
  func padding(_ id: String) throws {
    let shape = try AttentionShape(queryLength: 40, headDim: 8, isCausal: true, keyLengths: [33])
    var inputs = try Self.inputs(shape)
    let variant = try Catalog.standard.make(id, shape: shape, key: Self.key)
    // No loss reads a padded row.
    var outputGradient = try Tensor.normal(shape.outputShape, key: Self.key("do"))
    for row in 33..<40 { for t in 0..<8 { outputGradient[0, 0, row, t] = 0 } }
    let read = outputGradient
    func run() throws -> [[Float]] {
      let forward = try variant.attend(inputs, in: ExecutionContext(threads: 2))
      let gradient = try forward.backward(read, in: ExecutionContext(threads: 2))
      return [forward.output.array()] + Operand.standard.map { gradient[$0.name]?.array() ?? [] }
    }
    for row in 33..<40 { for t in 0..<8 { inputs.query[0, 0, row, t] = 0 } }
    let clean = try run()
    for value in [Float.infinity, .nan, .greatestFiniteMagnitude] {
      for row in 33..<40 {
        for t in 0..<8 { inputs.query[0, 0, row, t] = value }
        inputs.key[0, 0, row, 2] = value
        inputs.value[0, 0, row, 3] = value
      }
      let found = try run()
      for (a, b) in zip(found, clean) { #expect(Array(a[..<264]) == Array(b[..<264]), "\(value)") }
      #expect(found.allSatisfy { $0.allSatisfy(\.isFinite) }, "\(value)")
    }
  }

  @Test("an output that single precision does not hold is refused in one line that names its row")
  func overflow() throws {
    let shape = try AttentionShape(queryHeads: 2, queryLength: 80, headDim: 8, isCausal: true)
    var inputs = try Self.inputs(shape)
    let variant = try Retention(.init(), for: shape, key: Self.key)
    inputs.value[0, 1, 70, 2] = .infinity
    let error = #expect(throws: StateOverflow.self) {
      try variant.attend(inputs, in: ExecutionContext(threads: 2))
    }
    #expect(error?.head == 1 && error?.query == 70)
    #expect(error?.description.contains("query 70 (batch 0, head 1)") == true)
  }

  @Test("what has no meaning for a recurrence is refused in one line")
  func refusals() throws {
    let shape = try AttentionShape(queryLength: 8, headDim: 4)
    let error = #expect(throws: ConfigurationError.self) {
      try Catalog.standard.make("retention", shape: shape, key: Self.key)
    }
    #expect(error?.field == "causal")
    for id in ["linear", "retention"] {
      #expect(throws: ConfigurationError.self) {
        try Catalog.standard.make(id, settings: ["softcap": .double(2)], shape: shape, key: Self.key)
      }
      #expect(throws: ConfigurationError.self) {
        try Catalog.standard.make(id, shape: shape.with(precision: .bfloat16), key: Self.key)
      }
    }
  }
}
