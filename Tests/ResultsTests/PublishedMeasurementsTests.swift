import Attention
import AttentionCore
import Foundation
import Testing

@testable import Analysis
@testable import Measuring
@testable import Presets
@testable import Records
@testable import Trainings

/// The committed measurements: they read, they equal themselves, and their cells keep their names.
@Suite struct PublishedMeasurementsTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path
  private static let published = root + "/results/published/"

  static let folders = ((try? FileManager.default.contentsOfDirectory(atPath: published)) ?? []).sorted()

  @Test("there are results to test") func someArePublished() { #expect(Self.folders.count >= 10) }

  @Test("results against themselves are 1.00 everywhere", arguments: folders)
  func selfComparison(_ folder: String) throws {
    let path = Self.published + folder
    if FileManager.default.fileExists(atPath: path + "/measurements.csv") {
      let rows = try MeasurementExperiment.rows(of: [path])
      let regression = try Regression(new: rows, old: rows)
      #expect(regression.lines.count == rows.count { $0.secondsMedian != nil })
      #expect(regression.lines.allSatisfy { $0.ratio == 1 } && regression.lost.isEmpty)
      #expect(Set(regression.lines.map(\.label)).count == regression.lines.count)
      // Every row is shown.
      let parts = try Comparison(rows).parts
      #expect(parts.flatMap { $0.lines.flatMap(\.series.rows) }.count == regression.lines.count)
      #expect(parts.flatMap(\.panel.failures).count == rows.count - regression.lines.count)
    }
    if FileManager.default.fileExists(atPath: path + "/runs.csv") {
      let rows = try TrainingExperiment.rows(of: [path + "/runs.csv"])
      let twice = try TrainingExperiment.rows(of: [path + "/runs.csv", path + "/runs.csv"])
      let comparison = TrainingComparison(rows)
      #expect(TrainingComparison(twice).text == comparison.text)
      #expect(comparison.lines.flatMap(\.rows).count == rows.count && comparison.notes.isEmpty)
      #expect(try !CurveRow.read(path + "/curves.csv").isEmpty)
    }
  }

  /// A cell as a published row describes it; the settings are those of the preset, which the row gives with defaults.
  private static func golden(_ preset: String) throws -> [(found: [String], published: String)] {
    let rows = try MeasurementRow.read(published + preset + "/measurements.csv")
    let cells = try Preset(file: root + "/Experiments/\(preset).yaml", catalog: .standard, kinds: .standard)
      .cells()
    let description = Dictionary(
      uniqueKeysWithValues: Catalog.standard.types.map { ($0.card.id, VariantDescription($0)) })
    return try rows.compactMap { row in
      // A row that failed before it was planned names the given settings only.
      let cell = try cells.first { cell in
        let summary = try description[cell.variant]?.summary(of: cell.settings)
        return cell.variant == row.variant && [summary, cell["configuration"]].contains(row.configuration)
          && cell.experiment == row.experiment && cell.pass == row.pass && cell.batch == row.batch
          && cell.heads == row.queryHeads && cell.keyHeads == row.keyHeads
          && cell.queryLength == row.queryLength && cell.keyLength == row.keyLength
          && cell.headDim == row.headDim && cell.valueDim == row.valueDim && cell.isCausal == row.causal
          && cell.precision == row.precision
      }
      // Threads and instruction set are those of the machine that measured it.
      guard var cell, let threads = row.threads else { return nil }
      (cell.threads, cell.instructionSet) = (threads, row.isa)
      return ([cell.id] + cell.formerIDs, row.cellID)
    }
  }

  @Test(
    "cells keep the ids that were published", arguments: ["quickstart", "scaling-time-memory", "performance"])
  func goldenIDs(_ preset: String) throws {
    let ids = try Self.golden(preset)
    #expect(ids.count > 50)
    for (found, published) in ids { #expect(found.contains(published)) }
  }

  @Test("the id of a cell, digit by digit")
  func oneGoldenID() throws {
    var cell = Cell(variant: "full", queryLength: 256)
    (cell.experiment, cell.heads, cell.keyHeads) = ("quickstart", 2, 2)
    (cell.threads, cell.instructionSet, cell.input) = (2, "avx512", .text(path: nil))
    #expect(cell.id == "82654c4166609621")
    cell.precision = .bfloat16
    #expect(cell.id != "82654c4166609621")
    (cell.precision, cell.warmup, cell.repeats, cell.budgetSeconds) = (.float32, 3, 99, 0.5)
    cell.preset = "another name"
    #expect(cell.id == "82654c4166609621")
  }

  @Test("a preset that is renamed holds the same cells", arguments: [true, false])
  func renaming(_ isNamed: Bool) throws {
    let yaml = "n: [8, 16]\nvariants: [full, chunked]\n" + (isNamed ? "name: mine\n" : "")
    let one = try Preset(yaml: yaml, file: "one.yaml", catalog: .standard, kinds: .standard).cells()
    let two = try Preset(yaml: yaml, file: "two.yaml", catalog: .standard, kinds: .standard).cells()
    #expect(one.map(\.id) == two.map(\.id))
    #expect(Set(one.map(\.experiment)) == [isNamed ? "mine" : ""])
  }
}
