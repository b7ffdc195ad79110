import AttentionCore
import Basics
import Foundation
import Testing

@testable import Records
@testable import Trainings

/// The fits that `Experiments/README.md` states come from the committed `runs.csv`, and nothing committed names a place
/// on the machine that made it.
@Suite struct PublishedTrainingsTests {
  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("results/published").path

  /// A documented parameter with its interval, to the four digits that are documented.
  struct Documented: Sendable, CustomTestStringConvertible {
    let preset: String, law: TrainingLaw.Kind, parameter: String
    let value: Double, low: Double, high: Double
    var testDescription: String { "\(preset) \(law.rawValue) \(parameter)" }
  }

  static let documented = [
    Documented(
      preset: "scaling-parameters", law: .parameters, parameter: "c", value: 1.399, low: 1.395, high: 1.402),
    Documented(
      preset: "scaling-parameters", law: .parameters, parameter: "b", value: 1.637, low: 1.431, high: 1.853),
    Documented(preset: "scaling-data", law: .data, parameter: "c", value: 1.422, low: 1.420, high: 1.424),
    Documented(preset: "scaling-data", law: .data, parameter: "b", value: 0.8488, low: 0.6754, high: 1.030),
    Documented(
      preset: "scaling-compute", law: .compute, parameter: "c", value: 1.397, low: 1.395, high: 1.399),
    Documented(
      preset: "scaling-compute", law: .compute, parameter: "b", value: 0.5958, low: 0.5250, high: 0.6684),
    Documented(preset: "scaling-compute", law: .joint, parameter: "E", value: 1.391, low: 1.387, high: 1.395),
    Documented(
      preset: "scaling-compute", law: .joint, parameter: "alpha", value: 1.417, low: 1.115, high: 1.748),
    Documented(
      preset: "scaling-compute", law: .joint, parameter: "beta", value: 0.6781, low: 0.5717, high: 0.7887),
    Documented(
      preset: "scaling-compute-full", law: .compute, parameter: "c", value: 1.3979, low: 1.3968, high: 1.3988),
    Documented(
      preset: "scaling-compute-full", law: .joint, parameter: "E", value: 1.3916, low: 1.3899, high: 1.3932),
    Documented(
      preset: "scaling-compute-full", law: .joint, parameter: "alpha", value: 1.334, low: 1.195, high: 1.479),
    Documented(
      preset: "scaling-compute-full", law: .joint, parameter: "beta", value: 0.577, low: 0.506, high: 0.651),
  ]

  @Test(arguments: documented)
  func theDocumentedFitsComeFromTheCommittedRows(_ expected: Documented) throws {
    let laws = TrainingLaw.all(in: try TrainingRow.read("\(Self.folder)/\(expected.preset)/runs.csv"))
    let fit = try #require(laws.first { $0.kind == expected.law }).fit.get()
    let found = try #require(fit.parameters[expected.parameter])
    for (a, b) in [(found.value, expected.value), (found.low, expected.low), (found.high, expected.high)] {
      let value = try #require(a)
      #expect(abs(value / b - 1) < 1e-3, "\(value), documented \(b)")
    }
  }

