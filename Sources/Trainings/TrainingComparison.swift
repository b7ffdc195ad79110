import Basics
import Foundation
import Records

/// Trainings side by side: a line a model, variant and evaluation, over its seeds; and the laws that they allow.
public struct TrainingComparison: Sendable {
  /// Trainings that differ in their seed alone.
  public struct Line: Sendable {
    /// What tells it apart: the settings that are not the same everywhere.
    public let label: String
    /// The conditions of the evaluation, where they are not those of the training.
    public let evaluation: String
    /// A row a seed.
    public let rows: [TrainingRow]
  }

  /// The lines, in the order of the rows.
  public let lines: [Line]
  /// The laws.
  public let laws: [TrainingLaw]
  /// Trainings that failed.
  public let failures: [TrainingRow]
  /// All rows, each once.
  public let rows: [TrainingRow]
  /// What was left out, a line each.
  public let notes: [String]

  /// Compares rows. Equal rows count once; rows of one training that differ are told apart by where they were made, or it
  /// is said which one counts.
  public init(_ rows: [TrainingRow]) {
    let labels = Labels(rows.filter { $0.status == .ok })
    let groups = RowGroups(
      rows.filter { $0.status == .ok }, by: Labels.key, slot: { $0["seed"] },
      name: { "run \($0.runID), seed \($0["seed"])" })
    lines = groups.groups.map {
      Line(
        label: labels.label($0.rows[0], origin: $0.origin), evaluation: labels.evaluation($0.rows[0]),
        rows: $0.rows)
    }
    var seen: Set<[String]> = []
    failures = rows.filter { $0.status != .ok && seen.insert($0.fields).inserted }
    let kept = Set(lines.flatMap(\.rows).map(\.fields))
    // In the order of the files.
    let fine = rows.filter { kept.contains($0.fields) && seen.insert($0.fields).inserted }
    self.rows = fine + failures
    laws = TrainingLaw.all(in: fine)
    notes = groups.notes
  }

  /// Held-out trainings with what was predicted of them.
  public var heldOut: [(label: String, row: TrainingRow)] {
    lines.flatMap { line in line.rows.filter { $0.isHeldOut && $0.isTraining }.map { (line.label, $0) } }
  }

  /// The header of the table; columns that are empty in every line are left out by `cells`.
  private static let header = [
    "model", "evaluated", "parameters", "compute", "tokens", "steps", "train", "validation", "test",
    "accuracy", "exact match", "time", "tokens/s", "of peak", "attention memory",
  ]

  /// The table: header and a row a line.
  public var table: (header: [String], rows: [[String]]) {
    let all = lines.map(\.cells)
    let kept = Self.header.indices.filter { column in
      column == 0 || all.contains { !["", "–"].contains($0[column]) }
    }
    return (kept.map { Self.header[$0] }, all.map { cells in kept.map { cells[$0] } })
  }

  /// The table alone in a format for documents and programs, everything as text.
  func text(_ format: TableFormat) -> String { format == .text ? text : grid.text(as: format) }

  private var grid: TextTable {
    let (header, cells) = table
    var grid = TextTable(header)
    for row in cells { grid.add(row) }
    return grid
  }

  /// The comparison as text.
  public var text: String {
    let seeds = Set(lines.map(\.rows.count))
    let spread =
      seeds == [1]
      ? "accuracy with its 95 % interval (positions as if independent)" : "± standard deviation over seeds"
    var blocks = [
      "\(LossUnit.sentence(rows)) on \(Self.scored(rows)) test positions; \(spread)\n\(grid.text)"
    ]
    if !laws.isEmpty {
      blocks.append("laws (95 % intervals)\n" + laws.flatMap(\.lines).joined(separator: "\n"))
    }
    let held = heldOut
    if !held.isEmpty {
      blocks.append(
        "held out of the fits, predicted before they were made\n"
          + held.map(Self.describe).joined(separator: "\n"))
    }
    if !failures.isEmpty {
      let list = failures.map {
        "  run \($0.runID), seed \($0["seed"]): \($0["status"]): \($0.reason)"
      }
      blocks.append("not trained:\n" + list.joined(separator: "\n"))
    }
    if !notes.isEmpty { blocks.append(notes.joined(separator: "\n")) }
    return blocks.joined(separator: "\n\n")
  }

