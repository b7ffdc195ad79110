import Basics

/// A row of `stats.csv`: what the attention weights of one query row are like.
public struct StatisticsRow: Record, Hashable {
  /// The column `batch`.
  public var batch: Int?
  /// The column `head`.
  public var head: Int?
  /// The column `row`.
  public var row: Int?
  /// The column `pairs`.
  public var pairs: Int?
  /// The column `largest_score`.
  public var largestScore: Double?
  /// The column `lse`.
  public var lse: Double?
  /// The column `entropy`.
  public var entropy: Double?
  /// The column `kept_mass`.
  public var keptMass: Double?

  /// Creates an empty row.
  public init() {}

  /// The columns, in order.
  public static let schema: [Field<StatisticsRow>] = [
    .optional("batch", \.batch, .count(), .record, "the sequence, from 0").required,
    .optional("head", \.head, .count(), .record, "the query head, from 0").required,
    .optional("row", \.row, .count(), .record, "the row of q, from 0").required,
    .optional(
      "pairs", \.pairs, .count(), .quantity, unit: "keys", "keys that count, each as often as it does"
    )
    .required,
    .optional(
      "largest_score", \.largestScore, .real, .quantity, "largest score of the row; empty without keys"),
    .optional("lse", \.lse, .real, .quantity, unit: "nats", "log-sum-exp of the scores; empty without keys"),
    .optional(
      "entropy", \.entropy, .real, .quantity, unit: "nats",
      "entropy of the weights, lse minus their mean score"),
    .optional(
      "kept_mass", \.keptMass, .real, .quantity,
      "share of the weights that lies on the pairs of --kept-by; empty without it"),
  ]

  /// The text of a table of rows.
  public static func text(_ rows: [StatisticsRow]) -> String {
    ([columns] + rows.map(\.fields)).map(CSVTable.line).joined()
  }
}
