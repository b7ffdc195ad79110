import Basics
import Foundation

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
  /// All rows.
  public let rows: [TrainingRow]

  /// Compares rows.
  public init(_ rows: [TrainingRow]) {
    self.rows = rows
    let fine = rows.filter { $0["status"] == "ok" }
    failures = rows.filter { $0["status"] != "ok" }
    laws = TrainingLaw.all(in: rows)
    let labels = Labels(fine)
    let groups = TrainingLaw.groups(of: fine) {
      // Two evaluations of one model on different numbers of positions are two lines.
      let count = $0.isTraining ? "" : $0["test_count"]
      return "\(labels.label($0))\u{1F}\(labels.evaluation($0))\u{1F}\(count)"
    }
    lines = groups.map { Line(label: labels.label($0[0]), evaluation: labels.evaluation($0[0]), rows: $0) }
  }

  /// Held-out trainings with what was predicted of them.
  public var heldOut: [(label: String, row: TrainingRow)] {
    lines.flatMap { line in line.rows.filter { $0.isHeldOut && $0.isTraining }.map { (line.label, $0) } }
  }

  /// The header of the table; columns that are empty in every line are left out by `cells`.
  private static let header = [
    "model", "evaluated", "parameters", "compute", "tokens", "steps", "train", "validation", "test",
    "accuracy",
    "time", "tokens/s", "of peak", "attention memory",
  ]

  /// The table: header and a row a line.
  public var table: (header: [String], rows: [[String]]) {
    let all = lines.map(\.cells)
    let kept = Self.header.indices.filter { column in
      column == 0 || all.contains { !["", "–"].contains($0[column]) }
    }
    return (kept.map { Self.header[$0] }, all.map { cells in kept.map { cells[$0] } })
  }

  /// The comparison as text.
  public var text: String {
    let (header, cells) = table
    var grid = TextTable(header)
    for row in cells { grid.add(row) }
    let seeds = Set(lines.map(\.rows.count))
    let spread =
      seeds == [1]
      ? "accuracy with its 95 % interval (positions as if independent)" : "± standard deviation over seeds"
    var blocks = ["losses in nats on \(Self.scored(rows)) test positions; \(spread)\n\(grid.text)"]
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
        "  run \($0["run_id"]), seed \($0["seed"]): \($0["status"]): \($0["reason"])"
      }
      blocks.append("not trained:\n" + list.joined(separator: "\n"))
    }
    return blocks.joined(separator: "\n\n")
  }

  private static func scored(_ rows: [TrainingRow]) -> String {
    let counts = rows.compactMap { $0.number("test_count") }
    guard let low = counts.min(), let high = counts.max() else { return "the" }
    return low == high ? "\(Int(low))" : "\(Int(low)) to \(Int(high))"
  }

  /// Prediction and finding of a held-out training, in one line.
  static func describe(_ held: (label: String, row: TrainingRow)) -> String {
    let row = held.row
    let found = TrainingLaw.response(row)
    guard let value = row.number("predicted_loss"), let found else {
      return "  \(held.label): no law to predict it by"
    }
    let law = TrainingLaw.HeldOut(
      law: row["predicted_by"], loss: value, low: row.number("predicted_low"),
      high: row.number("predicted_high"))
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
    ])
  }
}

extension TrainingComparison.Line {
  /// The cells of the table.
  var cells: [String] {
    let isChanged = !rows[0].isTraining
    func numbers(_ column: String) -> [Double] { rows.compactMap { $0.number(column) } }
    func mean(_ column: String) -> Double? {
      let all = numbers(column)
      return all.isEmpty ? nil : all.reduce(0, +) / Double(all.count)
    }
    func plain(_ column: String, _ digits: Int = 4) -> String {
      mean(column).map { Quantity.significant($0, digits) } ?? "–"
    }
    func whole(_ column: String) -> String { mean(column).map { "\(Int($0.rounded()))" } ?? "–" }
    return [
      label, evaluation, isChanged ? "" : whole("parameters"), plain("compute_flops", 3),
      isChanged ? "" : whole("tokens"), isChanged ? "" : whole("steps"), plain("train_loss"),
      plain("validation_loss"), Self.spread(numbers("test_loss")), accuracy,
      mean("seconds").map { Quantity.describe(seconds: $0) } ?? "–", plain("tokens_per_second", 3),
      mean("fraction_of_peak").map { Quantity.significant(100 * $0, 3) + " %" } ?? "–",
      mean("attention_bytes").map { Quantity.describe(bytes: $0) } ?? "–",
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

  /// Accuracy over seeds, or of one seed with Wilson's 95 % interval.
  private var accuracy: String {
    let all = rows.compactMap { $0.number("test_accuracy") }
    guard all.count == 1, let count = rows[0].number("test_count"), count > 0 else { return Self.spread(all) }
    let (low, high) = Self.wilson(share: all[0], count: count)
    return
      "\(Quantity.significant(all[0], 3)) [\(Quantity.significant(low, 3)), \(Quantity.significant(high, 3))]"
  }

  /// Wilson's interval of a share: (p + z²/2n ± z√(p(1−p)/n + z²/4n²)) / (1 + z²/n), z = 1.96 (Wilson, 1927).
  static func wilson(share p: Double, count n: Double) -> (low: Double, high: Double) {
    let z = 1.959_963_985
    let centre = p + z * z / (2 * n), root = z * (p * (1 - p) / n + z * z / (4 * n * n)).squareRoot()
    let scale = 1 + z * z / n
    return (max(0, (centre - root) / scale), min(1, (centre + root) / scale))
  }
}
