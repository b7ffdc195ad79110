import Basics
import Foundation
import ImageTasks
import Tasks
import Testing

@testable import Records
@testable import Trainings

/// The page that says which mechanism to take rests on published rows: its tables are computed from them again.
@Suite struct MechanismPageTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path
  static let published = root + "/results/published/"

  private static let pages = ["which-mechanism", "which-length"]

  /// The cells of the rows of the table under a heading, marks of code taken off; the heads of the columns left out.
  static func table(_ heading: String, of page: String = "which-mechanism") throws -> [[String]] {
    let page = try String(
      contentsOfFile: root + "/Sources/AttentionLab/Documentation.docc/Guides/\(page).md", encoding: .utf8)
    let part = try #require(page.components(separatedBy: "\n## \(heading)\n").last)
    let lines = part.split(separator: "\n").prefix { !$0.hasPrefix("## ") }.filter { $0.hasPrefix("|") }
    return lines.dropFirst(2).map { line in
      line.dropFirst(2).dropLast(2).components(separatedBy: " | ").map {
        // A bar within a cell is escaped.
        $0.replacingOccurrences(of: "`", with: "").replacingOccurrences(of: "\\|", with: "|")
      }
    }
  }

  /// What a row of a training is, by name.
  private static func facts(of row: TrainingRow) -> [String: String] {
    // What is as it was is not written.
    var facts = [
      "memory": "0", "latent": "0", "stored": "0", "stored_nearest": "32", "stored_layer": "0",
      "channel_attention": "none", "cbam_order": "mean-max", "pretext": "none", "video": "joint",
      "patch": "4", "way": "none",
    ]
    for part in (row.modelConfiguration + ";" + row.taskConfiguration).split(separator: ";") {
      let pair = part.split(separator: "=", maxSplits: 1).map(String.init)
      if pair.count == 2 { facts[pair[0]] = pair[1] }
    }
    facts["attention"] = row.attention
    facts["experiment"] = row.experiment
    facts["evaluation_task"] = row.evaluationTask
    facts["evaluation_rotary"] = row.evaluationRotary
    facts["evaluation_memory"] = row.evaluationMemory.map { "\($0)" }
    return facts
  }

  @Test("accuracies are those of the published trainings", arguments: pages)
  func accuracies(_ page: String) throws {
    let lines = try Self.table("The rows: accuracy", of: page)
    #expect(lines.count > 20)
    var rows: [String: [TrainingRow]] = [:]
    for preset in Set(lines.map { $0[0] }) {
      rows[preset] = try TrainingRow.read("\(Self.published)\(preset)/runs.csv")
    }
    for line in lines {
      let conditions = line[1].components(separatedBy: "; ").map {
        $0.split(separator: "=", maxSplits: 1).map(String.init)
      }
      let isChanged = conditions.contains { $0[0].hasPrefix("evaluation_") }
      let found = try #require(rows[line[0]]).filter { row in
        let facts = Self.facts(of: row)
        return (row.evaluation == .test) != isChanged && conditions.allSatisfy { facts[$0[0]] == $0[1] }
      }.compactMap(\.testAccuracy)
      let mean = found.reduce(0, +) / Double(found.count)
      let expected = [mean, found.min() ?? .nan, found.max() ?? .nan].map { String(format: "%.3f", $0) }
      #expect(Array(line[2...]) == ["\(found.count)"] + expected, "\(line[0]) \(line[1])")
    }
  }

  @Test("shares of time and workspaces are those of the published measurements")
  func speed() throws {
    let lines = try Self.table("The rows: time and memory")
    let rows = try MeasurementRow.read("\(Self.published)quickstart/measurements.csv")
      .filter { $0.queryLength == 8192 }
    func row(_ variant: String, _ pass: String) throws -> MeasurementRow {
      try #require(rows.first { $0.variant == variant && $0.pass?.rawValue == pass })
    }
    #expect(Set(lines.map { $0[0] }) == Set(rows.map(\.variant)))
    for line in lines {
      let passes = ["forward", "backward"]
      let shares = try passes.map { pass in
        let own = try #require(try row(line[0], pass).secondsMedian)
        return String(format: "%.3f", own / (try #require(try row("full", pass).secondsMedian)))
      }
      let spaces = try passes.map {
        String(format: "%.2f", Double(try #require(try row(line[0], $0).workspaceBytes)) / 0x1p20)
      }
      #expect(Array(line[1...]) == shares + spaces, "\(line[0])")
    }
  }

  @Test("what a window of patches costs beside all keys is that of the published measurements")
  func patches() throws {
    let lines = try Self.table("The rows: patches")
    let rows = try MeasurementRow.read("\(Self.published)patch-cost/measurements.csv")
    #expect(lines.count == Set(rows.map(\.experiment)).count && lines.count > 5)
    for line in lines {
      let own = rows.filter { $0.queryLength.map { "\($0)" } == line[0] }
      // Of passes that others disturbed the fast ones count.
      func seconds(_ variant: String, _ pass: String) throws -> Double {
        let row = own.first { $0.variant == variant && $0.pass?.rawValue == pass }
        return try #require(row?.secondsP20)
      }
      let shares = try ["forward", "backward"].map {
        String(format: "%.2f", try seconds("window-2d", $0) / seconds("full", $0))
      }
      let spaces = try ["full", "window-2d"].map { variant in
        let row = own.first { $0.variant == variant && $0.pass?.rawValue == "backward" }
        return String(format: "%.2f", Double(try #require(row?.workspaceBytes)) / 0x1p20)
      }
      #expect(Array(line[1...]) == shares + spaces, "\(line[0])")
    }
  }

  @Test("what a decoder's token costs and keeps is that of the published measurements")
  func decoding() throws {
    let lines = try Self.table("The rows: decoding", of: "which-length")
    let rows = try MeasurementRow.read("\(Self.published)decoding/measurements.csv")
    #expect(Set(lines.map { $0[0] }) == Set(rows.map(\.variant)) && lines.count == 7)
    let lengths = [1024, 65536, 1_048_576]
    for line in lines {
      let own = try lengths.map { n in try #require(rows.first { $0.variant == line[0] && $0.keyLength == n })
      }
      let times = try own.map { String(format: "%.1f", 1e6 * (try #require($0.secondsMedian))) }
      let kept = try own.map { String(format: "%.3f", (try #require($0.stateBytes)) / 0x1p20) }
      #expect(Array(line[1...]) == times + kept, "\(line[0])")
    }
  }

  @Test("accuracies by length and depth are those of the published trainings")
  func needles() throws {
    let lines = try Self.table("The rows: a key by length and depth", of: "which-length")
    let rows = try TrainingRow.read("\(Self.published)needle-length/runs.csv").filter {
      $0.evaluation == .changed
    }
    #expect(
      lines.count == Set(rows.map { [$0.attention, String($0.evaluationTask.prefix { $0 != ";" })] }).count)
    for line in lines {
      let found = try ["0.1", "0.5", "0.9"].map { depth in
        let own = rows.filter {
          $0.attention == line[0] && $0.evaluationTask == "length=\(line[1]);depth=\(depth)"
        }.compactMap(\.testAccuracy)
        let least = try #require(own.min()), most = try #require(own.max())
        return String(
          format: "%.2f (%.2f to %.2f)", own.reduce(0, +) / Double(own.count), least, most)
      }
      #expect(Array(line[2...]) == found, "\(line[0]) \(line[1])")
    }
  }

  /// What handles the text: a way before the model, or the attention of its layers.
  private static func handler(_ row: TrainingRow) -> String? {
    let facts = facts(of: row)
    return facts["way"] == "none" ? facts["attention"] : facts["way"]
  }

  /// The rows of a way: its own, and its evaluations at some lengths.
  private static func tested(_ way: String, in rows: [TrainingRow], at lengths: [Int]) -> [[TrainingRow]] {
    let own = rows.filter { handler($0) == way }
    return [own.filter { $0.evaluation == .test }]
      + lengths.map { length in
        own.filter { $0.evaluation == .changed && $0.evaluationTask.hasPrefix("length=\(length);") }
      }
  }

  /// `mean (least to largest)` of three seeds.
  private static func spread(_ rows: [TrainingRow], _ share: (TrainingRow) -> Double?) throws -> String {
    let found = rows.compactMap(share)
    #expect(found.count == 3)
    let least = try #require(found.min()), most = try #require(found.max())
    return String(format: "%.3f (%.3f to %.3f)", found.reduce(0, +) / Double(found.count), least, most)
  }

  @Test("questions to a document of twice the length, after three times the operations: the published rows")
  func longerDocuments() throws {
    let lines = try Self.table("The rows: questions to a longer document", of: "which-length")
    let rows = try ["long-text-full", "long-text-ways-full"].flatMap {
      try TrainingRow.read("\(Self.published)\($0)/runs.csv").filter { $0.experiment == "reading" }
    }
    #expect(Set(lines.map { $0[0] }) == Set(rows.compactMap { Self.handler($0) }))
    for line in lines {
      let found = Self.tested(line[0], in: rows, at: [768, 1536, 3072, 6144])
      // Six letters an answer.
      let nats = found[0].compactMap(\.testLoss).map { 6 * $0 }.reduce(0, +) / 3
      let cells = try [String(format: "%.2f", nats)] + found.map { try Self.spread($0, \.testAccuracy) }
      #expect(Array(line[1...]) == cells, "\(line[0])")
    }
  }

  @Test("answers that are right as a whole are those of the published rows")
  func answers() throws {
    let lines = try Self.table("The rows: answers that are right as a whole", of: "which-length")
    let rows = try ["long-text-answers", "long-text-ways"].flatMap {
      try TrainingRow.read("\(Self.published)\($0)/runs.csv")
    }
    #expect(Set(lines.map { $0[0] }) == Set(rows.compactMap { Self.handler($0) }))
    #expect(rows.allSatisfy { $0.testExamples == 256 }, "one question a document")
    for line in lines {
      let found = Self.tested(line[0], in: rows, at: [384, 768, 3072])
      let cells =
        try [Self.spread(found[0], \.testAccuracy)] + found.map { try Self.spread($0, \.testExactMatch) }
      #expect(Array(line[1...]) == cells, "\(line[0])")
    }
  }

  @Test("what key sentences and passages keep of the questions is what their task keeps of them")
  func kept() throws {
    let lines = try Self.table("The rows: what is kept before the model reads", of: "which-length")
    #expect(lines.count == 4)
    for line in lines {
      let hops = try #require(Int(line[1]))
      let shares = try [192, 384, 768, 3072].map { length in
        let task = try TaskCatalog.standard.prepared(
          "reading", settings: ["length": .int(length), "hops": .int(hops), "way": .string(line[0])],
          key: TrainingJob.taskKey)
        let questions = try TaskExamples(of: task, split: .test, count: 256).lines().split(separator: "\n")
        let whole = try questions.filter { question in
          let parts = try JSONValue(parsing: String(question))
          let answer = try #require(parts["outputs"].arrayValue.first?.stringValue)
          return try #require(parts["input"].stringValue).contains(answer)
        }
        return String(format: "%.2f", Double(whole.count) / Double(questions.count))
      }
      #expect(Array(line[2...]) == shares, "\(line[0])")
    }
  }

  @Test("losses of models that were trained on longer and longer texts are those of the published rows")
  func contexts() throws {
    let lines = try Self.table("The rows: trained on longer texts", of: "which-length")
    let rows = try TrainingRow.read("\(Self.published)context-length/runs.csv").filter(\.isTraining)
    #expect(lines.count == Set(rows.map(\.taskConfiguration)).count)
    for line in lines {
      let own = rows.filter { Self.facts(of: $0)["length"] == line[0] }
      let found = Set(rows.compactMap(\.parameters)).sorted().map { size in
        let losses = own.filter { $0.parameters == size }.compactMap(\.testLoss)
        return losses.isEmpty ? "" : String(format: "%.3f", losses.reduce(0, +) / Double(losses.count))
      }
      #expect(Array(line[1...]) == found, "\(line)")
    }
  }

  @Test(
    "what is said of a preset is a figure of its rows, and every row of advice names its rows and its limits",
    arguments: zip(pages, ["By what you have", "By task and length"]))
  func advice(_ page: String, _ heading: String) throws {
    let rows = try Self.table("The rows: accuracy", of: page)
    for line in try Self.table(heading, of: page) {
      #expect(line.count == 4 && line.allSatisfy { !$0.isEmpty }, "\(line)")
      let presets = Set(rows.map { $0[0] }).filter { line[2].contains($0) }
      let others = [
        "quickstart", "decoding", "context-length", "context-read", "long-past", "scaling-time-memory",
      ]
      #expect(!presets.isEmpty || others.contains { line[2].contains($0) }, "\(line[2])")
      var known = Set(rows.filter { presets.contains($0[0]) }.flatMap { $0[3...] })
      if line[2].contains("long-text-answers") {
        let shares = try Self.table("The rows: answers that are right as a whole", of: page)
        known.formUnion(shares.flatMap { $0[2...] }.map { String($0.prefix(5)) })
      }
      for figure in (line[2] + " " + line[3]).matches(of: /[01]\.[0-9]{3}/).map({ String($0.output) }) {
        #expect(known.contains(figure), "\(figure) is no figure of \(presets.sorted())")
      }
    }
  }
}
