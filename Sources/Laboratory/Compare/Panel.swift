import AttentionCore
import Basics

/// Rows that may be compared: the same pass at the same shape but for the length, with the same threads.
public struct Panel: Sendable {
  /// The pass.
  public let pass: String
  /// The shape and the threads in words.
  public let title: String
  /// The curves over the length.
  public let series: [Series]
  /// Rows without a number.
  public let failures: [MeasurementRow]

  /// One variant with one configuration.
  public struct Series: Sendable {
    /// The variant's id.
    public let variant: String
    /// The variant, with whatever tells it from the others in the panel.
    public let label: String
    /// Its measured rows by rising length.
    public let rows: [MeasurementRow]

    /// The row at a length.
    public func row(at length: Int) -> MeasurementRow? { rows.first { $0.keyLength == length } }
    /// The lengths.
    public var lengths: [Int] { rows.compactMap(\.keyLength) }
  }

  /// All lengths of all series.
  public var lengths: [Int] { Set(series.flatMap(\.lengths)).sorted() }

  /// The largest length that most series reached: where they are compared.
  public var comparisonLength: Int? {
    let counts = lengths.map { length in (length, series.count { $0.row(at: length) != nil }) }
    guard let most = counts.map(\.1).max() else { return nil }
    return counts.last { $0.1 == most }?.0
  }

  /// The series of a variant.
  /// - Throws: `UsageError` with the nearest name.
  public func baseline(_ name: String) throws(UsageError) -> Series? {
    if let found = series.first(where: { $0.label == name || $0.variant == name }) { return found }
    if failures.contains(where: { $0.variant == name }) { return nil }
    let names = series.map(\.label)
    let nearest = nearestName(to: name, among: names).map { " (did you mean \($0)?)" } ?? ""
    throw UsageError(
      "--baseline \(name): there is no such variant; there are \(names.joined(separator: ", "))\(nearest)")
  }

  /// Sorts rows into panels, in the order in which they appear.
  /// - Parameter pass: only this pass; `nil`: all.
  public static func panels(of rows: [MeasurementRow], pass: String? = nil) -> [Panel] {
    let rows = rows.filter { pass == nil || $0.pass == pass }
    var keys: [String] = []
    var groups: [String: [MeasurementRow]] = [:]
    for row in rows {
      let key = shapeWords(row).joined(separator: "|")
      if groups[key] == nil { keys.append(key) }
      groups[key, default: []].append(row)
    }
    return keys.compactMap { groups[$0] }.map(panel)
  }

  private static func panel(_ rows: [MeasurementRow]) -> Panel {
    var keys: [String] = []
    var groups: [String: [MeasurementRow]] = [:]
    for row in rows where row.secondsMedian != nil {
      let key = traits(row).map(\.1).joined(separator: "|") + "|" + row.configuration
      if groups[key] == nil { keys.append(key) }
      groups[key, default: []].append(row)
    }
    let firsts = keys.compactMap { groups[$0]?.first }
    let series = keys.compactMap { key -> Series? in
      guard let members = groups[key], let first = members.first else { return nil }
      // A cell measured more than once counts with its last row.
      var latest: [Int: MeasurementRow] = [:]
      for row in members { if let length = row.keyLength { latest[length] = row } }
      return Series(
        variant: first.variant, label: label(first, among: firsts),
        rows: latest.sorted { $0.key < $1.key }.map(\.value))
    }
    let first = rows[0]
    return Panel(
      pass: first.pass, title: shapeWords(first).filter { !$0.isEmpty }.joined(separator: ", "),
      series: series,
      failures: rows.filter { $0.secondsMedian == nil })
  }

  private static func shapeWords(_ row: MeasurementRow) -> [String] {
    func number(_ value: Int?) -> String { value.map { "\($0)" } ?? "?" }
    let heads =
      row.queryHeads == row.keyHeads
      ? number(row.queryHeads) : "\(number(row.queryHeads))/\(number(row.keyHeads))"
    let dims =
      row.headDim == row.valueDim ? number(row.headDim) : "\(number(row.headDim))/\(number(row.valueDim))"
    return [
      row.pass, "batch \(number(row.batch))", "\(heads) heads × \(dims)", row.causal == true ? "causal" : "",
      "\(number(row.threads)) threads",
    ]
  }

  private static func traits(_ row: MeasurementRow) -> [(String, String)] {
    [
      ("", row.variant), ("", row.precision), ("", row.isa), ("", row.input),
      ("seed ", row.seed.map { "\($0)" } ?? ""),
      ("", row.experiment), ("", row.preset),
    ]
  }

  /// The variant, and what differs from other series of the same variant.
  private static func label(_ row: MeasurementRow, among all: [MeasurementRow]) -> String {
    let rivals = all.filter { $0.variant == row.variant }
    var words = [row.variant]
    let settings = row.configuration.split(separator: ";").map(String.init)
    for setting in settings
    where !rivals.allSatisfy({ $0.configuration.split(separator: ";").contains { $0 == setting } }) {
      words.append(setting)
    }
    for (index, trait) in traits(row).enumerated().dropFirst()
    where Set(rivals.map { traits($0)[index].1 }).count > 1 && !trait.1.isEmpty {
      words.append(trait.0 + trait.1)
    }
    return words.joined(separator: " ")
  }
}
