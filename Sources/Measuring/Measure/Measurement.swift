import AttentionCore
import Basics
import Foundation
import Records
import Settings
import Tensors

/// Measures one cell in this process: plan, inputs, warm-up, timed passes, memory, error, check.
public struct Measurement: Sendable {
  /// What is measured.
  public let cell: Cell
  /// Where the variant comes from.
  public let catalog: Catalog
  /// The most bytes that the pass may use.
  public var memoryLimit = ProcessMemory.defaultLimit
  /// The machine's peak for these threads, this instruction set and what the pass multiplies, in GFLOP/s.
  public var peakGflops: Double?
  /// Folders from which the project's own text is looked for.
  public var anchors: [String] = []
  /// Whether the variant passed its check at this shape class earlier in the run.
  public var isChecked = false

  /// The largest relative error of sampled rows against the variant's own definition.
  ///
  /// float32 results of these sizes stay below 1e-6; a pair that is wrongly seen or missed in a row of a thousand
  /// shows as 1e-3. Weights rounded to bfloat16 are off by 2⁻⁸ at most, 1.7e-3 root mean square: twice 2⁻⁸ is allowed, which
  /// such a pair may pass; the conformance check at the shape class would not let it.
  private var tolerance: Double { 2e-5 + (cell.precision == .float32 ? 0 : 2 * cell.precision.unitRoundoff) }

  /// Creates a measurement.
  public init(_ cell: Cell, catalog: Catalog) {
    self.cell = cell
    self.catalog = catalog
  }

  /// Makes the measurement. Failure is data: it comes back as a row with a status and a reason.
  public func run() -> MeasurementRow {
    var row = MeasurementRow(cell)
    row.startedAt = Timestamp.now()
    do {
      try fill(&row)
      row.status = .ok
    } catch let error as ConfigurationError {
      row.fail(.unsupported, "\(error)")
    } catch let error as MemoryLimitExceeded {
      row.fail(.outOfMemory, "\(error)")
    } catch let error as BudgetExceeded {
      row.fail(.outOfMemory, error.description)
    } catch let error as CheckFailure {
      row.fail(.failedCheck, error.description)
    } catch {
      row.fail(.error, "\(error)")
    }
    return row
  }

  private func fill(_ row: inout MeasurementRow) throws {
    let shape = try cell.shape(), instructionSet = try instructionSet()
    // Before the plan, which is itself proportional to the length.
    let operands = try catalog.type(of: cell.variant).operands(settings: cell.settings)
    let given = Cost.inputOutputBytes(of: cell.pass, shape: shape, operands: operands)
    try budget(given, for: "for inputs and results alone")
    let ledger = MemoryLedger(limitBytes: memoryLimit, recycles: true)
    var context = ExecutionContext(threads: cell.threads, instructionSet: instructionSet, ledger: ledger)
    // Chosen before anything is timed.
    context.bfloat16Road = cell.bfloat16?.road
    let clock = ContinuousClock()
    let start = clock.now
    let variant = try catalog.make(
      cell.variant, settings: cell.settings, shape: shape,
      key: RandomKey(seed: cell.seed)("variant")(cell.variant))
    // A backward pass is timed behind a forward one.
    for pass in [.forward, cell.pass] { try variant.prepare(for: pass, in: context) }
    row.planSeconds = (clock.now - start).seconds
    row.planBytes = variant.planBytes
    row.configuration = variant.configurationSummary
    let cost = variant.cost(of: cell.pass)
    describe(cost, shape, in: &row)
    // What is planned is counted in the ledger, beside what the pass allocates.
    let planned = Double(ledger.currentBytes)
    row.predictedBytes = planned + cost.workspaceBytes + cost.inputOutputBytes
    try budget(planned + cost.workspaceBytes + cost.inputOutputBytes, for: "by its closed form")
    if !isChecked { try checkShapeClass(shape, instructionSet) }

    let maker = try InputMaker(
      cell.input, seed: cell.seed, anchors: anchors,
      limit: shape.batch * max(shape.queryLength, shape.keyLength), catalog: catalog)
    // A decoder holds the state of a recurrence, and none of the rows that made it.
    let holder = takesToken(variant) ? nil : ledger
    let inputs = try maker.make(shape, variant.operandsRead, ledger: holder)
      .converted(to: cell.precision, declared: Operand.all(operands), ledger: holder)
    ProcessMemory.resetPeak()
    let result = try time(variant, inputs, shape, maker, context, row: &row)
    row.peakRSSBytes = ProcessMemory.peakBytes()
    try verify(result, variant, inputs, maker, row: &row)
  }

  /// The instruction set of the cell.
  func instructionSet() throws(ConfigurationError) -> InstructionSet {
    guard let instructionSet = InstructionSet(rawValue: cell.instructionSet),
      InstructionSet.available.contains(instructionSet)
    else {
      throw ConfigurationError(
        field: "isa", value: cell.instructionSet,
        allowed: "one of " + InstructionSet.available.map(\.rawValue).joined(separator: ", "))
    }
    return instructionSet
  }

  /// Notes what the closed forms say of any number of ranks.
  func describe(_ cost: Cost, _ shape: AttentionShape, in row: inout MeasurementRow) {
    row.flops = cost.flops
    row.density = cost.density(of: shape)
    row.paddingOverhead = cost.paddingOverhead
    row.stateBytes = cost.stateBytes
  }

  /// Notes the times of passes.
  func describe(_ timing: Stopwatch.Timing, in row: inout MeasurementRow) {
    let samples = timing.samples
    (row.repeats, row.quietRepeats) = (samples.count, timing.quiet)
    let median = Quantiles.of(samples, 0.5)
    row.secondsMedian = median
    row.secondsP20 = Quantiles.of(samples, 0.2)
    row.secondsP80 = Quantiles.of(samples, 0.8)
    row.gflops = row.flops.map { $0 / median / 1e9 }
  }

