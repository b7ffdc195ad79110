import Basics
import Presets
import Records

/// A finished training for a person: what `attnlab train` prints.
package enum TrainingPage {
  /// A line a group of quantities.
  /// - Parameters:
  ///   - row: the training's own row.
  ///   - others: those of auxiliary tasks.
  ///   - folder: where it stands.
  ///   - made: the report.
  package static func text(
    _ row: TrainingRow, others: [TrainingRow] = [], folder: String, _ made: ReportFiles
  ) -> String {
    func text(_ value: Double?) -> String { value.map { Quantity.significant($0, 4) } ?? "–" }
    func whole(_ value: Int?, _ noun: String) -> String { value.map { counted($0, noun) } ?? "–" }
    let unit = LossUnit(of: row)
    let entropy =
      row.entropyRate.map { " (entropy rate of the source: \(Quantity.significant($0, 4)))" } ?? ""
    let memory = row.memoryBytes.map {
      ("memory", "\(Quantity.describe(bytes: Double($0))) of earlier segments")
    }
    let exact =
      row.testExactMatch.map {
        ", exact match \(text($0)) (\(counted(row.testExamples ?? 0, "row")))"
      } ?? ""
    let lines = [
      (
        "trained",
        "\(whole(row.steps, "step")), \(whole(row.tokens, "token")), \(text(row.computeFlops)) operations"
      ),
      (
        "validation",
        "\(unit.text(text(row.validationLoss)))\(entropy), accuracy \(text(row.validationAccuracy))"
      ),
      ("test", "\(unit.text(text(row.testLoss))), accuracy \(text(row.testAccuracy))\(exact)"),
      ("speed", "\(text(row.tokensPerSecond)) tokens/s in \(text(row.seconds)) s"),
    ]
    let plots = made.pictures.isEmpty ? nil : ("plots", made.pictures.joined(separator: ", "))
    return namedLines(
      lines
        + others.map {
          ($0.lossTask, "test \(unit.text(text($0.testLoss))), accuracy \(text($0.testAccuracy)) (auxiliary)")
        } + [memory].compactMap(\.self) + [("model", "\(folder)/model.safetensors")]
        + [plots].compactMap(\.self) + [("report", made.page)])
  }

  /// The row, and what stands beside it.
  package static func json(_ row: TrainingRow, _ made: ReportFiles) -> JSONValue {
    .object(
      row.json.members + [
        .init(key: "report", value: .string(made.page)),
        .init(key: "plots", value: .array(made.pictures.map { .string($0) })),
      ])
  }
}
