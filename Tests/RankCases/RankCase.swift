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
  public let variant: any AttentionVariant
  /// The whole inputs.
  public private(set) var inputs: Operands
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

  /// Any variant, with draws of all that it reads.
  public init(_ variant: any AttentionVariant, inputScale: Double = 1) throws {
    let key = RandomKey(seed: 7), shape = variant.shape
    self.variant = variant
    var inputs = try Operands(
      query: .normal(shape.queryShape, key: key("q"), standardDeviation: inputScale),
      key: .normal(shape.keyShape, key: key("k"), standardDeviation: inputScale),
      value: .normal(shape.valueShape, key: key("v"))
    ).converted(to: shape.precision)
    for operand in variant.operands where !operand.isStandard {
      inputs[operand.name] = try operand.drawn(at: shape, key: key(operand.shortName))
    }
    self.inputs = inputs
    outputGradient = try .normal(shape.outputShape, key: key("g"))
  }

  /// The same with other inputs.
  public func reading(_ inputs: Operands) -> RankCase {
    var changed = self
    changed.inputs = inputs
    return changed
  }

  /// The pattern of a variant that has a fixed one.
  /// - Throws: `ConfigurationError` for any other.
  public var fixed: any PatternVariant {
    get throws {
      guard let fixed = variant as? any PatternVariant else {
        throw ConfigurationError(field: "variant", value: variant.card.id, allowed: "a fixed pattern")
      }
      return fixed
    }
  }

  /// What one rank comes to.
  public struct Part: Sendable {
    /// Its rows, `[batch, heads, rows, …]`; no log-sum-exp of a recurrence.
    public var output: Tensor, lse: Tensor?, gradient: Operands
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
    return Part(
      output: forward.output, lse: forward.lse.map { $0.reshaped($0.shape + [1]) }, gradient: back,
      forward: middle - start, backward: communicator.traffic.current - middle,
      peakBytes: ledger.peakBytes, queries: attention.queries, keys: attention.keys)
  }

  /// What ranks come to, put together.
  public struct Whole: Sendable {
    /// Results.
    public var output: [Float], lse: [Float]
    /// Gradients by operand; of what ranks have in common the sum of theirs.
    public var gradients: [Operand.Name: [Float]]
    /// By rank.
    public var forward: [Traffic], backward: [Traffic]
    /// By rank.
    public var peakBytes: [Int]

    /// Gathers results.
    public init(
      output: [Float], lse: [Float], gradients: [Operand.Name: [Float]], forward: [Traffic],
      backward: [Traffic], peakBytes: [Int]
    ) {
      (self.output, self.lse, self.gradients) = (output, lse, gradients)
      (self.forward, self.backward, self.peakBytes) = (forward, backward, peakBytes)
    }

    /// The gradient of q.
    public var query: [Float] { gradients[.query] ?? [] }
    /// The gradient of k.
    public var key: [Float] { gradients[.key] ?? [] }
    /// The gradient of v.
    public var value: [Float] { gradients[.value] ?? [] }

    /// The same bits, whatever was sent and kept.
    public func hasBits(of other: Whole) -> Bool {
      func bits(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }
      return bits(output) == bits(other.output) && bits(lse) == bits(other.lse)
        && gradients.mapValues(bits) == other.gradients.mapValues(bits)
    }
  }

  /// Puts the parts of all ranks together.
  public func whole(_ parts: [Part]) throws -> Whole {
    try whole(parts[0], traffic: (parts.map(\.forward), parts.map(\.backward)), parts.map(\.peakBytes)) {
      get in
      parts.compactMap(get)
    }
  }

  /// Puts the parts of all ranks together, of which `all` says what they have of one.
  public func whole(
    _ own: Part, traffic: (forward: [Traffic], backward: [Traffic]), _ peakBytes: [Int],
    _ all: ((Part) -> Tensor?) throws -> [Tensor]
  ) throws -> Whole {
    let (queries, keys) = (own.queries, own.keys)
    var gradients: [Operand.Name: [Float]] = [:]
    for operand in Operand.all(variant.operands) where operand.hasGradient {
      let parts = try all { $0.gradient[operand.name] }
      guard operand.axes.contains(.queries) || operand.axes.contains(.keys) else {
        gradients[operand.name] = parts.reduce([Float](repeating: 0, count: parts[0].count)) {
          zip($0, $1.array()).map(+)
        }
        continue
      }
      gradients[operand.name] =
        try (operand.axes.contains(.queries) ? queries : keys).whole(parts).array()
    }
    let lse = try own.lse.map { _ in try queries.whole(try all(\.lse)).array() }
    return Whole(
      output: try queries.whole(try all(\.output)).array(), lse: lse ?? [], gradients: gradients,
      forward: traffic.forward, backward: traffic.backward, peakBytes: peakBytes)
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
    var errors = [
      "output": ErrorBudget.worst(result.output, exact.output, exact.outputMagnitude) / budget.output
    ]
    if !exact.lse.isEmpty { errors["lse"] = ErrorBudget.worstAbsolute(result.lse, exact.lse) / budget.lse }
    for operand in Operand.all(variant.operands) where operand.hasGradient {
      let name = operand.name
      errors[name.description] =
        ErrorBudget.worst(
          result.gradients[name] ?? [], gradient.values[name] ?? [], gradient.magnitudes[name] ?? [])
        / budget.gradient(of: operand, at: variant.shape)
    }
    return errors
  }

  /// Keys of a rank that a row of another sees in some head, from the definition's own count: by rank of the queries, then
  /// of the keys.
  public func foreignKeys(_ queries: SequenceLayout, _ keys: SequenceLayout) throws -> [[Int]] {
    let (shape, variant) = (variant.shape, try fixed)
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
