import AttentionCore

/// Short names of cells and rows among others: variant, pass, length, and every other field of the identity that
/// differs between them.
public struct CellNames: Sendable {
  private let differing: [Field<MeasurementRow>]
  private let hasSettings: Bool

  /// Names for rows.
  public init(_ rows: [MeasurementRow]) {
    let fields = MeasurementRow.identity.filter { !Self.always.contains($0.name) }
    differing = fields.filter { field in
      guard let first = rows.first.map(field.text) else { return false }
      return rows.contains { field.text($0) != first }
    }
    // Defaults of one variant are in the configuration of every row of it; only what differs is worth a word.
    hasSettings = grouped(rows) { $0.variant }.contains { Set($0.map(\.configuration)).count > 1 }
    settings = Dictionary(
      grouped(rows) { $0.variant }.map { ($0[0].variant, Self.common($0.map(\.configuration))) }
    ) { first, _ in first }
  }

  private let settings: [String: Set<Substring>]
  private static let always: Set = [
    "preset", "variant", "configuration", "pass", "query_length", "key_length",
  ]

  private static func common(_ configurations: [String]) -> Set<Substring> {
    let all = configurations.map { Set($0.split(separator: ";")) }
    return all.dropFirst().reduce(all.first ?? []) { $0.intersection($1) }
  }

  /// The name of a row.
  public subscript(row: MeasurementRow) -> String {
    var words = [row.variant]
    let common = hasSettings ? settings[row.variant] ?? [] : []
    if hasSettings {
      words += settingWords(
        row.configuration.split(separator: ";").filter { !common.contains($0) }.map(String.init))
    }
    words += [row["pass"], "n=\(Self.lengths(row))"]
    words += differing.map { field in
      // A key head a query head is the rule.
      let isRule = field.name == "key_heads" && row.keyHeads == row.queryHeads
      let isSame = field.name == "value_dim" && row.valueDim == row.headDim
      return isRule || isSame ? "" : field.name == "commit" ? shortCommit(row.commit) : field.words(row)
    }
    return words.filter { !$0.isEmpty }.joined(separator: " ")
  }

  /// One length when both are the same or one is that of decoding, else `queries×keys`.
  static func lengths(_ row: MeasurementRow) -> String {
    guard let queries = row.queryLength, let keys = row.keyLength, queries != keys, row.pass != .decode else {
      return "\(row.cellLength ?? 0)"
    }
    return "\(queries)×\(keys)"
  }
}

extension MeasurementRow {
  /// The length that a cell is named by: of the cache when decoding, else of q.
  package var cellLength: Int? { pass == .decode ? keys : queryLength ?? keyLength }
}