  private static func scored(_ rows: [TrainingRow]) -> String {
    let counts = rows.compactMap(\.testCount)
    guard let low = counts.min(), let high = counts.max() else { return "the" }
    return low == high ? "\(low)" : "\(low) to \(high)"
  }

  /// Prediction and finding of a held-out training, in one line.
  static func describe(_ held: (label: String, row: TrainingRow)) -> String {
    let row = held.row
    let found = TrainingLaw.response(row)
    guard let value = row.predictedLoss, let found else {
      return "  \(held.label): no law to predict it by"
    }
    let law = TrainingLaw.HeldOut(
      law: row.predictedBy, loss: value, low: row.predictedLow, high: row.predictedHigh)
    var verdict = ""
    if let low = law.low, let high = law.high {
      verdict = low <= found && found <= high ? ", inside" : ", outside"
    }
    return "  \(held.label): predicted \(law.text), found \(Quantity.significant(found, 4))\(verdict)"
  }

  /// The comparison as JSON.
  public var json: JSONValue {
    .object([
      "lines": .array(
        lines.map { line in
          .object([
            "label": .string(line.label), "evaluation": .string(line.evaluation),
            "rows": .array(line.rows.map(\.json)),
          ])
        }), "laws": .array(laws.map(\.json)), "failures": .array(failures.map(\.json)),
      "notes": .array(notes.map { .string($0) }),
    ])
  }
}

extension TrainingComparison.Line {
  /// The cells of the table.
  var cells: [String] {
    let isChanged = !rows[0].isTraining
    func mean(_ value: (TrainingRow) -> Double?) -> Double? {
      let all = rows.compactMap(value)
      return all.isEmpty ? nil : all.reduce(0, +) / Double(all.count)
    }
    func plain(_ digits: Int, _ value: (TrainingRow) -> Double?) -> String {
      mean(value).map { Quantity.significant($0, digits) } ?? "–"
    }
    func whole(_ value: (TrainingRow) -> Int?) -> String {
      isChanged ? "" : mean { value($0).map { Double($0) } }.map(Quantity.whole) ?? "–"
    }
    return [
      label, evaluation, whole(\.parameters), plain(3, \.computeFlops), whole(\.tokens), whole(\.steps),
      plain(4, \.trainLoss), plain(4, \.validationLoss), Self.spread(rows.compactMap(\.testLoss)),
      share(\.testAccuracy, of: \.testCount), share(\.testExactMatch, of: \.testExamples),
      mean(\.seconds).map { Quantity.describe(seconds: $0) } ?? "–", plain(3, \.tokensPerSecond),
      mean(\.fractionOfPeak).map { Quantity.significant(100 * $0, 3) + " %" } ?? "–",
      mean(\.attentionBytes).map { Quantity.describe(bytes: $0) } ?? "–",
    ]
  }

  /// The mean, with the standard deviation where there are several.
  private static func spread(_ values: [Double]) -> String {
    guard !values.isEmpty else { return "–" }
    let mean = values.reduce(0, +) / Double(values.count)
    guard values.count > 1 else { return Quantity.significant(mean, 4) }
    let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)
    return "\(Quantity.significant(mean, 4)) ± \(Quantity.significant(variance.squareRoot(), 2))"
  }

  /// A share over seeds, or of one seed with Wilson's 95 % interval.
  private func share(_ value: (TrainingRow) -> Double?, of whole: (TrainingRow) -> Int?) -> String {
    let all = rows.compactMap(value)
    guard all.count == 1, let count = whole(rows[0]), count > 0 else { return Self.spread(all) }
    let (low, high) = Wilson.interval(share: all[0], count: Double(count))
    return
      "\(Quantity.significant(all[0], 3)) [\(Quantity.significant(low, 3)), \(Quantity.significant(high, 3))]"
  }
}
