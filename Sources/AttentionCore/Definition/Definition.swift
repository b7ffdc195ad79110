import Tensors

/// What a variant computes, in the naive form that decides what is right: Double, no tiles, no chunks; fast code never calls
/// it.
///
/// Beside every result it returns the *magnitude*: the same sum with every term replaced by its absolute value. A float32
/// implementation can be wrong by a small multiple of `2^-24` times this magnitude and no more, whatever cancels;
/// `ErrorBudget` derives the multiple.
public protocol Definition: Sendable {
  /// The sizes, including key padding, which is applied to every variant alike.
  var shape: AttentionShape { get }
  /// Output and LSE of some rows.
  /// - Precondition: the inputs have the sizes of the shape.
  func forward(_ inputs: DefinitionInputs, rows: [DefinitionRow]) -> DefinitionResult
  /// Adds the gradients of a loss on some rows, from its gradient with respect to their outputs (one row after another), to
  /// what `gradient` collects.
  func backward(
    _ outputGradient: [Double], _ inputs: DefinitionInputs, rows: [DefinitionRow],
    into gradient: inout some DefinitionGradientCollector)
  /// Whether the gradient of an operand's row comes from the query row of the same number alone, so that a few rows of it can
  /// be found without all others.
  func hasRowwiseGradient(of operand: Operand.Name) -> Bool
  /// Whether the output has kinks along the way of its inputs, such as those of a leaky ReLU.
  var hasKinks: Bool { get }
  /// Whether the gradient stands for another function's, such as a straight-through one: differences of the output say nothing
  /// about it.
  var hasSurrogateGradient: Bool { get }
  /// How far a float32 implementation may be from a result.
  func budget(_ result: DefinitionResult) -> ErrorBudget
}

/// The definition of a mechanism whose rows are sums over pairs of a query and a key, each with a score: a softmax. A recurrence
/// has none.
public protocol PairDefinition: Definition {
  /// How often `(batch, head, query row, key row)` counts; causality included, key padding not.
  var multiplicity: @Sendable (Int, Int, Int, Int) -> Int { get }
  /// The pairs of rows that count, with their scores, row after row.
  func pairs(of rows: [DefinitionRow], _ inputs: DefinitionInputs) -> [[DefinitionPair]]
  /// Terms of a row's sum: pairs that count, each as often as it does, unless one stands for several keys.
  func pairCount(of row: DefinitionRow) -> Int
  /// How far a float32 implementation may be from it, with scores of this magnitude and so many keys a row.
  func budget(scoreMagnitude: Double, mostKeys: Int) -> ErrorBudget
}

extension PairDefinition {
  /// The sum of multiplicities.
  public func pairCount(of row: DefinitionRow) -> Int {
    (0..<shape.validKeys(batch: row.batch)).reduce(0) {
      $0 + multiplicity(row.batch, row.head, row.query, $1)
    }
  }

  /// The pairs of a row that count, with their scores.
  public func pairs(of row: DefinitionRow, _ inputs: DefinitionInputs) -> [DefinitionPair] {
    pairs(of: [row], inputs).first ?? []
  }

  /// By the magnitude of the scores and the most keys of a row.
  public func budget(_ result: DefinitionResult) -> ErrorBudget {
    budget(scoreMagnitude: result.scoreMagnitude, mostKeys: result.mostKeys)
  }
}

extension Definition {
  /// None.
  public var hasKinks: Bool { false }
  /// It is that of the output.
  public var hasSurrogateGradient: Bool { false }

  /// Output and LSE of all rows.
  public func forward(_ inputs: DefinitionInputs) -> DefinitionResult {
    forward(inputs, rows: shape.definitionRows)
  }

  /// The gradients of every operand of a loss, from its gradient with respect to the whole output.
  /// - Precondition: the gradient has the size of the output.
  public func backward(_ outputGradient: [Double], _ inputs: DefinitionInputs) -> DefinitionGradient {
    precondition(outputGradient.count == shape.outputShape.reduce(1, *), "the gradient has another size")
    var gradient = DefinitionGradient(sizes: inputs.sizes)
    backward(outputGradient, inputs, rows: shape.definitionRows, into: &gradient)
    return gradient
  }
}

/// A query row.
public struct DefinitionRow: Hashable, Sendable {
  /// The sequence.
  public let batch: Int
  /// The query head.
  public let head: Int
  /// The row of q.
  public let query: Int

  /// Names a row.
  public init(batch: Int, head: Int, query: Int) {
    self.batch = batch
    self.head = head
    self.query = query
  }
}

