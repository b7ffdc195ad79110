import AttentionCore
import Basics
import Records

/// Rows that may be compared: the same pass at the same shape but for the length, with the same threads on one machine.
public struct Panel: Sendable {
  /// The pass.
  public let pass: PassKind?
  /// The shape, the threads and, where there are several, the machine in words.
  public let title: String
  /// Which length the series run along.
  public let axis: LengthAxis
  /// The curves over the length.
  public let series: [Series]
  /// Rows without a number.
  public let failures: [MeasurementRow]
  /// What was left out, a line each.
  public let notes: [String]

  /// One variant with one configuration, and whatever else tells contenders apart.
  public struct Series: Sendable {
    /// The variant's id.
    public let variant: String
    /// The variant, with whatever tells it from the others in the panel.
    public let label: String
    /// Its measured rows by rising length.
    public let rows: [MeasurementRow]
    /// The length that the series runs along.
    public let axis: LengthAxis

    /// The row at a length.
    public func row(at length: Int) -> MeasurementRow? { rows.first { axis.length(of: $0) == length } }
    /// The lengths.
    public var lengths: [Int] { rows.compactMap(axis.length) }
  }

  /// All lengths of all series.
  public var lengths: [Int] { Set(series.flatMap(\.lengths)).sorted() }

  /// The largest length that most series reached: where they are compared.
  public var comparisonLength: Int? {
    let counts = lengths.map { length in (length, series.count { $0.row(at: length) != nil }) }
    guard let most = counts.map(\.1).max() else { return nil }
    return counts.last { $0.1 == most }?.0
  }

  /// What a failure is called: the variant with its settings, and its length.
  func name(of failure: MeasurementRow) -> String {
    "\(failure.variant) n = \(axis.length(of: failure) ?? 0)"
  }

  /// The failure of a series at a length. A row that failed early knows only the settings that were given.
  func failure(of series: Series, at length: Int) -> MeasurementRow? {
    let own = Set((series.rows.first?.configuration ?? "").split(separator: ";"))
    let candidates = failures.filter {
      $0.variant == series.variant && axis.length(of: $0) == length
        && own.isSuperset(of: $0.configuration.split(separator: ";"))
    }
    guard let row = series.rows.first else { return candidates.first }
    let others = Self.contenders.filter { !["variant", "configuration"].contains($0.name) }
    return candidates.first { $0.key(others) == row.key(others) } ?? candidates.first
  }

  // MARK: - Baselines

  /// The series of a variant or label.
  /// - Throws: `UsageError` with the nearest name.
  public func baselines(_ name: String) throws(UsageError) -> [Series] {
    let labelled = series.filter { $0.label == name }
    let found = labelled.isEmpty ? series.filter { $0.variant == name } : labelled
    if !found.isEmpty || failures.contains(where: { $0.variant == name }) { return found }
    throw UsageError(
      "--baseline \(shown(name)): there is no such variant; it takes one of \(choices(series.map(\.label), near: name))"
    )
  }

  /// The baseline of a series: of several the first that was measured under its conditions. How it computes (precision,
  /// instruction set, settings) is what is compared.
  static func nearest(_ series: Series, among baselines: [Series]) -> Series? {
    guard let own = series.rows.first else { return baselines.first }
    func agreement(_ other: Series) -> Int {
      guard let row = other.rows.first else { return -1 }
      return conditions.count { $0.text(row) == $0.text(own) } + (row.source == own.source ? 1 : 0)
    }
    let most = baselines.map(agreement).max()
    return baselines.first { agreement($0) == most }
  }

  private static let computing: Set = ["variant", "configuration", "isa", "precision"]
  private static let conditions = MeasurementRow.identity.filter {
    $0.role == .origin || ($0.role == .contender && !computing.contains($0.name))
  }
  private static let contenders = MeasurementRow.identity.filter { $0.role == .contender }
  private static let shape = MeasurementRow.identity.filter { $0.role == .shape }

  // MARK: - Sorting rows

