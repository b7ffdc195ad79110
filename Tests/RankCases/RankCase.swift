import Attention
import AttentionCore
import Basics
import Ranks
import Settings
import Tensors

/// A variant at a shape with inputs and a gradient of its output, all from a seed: what the tests run on threads, and
/// `attnlab-ranks` on processes.
public struct RankCase: Sendable {
  /// The variant for the whole sequence.
  public let variant: any PatternVariant
  /// The whole inputs.
  public let inputs: Operands
  /// The whole gradient of the output.
  public let outputGradient: Tensor

  /// A variant of the catalogue.
  public init(
    _ id: String, _ settings: [String: ParameterValue] = [:], _ shape: AttentionShape, inputScale: Double = 1
  ) throws {
    try self.init(
      Catalog.standard.make(id, settings: settings, shape: shape, key: RandomKey(seed: 1)),
      inputScale: inputScale)
  }

  /// Any variant with a fixed pattern.
  public init(_ variant: any AttentionVariant, inputScale: Double = 1) throws {
    let key = RandomKey(seed: 7), shape = variant.shape
    guard let fixed = variant as? any PatternVariant else {
      throw ConfigurationError(field: "variant", value: variant.card.id, allowed: "a fixed pattern")
    }
    self.variant = fixed
    inputs = try Operands(
      query: .normal(shape.queryShape, key: key("q"), standardDeviation: inputScale),
      key: .normal(shape.keyShape, key: key("k"), standardDeviation: inputScale),
      value: .normal(shape.valueShape, key: key("v"))
    ).converted(to: shape.precision)
    outputGradient = try .normal(shape.outputShape, key: key("g"))
  }

  /// What one rank comes to.
  public struct Part: Sendable {
    /// Its rows, `[batch, heads, rows, …]`.
    public var output: Tensor, lse: Tensor, gradient: Operands
    /// Of the forward and of the backward pass.
    public var forward: Traffic, backward: Traffic
    /// The most bytes live in its ledger over both passes, inputs included.
    public var peakBytes: Int
    /// Who holds what.
    public var queries: SequenceLayout, keys: SequenceLayout
  }

  /// Forward and backward on one rank of some.
  public func run(
    on communicator: any Communicator, _ options: RankOptions = RankOptions(), threads: Int = 1
  ) throws -> Part {
    let attention = try RankedAttention(variant, over: communicator, options: options)
    let ledger = MemoryLedger()
    let context = ExecutionContext(threads: threads, ledger: ledger)
    let own = try attention.part(of: inputs, ledger: ledger)
    let gradient = try attention.queries.part(of: outputGradient, rank: communicator.rank, ledger: ledger)
    let start = communicator.traffic.current
    let forward = try attention.forward(own, in: context)
    let middle = communicator.traffic.current
    let back = try forward.backward(gradient, in: context)
    guard let lse = forward.lse else { preconditionFailure("a softmax has a log-sum-exp") }
    return Part(
      output: forward.output, lse: lse.reshaped(lse.shape + [1]), gradient: back,
      forward: middle - start, backward: communicator.traffic.current - middle,
      peakBytes: ledger.peakBytes, queries: attention.queries, keys: attention.keys)
  }

  /// What ranks come to, put together.
  public struct Whole: Sendable {
    /// Results.
    public var output: [Float], lse: [Float], query: [Float], key: [Float], value: [Float]
    /// By rank.
    public var forward: [Traffic], backward: [Traffic]
    /// By rank.
    public var peakBytes: [Int]

    /// Gathers results.
    public init(
      output: [Float], lse: [Float], query: [Float], key: [Float], value: [Float], forward: [Traffic],
      backward: [Traffic], peakBytes: [Int]
    ) {
      (self.output, self.lse, self.query, self.key, self.value) = (output, lse, query, key, value)
      (self.forward, self.backward, self.peakBytes) = (forward, backward, peakBytes)
    }

    /// The same bits, whatever was sent and kept.
    public func hasBits(of other: Whole) -> Bool {
      zip([output, lse, query, key, value], [other.output, other.lse, other.query, other.key, other.value])
        .allSatisfy { $0.map(\.bitPattern) == $1.map(\.bitPattern) }
    }
  }

  /// Puts the parts of all ranks together.
  public func whole(_ parts: [Part]) throws -> Whole {
    let (queries, keys) = (parts[0].queries, parts[0].keys)
    return try Whole(
      output: queries.whole(parts.map(\.output)).array(), lse: queries.whole(parts.map(\.lse)).array(),
      query: queries.whole(parts.map(\.gradient.query)).array(),
      key: keys.whole(parts.map(\.gradient.key)).array(),
      value: keys.whole(parts.map(\.gradient.value)).array(), forward: parts.map(\.forward),
      backward: parts.map(\.backward), peakBytes: parts.map(\.peakBytes))
  }

  /// Forward and backward on some ranks, each a thread.
  public func run(
    _ ranks: Int, _ options: RankOptions = RankOptions(), threads: Int = 1, delays: RandomKey? = nil
  ) throws -> Whole {
    try whole(
      try ThreadGroup.run(ranks, delays: delays) { try run(on: $0, options, threads: threads) })
  }

  /// The largest error of every result against the definition, as a fraction of what its bound allows.
  public func errors(_ result: Whole) throws -> [String: Double] {
    let definition = try variant.definition(of: inputs)
    let wide = DefinitionInputs(inputs)
    let exact = definition.forward(wide)
    let gradient = definition.backward(outputGradient.array().map { Double($0) }, wide)
    let budget = definition.budget(exact)
    func worst(_ values: [Float], _ name: Operand.Name, _ bound: Double) -> Double {
      ErrorBudget.worst(values, gradient.values[name] ?? [], gradient.magnitudes[name] ?? []) / bound
    }
    return [
      "output": ErrorBudget.worst(result.output, exact.output, exact.outputMagnitude) / budget.output,
      "lse": ErrorBudget.worstAbsolute(result.lse, exact.lse) / budget.lse,
      "query": worst(result.query, .query, budget.queryGradient),
      "key": worst(result.key, .key, budget.keyGradient),
      "value": worst(result.value, .value, budget.valueGradient),
    ]
  }

  /// Keys of a rank that a row of another sees in some head, from the definition's own count: by rank of the queries, then
  /// of the keys.
  public func foreignKeys(_ queries: SequenceLayout, _ keys: SequenceLayout) throws -> [[Int]] {
    let shape = variant.shape
    func sees(_ row: Int, _ key: Int) -> Bool {
      (0..<shape.batch).contains { batch in
        key < shape.validKeys(batch: batch)
          && (0..<shape.queryHeads).contains {
            variant.multiplicity(batch: batch, head: $0, query: row, key: key) > 0
          }
      }
    }
    func rows(_ runs: RowRuns) -> [Int] { runs.runs.flatMap { Array($0) } }
    return queries.rows.map { own in
      let queries = rows(own)
      return keys.rows.map { other in
        rows(other).count { key in queries.contains { sees($0, key) } }
      }
    }
  }
}

extension RankOptions {
  /// Pieces and blocks so small that a test has many.
  public static func small(pieces: Int = 16, rows: Int = 20, layout: SequenceLayout? = nil) -> RankOptions {
    var options = RankOptions()
    (options.pieceRows, options.rowsAtOnce, options.layout) = (pieces, rows, layout)
    return options
  }
}
