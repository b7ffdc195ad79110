import Foundation
import LeastSquares
import ScalingLaws
import Testing

@testable import Records

/// What a page says of texts that are cut into pieces is computed from the published rows of trained models again.
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

  /// A model: all keys by size first, then others as they come.
  private struct Model: Hashable {
    var attention: String, parameters: Int

    init(_ row: TrainingRow) { (attention, parameters) = (row.attention, row.parameters ?? 0) }

    static func all(in rows: [TrainingRow]) -> [Model] {
      var found: [Model] = []
      for row in rows where !found.contains(Model(row)) { found.append(Model(row)) }
      let full = found.filter { $0.attention == "full" }.sorted { $0.parameters < $1.parameters }
      return full + found.filter { $0.attention != "full" }
    }
  }

  /// The mean loss of a model over seeds, by the length of the pieces.
  private static func losses(of model: Model, in rows: [TrainingRow]) -> [Int: Double] {
    Dictionary(grouping: rows.filter { Model($0) == model }) { Int(length($0)) }
      .mapValues { mean($0.compactMap(\.testLoss)) }
  }

  @Test(
    "losses by the length of the pieces are those of the published rows",
    arguments: zip(
      presets, ["The rows: pieces of up to 256 bytes", "The rows: pieces of thousands of bytes"]))
  func byLength(_ preset: String, _ heading: String) throws {
    let lines = try MechanismPageTests.table(heading, of: "which-length"), rows = try Self.rows(of: preset)
    #expect(lines.count == Set(rows.map(Self.length)).count)
    let losses = Model.all(in: rows).map { Self.losses(of: $0, in: rows) }
    for line in lines {
      let length = try #require(Int(line[0]))
      #expect(Array(line[1...]) == losses.map { String(format: "%.3f", $0[length] ?? .nan) }, "\(line)")
    }
  }

  /// Of a text in pieces of 2n bytes every other n bytes are read behind n others, in pieces of n they are not: what they lose is
  /// 2n·(L(n) − L(2n)).
  @Test("what a cut costs follows from the losses of pieces of one and of two lengths")
  func cuts() throws {
    let lines = try MechanismPageTests.table("The rows: what a cut costs", of: "which-length")
    let rows = try Self.rows(of: "long-past"), models = Model.all(in: rows)
    #expect(lines.count == Set(rows.map(Self.length)).count - 1)
    for line in lines {
      let length = try #require(Int(line[0]))
      let costs = try models.map {
        let losses = Self.losses(of: $0, in: rows)
        let short = try #require(losses[length]), long = try #require(losses[2 * length])
        return String(format: "%.1f", 2 * Double(length) * (short - long))
      }
      #expect(Array(line[1...]) == costs, "\(line)")
    }
  }

  @Test(
    "what a longer past is worth to all keys was predicted from shorter ones as the page says",
    arguments: zip(
      presets, ["The rows: a longer past, predicted", "The rows: pieces of thousands of bytes, predicted"]))
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
