import Tensors

/// A score that single precision does not hold: its row has no softmax, and is refused whatever the score's sign.
///
/// A score is finite, and a masked pair has none; so a log-sum-exp is finite, or −∞ in a row without keys. NaN is how a
/// variant says that a score of the row was not finite, and `AttentionVariant.attend` turns it into this error.
public struct ScoreOverflow: Error, Hashable, Sendable, CustomStringConvertible {
  /// Scores are computed in base 2: `|score| · log₂ e` must stay below the largest single.
  public static let limit = Double(Float.greatestFiniteMagnitude) * 0.6931471805599453

  /// Where the first row with such a score stands.
  public let batch: Int, head: Int, query: Int
  /// The first key that it has it with; `nil`: none was found to blame.
  public let key: Int?
  /// The score in Double.
  public let score: Double

  /// Names the first such row.
  public init(batch: Int, head: Int, query: Int, key: Int?, score: Double) {
    (self.batch, self.head, self.query, self.key, self.score) = (batch, head, query, key, score)
  }

  /// One line.
  public var description: String {
    let place = "of query \(query)\(key.map { " and key \($0)" } ?? "") (batch \(batch), head \(head))"
    let size =
      score.magnitude < Self.limit
      ? "is a sum of products that single precision does not hold"
      : "is \(short(score)): single precision holds none beyond ±\(short(Self.limit))"
    return "the score \(place) \(size); scale the inputs down, or give a smaller scale"
  }
}

extension AttentionVariant {
  /// The refusal of a row, as a place in the log-sum-exp, that names the first key to blame.
  /// - Returns: `ScoreOverflow`, or what the definition throws.
  /// - Complexity: O(inputs).
  func overflow(_ index: Int, _ inputs: Operands) -> any Error {
    let row = shape.definitionRow(index)
    let pairs: [DefinitionPair]
    do {
      let definition = try definition(of: inputs) as? any PairDefinition
      pairs = definition?.pairs(of: row, DefinitionInputs(inputs, lazily: true)) ?? []
    } catch { return error }
    // The products are added before they are scaled, or after, and one after the other: any of these may overflow.
    let scale = min(1, shape.effectiveScale.magnitude)
    let blamed =
      pairs.first { !($0.uncapped.magnitude <= ScoreOverflow.limit) }
      ?? pairs.first { !($0.magnitude <= ScoreOverflow.limit * scale) }
    return ScoreOverflow(
      batch: row.batch, head: row.head, query: row.query, key: blamed?.key, score: blamed?.uncapped ?? 0)
  }
}
