import AttentionCore
import Records

/// Which length series run along: whichever varies. Titles tell the other.
public enum LengthAxis: Hashable, Sendable {
  /// As many queries as keys.
  case both
  /// Rows of q, at one number of keys.
  case queries(keys: Int)
  /// Rows of k and v, at one number of queries; when decoding, the cache.
  case keys(queries: Int)

  /// The length of a row along the axis.
  func length(of row: MeasurementRow) -> Int? {
    switch self {
    case .both, .queries: row.queryLength ?? row.keyLength
    case .keys: row.keys
    }
  }

  /// What a title says of the length that is the same everywhere.
  func words(_ pass: PassKind?) -> String {
    switch self {
    case .both: ""
    case .queries(let keys): "key length \(keys)"
    case .keys(let queries): pass == .decode && queries == 1 ? "" : "query length \(queries)"
    }
  }

  /// The axis in a figure, with its unit.
  var axis: String {
    if case .queries = self { "query length n (tokens)" } else { "sequence length n (tokens)" }
  }

  /// Sorts rows of one shape by the axis that they run along. Every row is in one of them.
  static func split(_ rows: [MeasurementRow]) -> [(axis: LengthAxis, rows: [MeasurementRow])] {
    if let axis = single(rows) { return [(axis, rows)] }
    // Experiments ask different questions: each has its own axis.
    let experiments = grouped(rows) { $0.preset + "\u{1F}" + $0.experiment }
    if experiments.count > 1, experiments.allSatisfy({ single($0) != nil }) {
      return merged(experiments.compactMap { rows in single(rows).map { ($0, rows) } })
    }
    let squares = rows.filter(isSquare), others = rows.filter { !isSquare($0) }
    let byKeys = grouped(others) { $0["key_length"] }
    let sides = Set(squares.compactMap(\.keys)), keys = Set(others.compactMap(\.keys))
    // A product of two lists of lengths has squares among its rows; they belong to the curves at their key lengths.
    if sides.isSubset(of: keys) {
      return grouped(rows) { "\($0.keys ?? 0)" }.map { (.queries(keys: $0[0].keys ?? 0), $0) }
    }
    return (squares.isEmpty ? [] : [(.both, squares)])
      + byKeys.map { (.queries(keys: $0[0].keys ?? 0), $0) }
  }

  /// The axis of rows that all run along one.
  private static func single(_ rows: [MeasurementRow]) -> LengthAxis? {
    let queries = Set(rows.compactMap(\.queryLength)), keys = Set(rows.compactMap(\.keys))
    if let only = queries.first, queries.count == 1, rows.contains(where: { $0.pass == .decode }) {
      return .keys(queries: only)
    }
    if rows.allSatisfy(isSquare) { return .both }
    if let only = keys.first, keys.count == 1 { return .queries(keys: only) }
    if let only = queries.first, queries.count == 1 { return .keys(queries: only) }
    return nil
  }

  private static func isSquare(_ row: MeasurementRow) -> Bool { row.queryLength == row.keys }

  /// Rows of equal axes together.
  private static func merged(
    _ parts: [(LengthAxis, [MeasurementRow])]
  ) -> [(axis: LengthAxis, rows: [MeasurementRow])] {
    var found: [(axis: LengthAxis, rows: [MeasurementRow])] = []
    for (axis, rows) in parts {
      if let index = found.firstIndex(where: { $0.axis == axis }) {
        found[index].rows += rows
      } else {
        found.append((axis, rows))
      }
    }
    return found
  }
}
