import Attention
import AttentionCore
import Basics
import Foundation
import ImageTasks
import Measuring
import Models
import Training
import Presets
import Records
import Settings
import Tasks
import Testing
import Trainings

@testable import Pages

/// One spelling: whatever a user reads or types is snake_case, or kebab-case where it names a thing.
@Suite struct ShownNameTests {
  private static let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path

  private static func isLetter(_ byte: UInt8) -> Bool {
    (0x61...0x7A).contains(byte | 0x20) || (0x30...0x39).contains(byte) || byte == 0x5F
  }

  private static func hasCapital(_ name: String) -> Bool { name.contains(where: \.isUppercase) }

  /// The names of all settings, and the words that they take.
  private static let settings: [String] = {
    let variants = Catalog.standard.types.flatMap { VariantDescription($0).parameters }
    let tasks = TaskCatalog.standard.types.flatMap { TaskDescription($0).parameters }
    let models = VariantDescription.ParameterDescription.all(of: ModelConfiguration.self)
    let trainings = VariantDescription.ParameterDescription.all(of: TrainingConfiguration.self)
    return (variants + tasks + models + trainings).flatMap { parameter in
      [parameter.name] + (parameter.allowed.hasPrefix("one of ") ? [parameter.allowed] : [])
    }
  }()

  @Test("settings and their words, ids, operands and columns have no capital letter")
  func names() {
    let operands = Catalog.standard.types.flatMap { type in
      let description = VariantDescription(type)
      return description.operands.map(\.name.description) + description.exports.map(\.name.description)
    }
    let columns = ExperimentCatalog.standard.types.flatMap { $0.tables.flatMap { $0.columns.map(\.name) } }
    let fields = Cell.schema.map(\.name)
    let ids = Catalog.standard.ids + TaskCatalog.standard.ids + ExperimentCatalog.standard.ids
    let all = Self.settings + operands + columns + fields + ids
    #expect(all.filter(Self.hasCapital) == [])
    #expect(all.count > 400)
  }

  @Test("the schema of presets names no key with a capital letter")
  func schema() {
    func keys(_ value: JSONValue) -> [String] {
      let own = value["properties"].members.map(\.key)
      return own + value.members.flatMap { keys($0.value) } + value.arrayValue.flatMap(keys)
    }
    let all = keys(PresetSchema(catalog: .standard, kinds: .standard).json)
    #expect(all.count > 200 && all.filter(Self.hasCapital) == [])
  }

  @Test("presets and documents have today's spelling", arguments: ["Experiments", "Sources", "Tests", "."])
  func documents(folder: String) throws {
    // Whoever reads a name there writes it.
    let former = Set(Self.settings.map { Spelling.former($0) }.filter(Spelling.isFormer))
    #expect(former.count > 50)
    let enumerator = try #require(FileManager.default.enumerator(atPath: Self.package + "/" + folder))
    let kinds: Set = ["md", "yaml", "py", "sh"]
    var read = 0
    for case let path as String in enumerator {
      if folder == "." { enumerator.skipDescendants() }
      guard kinds.contains((path as NSString).pathExtension) else { continue }
      let file = "\(Self.package)/\(folder)/\(path)"
      let text = try String(contentsOfFile: file, encoding: .utf8)
      read += 1
      var words = text.utf8.split { !Self.isLetter($0) }[...]
      while let word = words.popFirst() {
        guard let name = String(word), former.contains(name) else { continue }
        // Weights and Swift's properties keep their names.
        let before = word.startIndex > text.startIndex ? text[text.utf8.index(before: word.startIndex)] : " "
        let after = text[word.endIndex...]
        let isPath = ["model.", "task.", "training."].contains { text[..<word.startIndex].hasSuffix($0) }
        let isWeight = !isPath && (".\\}".contains(before) || after.hasPrefix("."))
        let isPart = name == "feedForward" && before == "\"" && after.hasPrefix("\", ")
        #expect(isWeight || isPart, "\(file): \(name)")
      }
    }
    #expect(read > 0)
  }
}