  /// Sorts rows into panels, in the order in which they appear.
  /// - Parameters:
  ///   - rows: of one file or of several.
  ///   - pass: only this pass; `nil`: all.
  public static func panels(of rows: [MeasurementRow], pass: PassKind? = nil) -> [Panel] {
    let rows = rows.filter { pass == nil || $0.pass == pass }
    let shapes = grouped(rows) { $0.key(shape) }
    let firsts = shapes.map { $0[0] }
    // What no title names by itself is named where it differs: the machine, and fields that come later.
    let telling = shape.filter { field in
      !titled.contains(field.name) && Set(firsts.map(field.text)).count > 1
    }
    return shapes.flatMap { rows in
      LengthAxis.split(rows).map { axis, rows in
        let words =
          shapeWords(rows[0]) + [axis.words(rows[0].pass)] + telling.map { $0.words(rows[0]) }
        return panel(rows, axis, title: words.filter { !$0.isEmpty }.joined(separator: ", "))
      }
    }
  }

  private static func panel(_ rows: [MeasurementRow], _ axis: LengthAxis, title: String) -> Panel {
    let measured = rows.filter { $0.secondsMedian != nil && axis.length(of: $0) != nil }
    let groups = RowGroups(
      measured, by: { $0.key(contenders) }, slot: { "\(axis.length(of: $0) ?? 0)" },
      name: { "\($0.variant) \($0["pass"]) n = \(axis.length(of: $0) ?? 0)" })
    let firsts = groups.groups.map { $0.rows[0] }
    let label = labels(firsts)
    let series = groups.groups.map { group in
      let name = label(group.rows[0])
      return Series(
        variant: group.rows[0].variant,
        label: [name, group.origin].filter { !$0.isEmpty }.joined(separator: " "),
        rows: group.rows.sorted { (axis.length(of: $0) ?? 0) < (axis.length(of: $1) ?? 0) }, axis: axis)
    }
    var seen: Set<[String]> = []
    return Panel(
      pass: rows[0].pass, title: title, axis: axis, series: series,
      failures: rows.filter { $0.secondsMedian == nil && seen.insert($0.fields).inserted },
      notes: groups.notes)
  }

  /// The fields that every title names.
  private static let titled: Set = [
    "pass", "batch", "query_heads", "key_heads", "head_dim", "value_dim", "causal", "threads",
  ]

  private static func shapeWords(_ row: MeasurementRow) -> [String] {
    func number(_ value: Int?) -> String { value.map { "\($0)" } ?? "?" }
    let heads =
      row.queryHeads == row.keyHeads
      ? number(row.queryHeads) : "\(number(row.queryHeads))/\(number(row.keyHeads))"
    let dims =
      row.headDim == row.valueDim ? number(row.headDim) : "\(number(row.headDim))/\(number(row.valueDim))"
    return [
      row["pass"], "batch \(number(row.batch))", "\(heads) head\(heads == "1" ? "" : "s") × \(dims)",
      row.causal == true ? "causal" : "", "\(row.threads.map { counted($0, "thread") } ?? "? threads")",
    ]
  }

  /// What series are called: in words that say nothing twice, as long as these tell all of them apart.
  private static func labels(_ firsts: [MeasurementRow]) -> (MeasurementRow) -> String {
    func once(_ row: MeasurementRow) -> String {
      var said: [String] = []
      for word in words(row, among: firsts) where !said.contains(word) { said.append(word) }
      return said.joined(separator: " ")
    }
    func all(_ row: MeasurementRow) -> String { words(row, among: firsts).joined(separator: " ") }
    let differ = Set(firsts.map(once)).count == Set(firsts.map(all)).count
    return differ ? once : all
  }

  /// The variant, and what differs from other series of the same variant.
  private static func words(_ row: MeasurementRow, among all: [MeasurementRow]) -> [String] {
    let rivals = all.filter { $0.variant == row.variant }
    let settings = row.configuration.split(separator: ";").filter { setting in
      !rivals.allSatisfy { $0.configuration.split(separator: ";").contains(setting) }
    }
    var words = [row.variant] + settingWords(settings.map(String.init))
    for field in contenders where field.name != "variant" && field.name != "configuration" {
      let word = field.words(row)
      if !word.isEmpty, Set(rivals.map(field.text)).count > 1 { words.append(word) }
    }
    return words
  }
}
