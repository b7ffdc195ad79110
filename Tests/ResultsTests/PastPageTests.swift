import Foundation
import LeastSquares
import ScalingLaws
import Testing

@testable import Records

/// What a page says of shorter and longer pasts of trained models is computed from the published rows again.
@Suite struct PastPageTests {
  /// The presets that ask for it.
  private static let presets = ["context-read", "long-past"]

  /// Evaluations of a preset's models with a past of their own.
  private static func rows(of preset: String) throws -> [TrainingRow] {
    try TrainingRow.read("\(MechanismPageTests.published)\(preset)/runs.csv").filter {
      $0.evaluation == .changed
    }
  }

  private static func length(_ row: TrainingRow) -> Double {
    let pairs = row.evaluationTask.split(separator: ";").map { $0.split(separator: "=") }
    return pairs.first { $0.count == 2 && $0[0] == "length" }.flatMap { Double($0[1]) } ?? .nan
  }

  private static func mean(_ losses: [Double]) -> Double { losses.reduce(0, +) / Double(losses.count) }

  @Test(
    "losses by the length that is read are those of the published rows",
    arguments: zip(presets, ["What a longer past is worth", "The rows: a past of thousands of bytes"]))
  func byLength(_ preset: String, _ heading: String) throws {
    struct Model: Hashable { var attention: String, parameters: Int }
    let lines = try MechanismPageTests.table(heading, of: "which-length"), rows = try Self.rows(of: preset)
    func model(_ row: TrainingRow) -> Model {
      Model(attention: row.attention, parameters: row.parameters ?? 0)
    }
    var models: [Model] = []
    for row in rows where !models.contains(model(row)) { models.append(model(row)) }
    // All keys first, by size.
    let full = models.filter { $0.attention == "full" }.sorted { $0.parameters < $1.parameters }
    models = full + models.filter { $0.attention != "full" }
    #expect(lines.count == Set(rows.map(Self.length)).count)
    for line in lines {
      let losses = models.map { one in
        Self.mean(
          rows.filter { model($0) == one && "\(Int(Self.length($0)))" == line[0] }.compactMap(\.testLoss))
      }
      #expect(Array(line[1...]) == losses.map { String(format: "%.3f", $0) }, "\(line)")
    }
  }

  @Test(
    "what a longer past is worth to all keys was predicted from shorter ones as the page says",
    arguments: zip(
      presets, ["The rows: a longer past, predicted", "The rows: a past of thousands of bytes, predicted"]))
  func predicted(_ preset: String, _ heading: String) throws {
    let lines = try MechanismPageTests.table(heading, of: "which-length")
    let rows = try Self.rows(of: preset).filter { $0.attention == "full" }
    let longest = try #require(rows.map(Self.length).max()), known = rows.filter { Self.length($0) < longest }
    let fit = try Fitter(Chinchilla()).fit(
      FitData(
        columns: [
          ("parameters", known.map { Double($0.parameters ?? 0) }),
          ("evaluation.length", known.map(Self.length)),
        ], response: known.map { $0.testLoss ?? .nan }))
    let sizes = Set(rows.compactMap(\.parameters)).sorted()
    #expect(lines.count == sizes.count)
    for (line, size) in zip(lines, sizes) {
      let found = Self.mean(
        rows.filter { $0.parameters == size && Self.length($0) == longest }.compactMap(\.testLoss))
      let said = fit.predict(at: [Double(size), longest])
      let low = try #require(said.low), high = try #require(said.high)
      let verdict = low <= found && found <= high ? "inside" : "outside"
      let figures = [said.value, low, high, found].map { String(format: "%.3f", $0) }
      #expect(line == ["\(size)"] + figures + [verdict], "\(line)")
    }
  }
}
