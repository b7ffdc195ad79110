import AttentionCore
import Basics
import Ranks
import Records
import Settings
import Tensors

/// A cell whose sequence is spread over ranks.
extension Measurement {
  /// Measures on one of the ranks, which all do so together; the row is that of rank 0, others give `nil`.
  ///
  /// A time is that of the rank that took longest, memory that of the rank that held most, messages and bytes those of all
  /// ranks together, the wait that of the rank that waited longest. Sampled rows of the whole result are compared with the
  /// definition, as everywhere.
  /// - Throws: what ends all ranks.
  public func run(on communicator: any Communicator) throws -> MeasurementRow? {
    var row = MeasurementRow(cell)
    row.startedAt = Timestamp.now()
    do {
      try fill(&row, communicator)
      row.status = .ok
    } catch let error as ConfigurationError {
      row.fail(.unsupported, "\(error)")
    } catch let error as BudgetExceeded {
      row.fail(.outOfMemory, error.description)
    } catch let error as CheckFailure {
      row.fail(.failedCheck, error.description)
    }
    return communicator.rank == 0 ? row : nil
  }

  private func fill(_ row: inout MeasurementRow, _ communicator: any Communicator) throws {
    let shape = try cell.shape(), instructionSet = try instructionSet()
    let operands = try catalog.type(of: cell.variant).operands(settings: cell.settings)
    let given = Cost.inputOutputBytes(of: cell.pass, shape: shape, operands: operands)
    try budget(given / Double(cell.ranks), for: "on every rank for inputs and results alone")
    let clock = ContinuousClock()
    let start = clock.now
    let variant = try catalog.make(
      cell.variant, settings: cell.settings, shape: shape,
      key: RandomKey(seed: cell.seed)("variant")(cell.variant))
    let attention = try RankedAttention(variant, over: communicator)
    row.planSeconds = (clock.now - start).seconds
    row.planBytes = variant.planBytes
    row.configuration = variant.configurationSummary
    describe(variant.cost(of: cell.pass), shape, in: &row)
    try checkShapeClass(shape, instructionSet, communicator)

    let ledger = MemoryLedger(limitBytes: memoryLimit, recycles: true)
    let maker = try InputMaker(
      cell.input, seed: cell.seed, anchors: anchors,
      limit: shape.batch * max(shape.queryLength, shape.keyLength), catalog: catalog)
    // Every rank draws the whole, which is what the others draw, and keeps its part.
    let own = try attention.part(
      of: try maker.make(shape, operands, ledger: nil).converted(to: cell.precision), ledger: ledger)
    var context = ExecutionContext(threads: cell.threads, instructionSet: instructionSet, ledger: ledger)
    context.bfloat16Road = cell.bfloat16?.road
    ProcessMemory.resetPeak()
    let part = try time(attention, own, maker, context, communicator, row: &row)
    row.peakRSSBytes = ProcessMemory.peakBytes()
    let whole = try communicator.whole(part, attention.queries)
    guard communicator.rank == 0 else { return }
    let gradient = cell.pass == .backward ? try maker.outputGradient(shape, ledger: nil) : nil
    let inputs = try maker.make(shape, operands, ledger: nil).converted(to: cell.precision)
    try verify(Result(tensor: whole, outputGradient: gradient), variant, inputs, maker, row: &row)
  }

  /// The conformance check, by rank 0 for all.
  private func checkShapeClass(
    _ shape: AttentionShape, _ instructionSet: InstructionSet, _ communicator: any Communicator
  ) throws {
    var failure: CheckFailure?
    if communicator.rank == 0, !isChecked {
      do { try checkShapeClass(shape, instructionSet) } catch let error as CheckFailure { failure = error }
    }
    guard try communicator.gathered([failure == nil ? 1 : 0])[0] == [0] else { return }
    throw failure ?? CheckFailure("rank 0 did not pass the check at this shape class")
  }

  /// Times the pass on all ranks together; the rows of the result that this rank has.
  private func time(
    _ attention: RankedAttention, _ own: Operands, _ maker: InputMaker, _ context: ExecutionContext,
    _ communicator: any Communicator, row: inout MeasurementRow
  ) throws -> Tensor {
    let ledger = context.ledger
    var pass: () throws -> Tensor = { try attention.forward(own, in: context).output }
    if cell.pass == .backward {
      let forward = try attention.forward(own, in: context)
      let gradient = try attention.queries.part(
        of: try maker.outputGradient(attention.shape, ledger: nil), rank: communicator.rank, ledger: ledger)
      pass = { try forward.backward(gradient, in: context).query }
    }
    ledger?.resetPeak()
    var sent = Traffic(), waits: [Double] = []
    var stopwatch = Stopwatch(
      warmup: cell.warmup, repeats: cell.repeats, budgetSeconds: cell.budgetSeconds)
    // All ranks go by the longest time, so that they make as many passes, and begin each together.
    stopwatch.agree = { seconds in
      let all = try communicator.gathered([seconds])
      return all.reduce(0) { max($0, $1[0]) }
    }
    let timed = try stopwatch.time {
      let before = communicator.traffic.current
      let result = try pass()
      sent = communicator.traffic.current - before
      waits.append(sent.secondsWaiting)
      return result
    }
    let wait =
      waits.suffix(timed.timing.samples.count).reduce(0, +)
      / Double(min(waits.count, timed.timing.samples.count))
    let all = try communicator.gathered([
      Double(sent.messages), Double(sent.bytesSent), wait, Double(ledger?.peakBytes ?? 0),
    ])
    row.messages = Int(all.reduce(0) { $0 + $1[0] })
    row.bytesSent = Int(all.reduce(0) { $0 + $1[1] })
    row.secondsWaiting = all.reduce(0) { max($0, $1[2]) }
    row.memoryBytes = Int(all.reduce(0) { max($0, $1[3]) })
    describe(timed.timing, in: &row)
    return timed.last
  }
}
