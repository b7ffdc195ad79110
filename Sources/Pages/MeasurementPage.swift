import Basics
import Records

/// A measurement for a person: what `attnlab measure` prints.
package enum MeasurementPage {
  /// A line a quantity.
  package static func text(_ row: MeasurementRow) -> String {
    func bytes(_ value: Double?) -> String { value.map { Quantity.describe(bytes: $0) } ?? "–" }
    func seconds(_ value: Double?) -> String { value.map { Quantity.describe(seconds: $0) } ?? "–" }
    func number(_ value: Double?) -> String { value.map { Quantity.significant($0, 3) } ?? "–" }
    let share =
      row.fractionOfPeak.map { ", \(Quantity.significant(100 * $0, 3)) % of the machine's peak" } ?? ""
    let lines: [(String, String)] = [
      (
        "variant",
        "\(row.variant) \(row.configuration.replacing(";", with: " "))\(row.precision == .float32 ? "" : " \(row.precision)")"
      ),
      (
        "time",
        "\(seconds(row.secondsMedian)) (20 %: \(seconds(row.secondsP20)), 80 %: \(seconds(row.secondsP80)), \(counted(row.repeats ?? 0, "repeat")))"
      ),
      ("speed", "\(number(row.gflops)) GFLOP/s on needed pairs\(share)"),
      (
        "memory",
        "ledger \(bytes(row.memoryBytes.map { Double($0) })), process \(bytes(row.peakRSSBytes.map { Double($0) })), closed form \(bytes(row.predictedBytes))"
      ),
      ("plan", "\(seconds(row.planSeconds)), \(bytes(row.planBytes.map { Double($0) }))"),
      ("density", number(row.density)),
      (
        "error",
        "\(number(row.errorRel)) relative to full attention"
          + (row.errorOracleRel.map { ", \(number($0)) to its own definition" } ?? "")
      ),
    ]
    let kept = row.keptMass.map {
      (
        "kept",
        "\(Quantity.significant(100 * $0, 3)) % of full attention's weights, on the pairs that it sees"
      )
    }
    let sent =
      row.ranks == 1
      ? []
      : [
        (
          "ranks",
          "\(row.ranks), \(counted(row.messages ?? 0, "message")) of \(bytes(row.bytesSent.map { Double($0) })) together, \(seconds(row.secondsWaiting)) of waiting"
        )
      ]
    return namedLines(lines + [kept].compactMap(\.self) + sent)
  }
}