  /// Refuses what will not fit before any of it is allocated.
  func budget(_ bytes: Double, for what: String) throws(BudgetExceeded) {
    guard bytes > Double(memoryLimit) else { return }
    throw BudgetExceeded(
      "needs \(Quantity.describe(bytes: bytes)) \(what); "
        + "\(Quantity.describe(bytes: Double(memoryLimit))) allowed")
  }

  /// The conformance check at this shape class: no variant is timed before it is right.
  func checkShapeClass(_ shape: AttentionShape, _ instructionSet: InstructionSet) throws {
    let conformance = Conformance(
      try catalog.type(of: cell.variant), key: RandomKey(seed: cell.seed), instructionSets: [instructionSet],
      precision: cell.precision)
    let report = conformance.shapeClass(of: shape, settings: cell.settings)
    if let failure = report.failures.first { throw CheckFailure("\(failure)") }
  }

  /// What a timed pass left behind: the output, or for backward the gradient of q and the output's gradient.
  struct Result {
    let tensor: Tensor
    let outputGradient: Tensor?
  }

  /// How many times its budget a cell may spend on passes that others disturbed.
  static let patience = 5.0

  private func time(
    _ variant: any AttentionVariant, _ inputs: Operands, _ shape: AttentionShape, _ maker: InputMaker,
    _ context: ExecutionContext, row: inout MeasurementRow
  ) throws -> Result {
    var stopwatch = Stopwatch(
      warmup: cell.warmup, repeats: cell.repeats, budgetSeconds: cell.budgetSeconds)
    if cell.quiet > 0 {
      stopwatch.quiet = QuietWatch(
        share: cell.quiet, patience: Self.patience * cell.budgetSeconds, context.instructionSet,
        threads: cell.threads, peakGflops: cell.precision == .float32 ? peakGflops : nil)
    }
    let ledger = context.ledger
    let result: Result
    let timing: Stopwatch.Timing
    if cell.pass == .backward {
      let forward = try variant.attend(inputs, in: context)
      let gradient = try maker.outputGradient(shape, ledger: ledger)
      ledger?.resetPeak()
      let timed = try stopwatch.time { try forward.backward(gradient, in: context) }
      result = Result(tensor: timed.last.query, outputGradient: gradient)
      timing = timed.timing
    } else if takesToken(variant) {
      var step = try tokenStep(inputs, shape, in: context)
      // Of the first token the result is checked: the state moves on with every further one.
      result = Result(tensor: try step.advance(in: context), outputGradient: nil)
      ledger?.resetPeak()
      timing = try stopwatch.time { try step.advance(in: context) }.timing
    } else {
      ledger?.resetPeak()
      let timed = try stopwatch.time { try variant.attend(inputs, in: context) }
      result = Result(tensor: timed.last.output, outputGradient: nil)
      timing = timed.timing
    }
    row.memoryBytes = ledger?.peakBytes
    if cell.pass != .backward, try variant.chooseKeys(of: inputs, in: context) {
      row.secondsChoosing = Quantiles.of(
        try stopwatch.time { try variant.chooseKeys(of: inputs, in: context) }.timing.samples, 0.5)
    }
    row.workspaceBytes = row.memoryBytes.map {
      let results =
        variant is any RecurrentVariant
        ? variant.cost(of: cell.pass).inputOutputBytes
        : Cost.inputOutputBytes(of: cell.pass, shape: shape, operands: variant.operandsRead)
      return max(0, $0 - Int(results))
    }
    describe(timing, in: &row)
    if let peakGflops, let gflops = row.gflops { row.fractionOfPeak = gflops / peakGflops }
    return result
  }

  func verify(
    _ result: Result, _ variant: any AttentionVariant, _ inputs: Operands, _ maker: InputMaker,
    row: inout MeasurementRow
  ) throws {
    let shape = variant.shape
    let sample = SampledRows(inputs, shape, key: RandomKey(seed: cell.seed)("sampled rows"))
    let found = sample.rows(of: result.tensor)
    let gradient = result.outputGradient?.array()
    let definition = try variant.definition(of: inputs)
    // The gradient of shared queries and keys has a part that needs all rows.
    if gradient == nil || definition.hasRowwiseGradient(of: .query) {
      let error = SampledRows.relativeError(found, sample.compute(definition, outputGradient: gradient))
      guard error <= tolerance else {
        let what = gradient == nil ? "output" : "gradient of q"
        throw CheckFailure(
          "\(what) differs from its definition by \(Quantity.significant(error, 3)) in \(sample.rows.count) rows"
            + " (at most \(tolerance))")
      }
      row.errorOracleRel = error
    }
    // Full attention on the inputs before they were rounded: what the user would have had.
    let exact =
      cell.precision == .float32
      ? sample
      : SampledRows(
        try maker.make(shape, [], ledger: nil), shape, key: RandomKey(seed: cell.seed)("sampled rows"))
    row.errorRel = SampledRows.relativeError(found, exact.compute(sample.full, outputGradient: gradient))
    row.keptMass = exact.keptMass(by: definition)
  }
}

/// A pass that was not begun because its closed form says that it will not fit.
struct BudgetExceeded: Error {
  let description: String
  init(_ description: String) { self.description = description }
}

extension MeasurementRow {
  /// A row that knows what is to be measured and where, and nothing else yet.
  public init(_ cell: Cell) {
    self.init()
    for field in Cell.schema {
      guard let column = Self.schema.first(where: { $0.name == field.name }) else { continue }
      _ = column.set(&self, field.text(cell))
    }
    cellID = cell.id
    (machine, host) = (Machine.current.kind, Machine.current.host)
  }
}
