import Attention
import AttentionCore
import Basics
import RankCases
import Ranks
import Tensors

extension RankLab {
  /// Causal attention of a long sequence: forward and backward against one rank's within the error budget of both, bytes against
  /// the formula, memory against one rank's.
  static func long(_ length: Int, _ communicator: any Communicator) throws {
    let ranks = communicator.count, dim = 64
    let shape = try AttentionShape(queryLength: length, headDim: dim, isCausal: true)
    let test = try RankCase("full", [:], shape)
    let part = try test.run(on: communicator)
    let whole = try whole(test, part, communicator)
    let memory = try forwardPeak(test, communicator)
    guard communicator.rank == 0 else { return }
    // A rank counts what it sends itself: rank 0 its first chunk, to all others.
    let chunk = length / (2 * ranks), bytes = (ranks - 1) * chunk * 2 * dim * 4
    try expect(
      part.forward.bytesSent == bytes, "\(part.forward.bytesSent) bytes sent, \(bytes) by the formula")
    try expect(
      part.backward.bytesSent == part.backwardBytes(ranks: ranks, chunk: chunk, dim: dim),
      "\(part.backward.bytesSent) bytes sent backward")
    let one = try ThreadGroup.run(1) { try test.run(on: $0) }
    let single = try test.whole(one)
    let worst = try compare(whole, single, test)
    let alone = try ThreadGroup.run(1) { try forwardPeak(test, $0) }[0]
    // Its part, two pieces that come and two that go, the results of a block, and the scratch of one thread.
    let options = RankOptions(), pieces = 4 * options.pieceRows * 2 * dim * 4
    let allowed = alone / ranks + pieces + options.rowsAtOnce * (dim + 1) * 4 + (1 << 20)
    try expect(memory <= allowed, "\(memory) bytes on a rank, \(alone) on one; \(allowed) allowed")
    print(
      "\(length) tokens on \(ranks) ranks: off by at most \(worst) of the error budget; rank 0 sent "
        + "\(part.forward.bytesSent) bytes forward and \(part.backward.bytesSent) backward, waited "
        + "\(part.forward.secondsWaiting + part.backward.secondsWaiting) s, and held \(memory) bytes forward; one "
        + "rank alone \(alone)")
  }

  private static func expect(_ isTrue: Bool, _ text: String) throws {
    if !isTrue { throw Failure(text) }
  }

  /// The most bytes of a forward pass, inputs and results included.
  private static func forwardPeak(_ test: RankCase, _ communicator: any Communicator) throws -> Int {
    let attention = try RankedAttention(test.variant, over: communicator)
    let ledger = MemoryLedger()
    let inputs = try attention.part(of: test.inputs, ledger: ledger)
    _ = try attention.forward(inputs, in: ExecutionContext(threads: 1, ledger: ledger))
    return ledger.peakBytes
  }

  /// The largest difference from one rank's results, as a fraction of the bound, which is that of a result's distance from
  /// the exact one; magnitudes are taken from the definition on sampled rows.
  private static func compare(_ whole: RankCase.Whole, _ single: RankCase.Whole, _ test: RankCase) throws
    -> Double
  {
    let shape = test.variant.shape
    let rows = Set((0..<24).map { (shape.queryLength - 1) * $0 / 23 }).sorted().map {
      DefinitionRow(batch: 0, head: 0, query: $0)
    }
    let definition = try test.variant.definition(of: test.inputs)
    let exact = definition.forward(DefinitionInputs(test.inputs, lazily: true), rows: rows)
    let budget = definition.budget(exact)
    func picked(_ values: [Float]) -> [Float] {
      rows.flatMap { Array(values[$0.query * shape.valueDim..<($0.query + 1) * shape.valueDim]) }
    }
    var worst = max(
      ErrorBudget.worst(picked(whole.output), exact.output, exact.outputMagnitude) / budget.output,
      ErrorBudget.worstAbsolute(rows.map { whole.lse[$0.query] }, exact.lse) / budget.lse)
    // Elsewhere two results may be as far from each other as both from the exact one: relative to the largest entry.
    for (name, got, want, bound) in [
      ("output", whole.output, single.output, budget.output),
      ("query", whole.query, single.query, budget.queryGradient),
      ("key", whole.key, single.key, budget.keyGradient),
      ("value", whole.value, single.value, budget.valueGradient),
    ] {
      let largest = want.reduce(0) { max($0, $1.magnitude) }
      let difference = zip(got, want).reduce(Float(0)) { max($0, ($1.0 - $1.1).magnitude) }
      let error = Double(difference / largest) / (2 * bound)
      try expect(error <= 1, "\(name) is off by \(error) of its bound from one rank's")
      worst = max(worst, error)
    }
    try expect(worst <= 1, "off by \(worst) of the bound")
    return worst
  }
}

extension RankCase.Part {
  /// Rank 0 sends its chunk 0 to all others again, and the gradients of what it got: both chunks of every other rank.
  fileprivate func backwardBytes(ranks: Int, chunk: Int, dim: Int) -> Int {
    (ranks - 1) * (chunk + 2 * chunk) * 2 * dim * 4
  }
}