  @Test("variants on text come in the documented order of mean losses; two pairs do with every seed")
  func variantsOnText() throws {
    let rows = try TrainingRow.read("\(Self.folder)/variants-text-full/runs.csv")
    #expect(rows.count == 24 && rows.allSatisfy { $0.status == .ok })
    let seeds = Dictionary(grouping: rows, by: \.attention).mapValues { own in
      own.sorted { ($0.seed ?? 0) < ($1.seed ?? 0) }.compactMap(\.testLoss)
    }
    let means = seeds.mapValues { $0.reduce(0, +) / 3 }
    let documented = [
      ("sliding-window(left=31) x2, full", 1.074), ("sliding-window(left=31)", 1.084),
      ("chunked(chunk=32, before=1)", 1.086), ("local-global(left=31, global_tokens=8)", 1.092),
      ("random-sparse(block_size=16)", 1.101), ("full", 1.101), ("chunked(chunk=32)", 1.226),
      ("lsh(chunk=32, hashes=2)", 1.261),
    ]
    #expect(means.sorted { $0.value < $1.value }.map(\.key) == documented.map(\.0))
    for (attention, mean) in documented {
      #expect(abs(try #require(means[attention]) - mean) < 0.0006, "\(attention)")
    }
    for (better, worse) in [
      ("sliding-window(left=31) x2, full", "sliding-window(left=31)"), ("sliding-window(left=31)", "full"),
    ] {
      let (a, b) = (try #require(seeds[better]), try #require(seeds[worse]))
      #expect(zip(a, b).allSatisfy { $0 < $1 }, "\(better) before \(worse)")
    }
  }

  @Test(
    "a key beyond the trained length: kept without positions, lost in part with RoPE, not found by windows alone"
  )
  func passkeys() throws {
    let rows = try TrainingRow.read("\(Self.folder)/passkey-length-full/runs.csv")
    #expect(rows.count == 120 && rows.allSatisfy { $0.status == .ok })
    func accuracy(_ attention: String, _ length: Int, seed: Int, isPositioned: Bool = true) throws -> Double {
      let own = rows.filter {
        $0.attention == attention && $0.seed == seed && $0.evaluation == .changed
          && $0.modelConfiguration.contains("position=none") != isPositioned
          && $0.evaluationTask.hasPrefix("length=\(length);")
      }
      #expect(own.count == 3, "one for each depth")
      return try own.map { try #require($0.testAccuracy) }.reduce(0, +) / 3
    }
    for seed in 1...3 {
      let near = try accuracy("full", 512, seed: seed, isPositioned: false)
      let far = try accuracy("full", 1024, seed: seed, isPositioned: false)
      #expect(abs(near - far) < 0.04, "without positions, seed \(seed)")
      for length in [768, 1024] {
        #expect(try accuracy("sliding-window(left=63)", length, seed: seed) < 0.12, "windows, seed \(seed)")
      }
    }
    func mean(_ attention: String, _ length: Int) throws -> Double {
      try (1...3).map { try accuracy(attention, length, seed: $0) }.reduce(0, +) / 3
    }
    for (attention, documented) in [
      ("full", [0.82, 0.66, 0.54]), ("sliding-window(left=63), full", [0.74, 0.72, 0.68]),
    ] {
      for (length, value) in zip([512, 768, 1024], documented) {
        #expect(abs(try mean(attention, length) - value) < 0.006, "\(attention), \(length)")
      }
    }
  }

  /// What was predicted before it was made stands in the row, and the found loss lies in the interval.
  @Test(arguments: ["scaling-parameters", "scaling-data", "scaling-compute", "scaling-compute-full"])
  func heldOutTrainingsWerePredicted(_ preset: String) throws {
    let held = try TrainingRow.read("\(Self.folder)/\(preset)/runs.csv").filter(\.isHeldOut)
    #expect(!held.isEmpty)
    for row in held {
      let low = try #require(row.predictedLow), high = try #require(row.predictedHigh)
      let found = try #require(TrainingLaw.response(row))
      #expect(low <= found && found <= high, "\(low) … \(high): \(found)")
    }
  }

  @Test(arguments: [
    "scaling-parameters", "scaling-data", "scaling-compute", "variants-text", "mqar-window", "lsh-hashes",
    "passkey-length", "passkey-length-full", "scaling-data-full", "scaling-compute-full",
    "variants-text-full",
  ])
  func theRecordIsTheProgramsOwnAndNamesNoPlace(_ folder: String) throws {
    let file = "\(Self.folder)/\(folder)/environment.json"
    let preset = folder.hasSuffix("-full") ? String(folder.dropLast(5)) : folder
    let text = try String(contentsOfFile: file, encoding: .utf8)
    let record = try JSONValue(parsing: text, file: file)
    #expect(record["preset"].stringValue == preset)
    #expect(record["preset_hash"].stringValue == Fingerprint.of(record["preset_text"].stringValue ?? ""))
    #expect((record["machine"]["processors"].numberValue ?? 0) >= 1)
    #expect(record["sessions"].arrayValue.allSatisfy { $0["commit"].stringValue?.count ?? 0 >= 40 })
    for place in ["\"/", "/home", "/root", "/tmp", "/Users"] { #expect(!text.contains(place), "\(place)") }
  }
}