extension AttentionShape {
  /// All query rows, in the order of the output.
  public var definitionRows: [DefinitionRow] {
    (0..<batch * queryHeads * queryLength).map { definitionRow($0) }
  }

  /// The query row that has a place in the order of the output.
  public func definitionRow(_ index: Int) -> DefinitionRow {
    let head = index / queryLength
    return DefinitionRow(batch: head / queryHeads, head: head % queryHeads, query: index % queryLength)
  }
}

/// Output and LSE of some rows, one after another.
public struct DefinitionResult: Sendable {
  /// `[rows, valueDim]`.
  public var output: [Double]
  /// `Σ_j p_ij |v_j|`, as `output`.
  public var outputMagnitude: [Double]
  /// `[rows]`; −∞ in rows without keys; empty of a mechanism without a softmax.
  public var lse: [Double]
  /// The largest sum of absolute terms of a score, of all counted pairs.
  public var scoreMagnitude: Double
  /// The most counted pairs of a row.
  public var mostKeys: Int
  /// The largest `|s_ij|` of a row's counted pairs before any soft cap, as `lse`.
  public var largestScores: [Double]

  /// Creates a result for rows, each entry with an element a row but for `output` and `outputMagnitude`.
  public init(
    output: [Double], outputMagnitude: [Double], lse: [Double], scoreMagnitude: Double, mostKeys: Int,
    largestScores: [Double]
  ) {
    (self.output, self.outputMagnitude, self.lse) = (output, outputMagnitude, lse)
    (self.scoreMagnitude, self.mostKeys, self.largestScores) = (scoreMagnitude, mostKeys, largestScores)
  }

  /// What a variant in single precision has to return for `lse`: NaN in rows with a score that it does not hold.
  public var singlePrecisionLSE: [Float] {
    zip(lse, largestScores).map { $1 <= ScoreOverflow.limit ? Float($0) : .nan }
  }
}

/// A pair that counts.
public struct DefinitionPair: Sendable {
  /// The row of k and v; `nil`: it is none of the sequence's, but a key that all rows see.
  public let key: Int?
  /// How often it counts.
  public let count: Double
  /// What its weight is multiplied by after the softmax.
  public internal(set) var factor = 1.0
  /// Its score.
  public internal(set) var score: Double
  /// The sum of absolute terms of the score, before any soft cap.
  public internal(set) var magnitude: Double
  /// The sum of terms, which single precision must hold: the score, but under a soft cap.
  public internal(set) var uncapped = 0.0
  /// The derivative of the score by that sum: not 1 under a soft cap.
  var slope = 1.0
  /// Which operand's row is its value, and where that lies; `nil`: its value is 0.
  public let valueOperand: Operand.Name?
  /// The first element of the value in that operand.
  public let valuePlace: Int
  /// The value.
  public let value: DefinitionVector
  /// What the value was summed from, in absolute terms; `nil`: it is a row of an operand.
  var valueTerms: DefinitionVector?

  /// The sum of absolute terms of an element of the value.
  func valueMagnitude(_ index: Int) -> Double { valueTerms?[index] ?? value[index].magnitude }

  /// Creates a pair.
  /// - Parameters:
  ///   - key: the row of k and v; `nil`: a key that all rows see.
  ///   - count: how often it counts.
  ///   - score: its score.
  ///   - magnitude: the sum of absolute terms of the score.
  ///   - valueOperand: whose row is its value; `nil`: the value is 0.
  ///   - valuePlace: the first element of the value in that operand.
  ///   - value: the value.
  public init(
    key: Int?, count: Double, score: Double, magnitude: Double, valueOperand: Operand.Name?, valuePlace: Int,
    value: DefinitionVector
  ) {
    (self.key, self.count, self.score, self.magnitude) = (key, count, score, magnitude)
    (self.valueOperand, self.valuePlace, self.value) = (valueOperand, valuePlace, value)
    uncapped = score
  }
}

/// A part of an array.
public struct DefinitionVector: Sendable {
  /// The whole array.
  public let array: [Double]
  /// The first element of the part.
  public let start: Int
  /// Elements of the part.
  public let count: Int

  /// Takes a part.
  public init(_ array: [Double], from start: Int, count: Int) {
    self.array = array
    self.start = start
    self.count = count
  }

  /// An element.
  public subscript(index: Int) -> Double { array[start + index] }

  /// `Σ a_t b_t` and `Σ |a_t b_t|`.
  func dot(_ other: DefinitionVector) -> (sum: Double, magnitude: Double) {
    DoubleVectors.dot(array, start, other.array, other.start, count: count)
  }
}
