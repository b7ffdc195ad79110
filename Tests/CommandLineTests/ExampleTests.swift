import Foundation
import LabTestSupport
import Testing

@testable import AttentionLab

/// Every example of every help page, and every command in a code block of the documents, succeeds as it is printed.
///
/// They run by a shell in a folder with small inputs, in the order in which they stand. What takes long gets settings
/// behind it (`reductions`); nothing before them is changed.
@Suite struct ExampleTests {
  /// Whether the program is another build than the tests', which make check names.
  private static let isOptimised = ProcessInfo.processInfo.environment["ATTNLAB_PROGRAM"] != nil

  /// What is added to an example, by how it begins.
  static let reductions: [(start: String, addition: String)] = [
    ("attnlab bench", "--dry-run"),
    ("attnlab run variants-text", "--only full --dry-run --set training.batch=1 --set model.layers=1"),
    ("attnlab run", "--dry-run"),
    // Whether or not there is a Slurm, nothing is submitted.
    (
      "attnlab slurm quickstart --partition short --time 30 --cells-per-task 20 --out results/sweep --submit",
      "--dry-run"
    ),
    ("attnlab check sliding-window", "--quick --isa portable"),
    ("attnlab check custom", "--isa portable"), ("attnlab check chunked", "--quick --isa portable"),
    // The optimised program checks every variant (make check); without it that takes minutes.
    ("attnlab check", (isOptimised ? "" : "full ") + "--quick --isa portable"),
    ("attnlab measure", "--n 128 --heads 1"),
    (
      "attnlab train text --set model.width=256 --time",
      "--time 1 --set model.layers=1 --set training.batch=1"
    ),
    ("attnlab train text", "--steps 1 --set model.layers=1 --set training.batch=1"),
    ("attnlab train digits", "--steps 1 --set training.evaluation_batches=1 --set training.batch=2"),
    ("attnlab train moving-digits", "--steps 1 --set training.evaluation_batches=1 --set training.batch=2"),
    ("attnlab train series", "--steps 1 --set training.evaluation_batches=1"),
    ("attnlab train images", "--steps 1 --set training.evaluation_batches=1"),
    ("attnlab train block-graph", "--steps 1 --set task.nodes=60"),
    ("attnlab train graph-files", "--steps 1"),
    ("attnlab train induction", "--steps 1 --set training.evaluation_batches=1"),
    ("attnlab train mqar", "--steps 1 --set training.evaluation_batches=1"),
    ("attnlab train evidence", "--steps 1 --set training.evaluation_batches=1"),
    ("attnlab train labelled-text", "--steps 1 --set training.evaluation_batches=1"),
    ("attnlab train facts", "--steps 1 --set training.evaluation_batches=1"),
    ("attnlab train listops", ""), ("attnlab generate --checkpoint gpt2", "--count 2"),
    ("attnlab generate --checkpoint results/train-text", "--count 2"),
    ("attnlab generate", "--count 2"), ("attnlab fit", ""), ("attnlab", ""),
  ]

  /// Lines that begin with the program's name, those that a backslash ends joined, less the explanation that stands in a
  /// column of its own. In a help page they are indented, so that a line of a paragraph is none.
  static func examples(in text: String, indent: String = "") -> [String] {
    var examples: [String] = []
    var continues = false
    for line in text.split(separator: "\n") {
      let words = line.trimmingCharacters(in: .whitespaces)
      if continues {
        examples[examples.count - 1] += "\n" + words
      } else if line.hasPrefix(indent + "attnlab ") {
        examples.append(words.replacing(/\s{2,}.*/.dotMatchesNewlines(), with: ""))
      } else {
        continue
      }
      continues = words.hasSuffix("\\")
    }
    return examples
  }

  /// The code blocks of a document.
  static func blocks(of document: String) throws -> String {
    let text = try Documents.text(of: document)
    return text.components(separatedBy: "```").enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
      .joined(separator: "\n")
  }

  private func run(_ examples: [String], of place: String, in folder: ExampleFolder? = nil) async throws {
    let folder = try folder ?? ExampleFolder()
    for example in examples {
      let flat = example.replacingOccurrences(of: "\\\n", with: "")
      let addition = Self.reductions.first { flat.hasPrefix($0.start) }?.addition ?? ""
      let result = try await BuiltProgram.attnlab.finishedShell(
        "\(example) \(addition)", in: folder.scratch.path)
      #expect(result.code == 0, "\(place): \(example) \(addition)\n\(result.errors)")
    }
  }

  @Test("examples of help pages", arguments: Subcommands.all.map { $0._commandName })
  func helpPages(command: String) async throws {
    let page = try await BuiltProgram.attnlab.finished(["help", command]).output
    let examples = Self.examples(in: page, indent: "  ")
    #expect(!examples.isEmpty, "attnlab help \(command) has no example")
    #expect(examples.allSatisfy { $0.split(separator: "\n").allSatisfy { $0.count <= 78 } })
    try await run(examples, of: "help \(command)")
  }

  @Test func examplesOfTheFirstPage() async throws {
    let page = try await BuiltProgram.attnlab.finished(["--help"]).output
    let examples = Self.examples(in: page, indent: "  ")
    #expect(examples.count == 3)
    try await run(examples, of: "--help")
  }

  @Test("commands in documents", arguments: ["README.md", "Experiments/README.md"])
  func documents(file: String) async throws {
    let examples = Self.examples(in: try Self.blocks(of: "\(ExampleFolder.package)/\(file)"))
    #expect(!examples.isEmpty)
    try await run(examples, of: file)
  }

  @Test("commands in the catalogue run, and draw the pictures of its pages", arguments: Documents.folders)
  func catalogue(part: String) async throws {
    let folder = try ExampleFolder()
    for page in try Documents.pages(in: part) {
      try await run(Self.examples(in: try Self.blocks(of: page)), of: page, in: folder)
      try compareDrawings(of: page, in: folder)
    }
  }

  @Test("presets in documents are presets", arguments: try Documents.presets())
  func presets(preset: Documents.Preset) async throws {
    let scratch = try Scratch()
    _ = try scratch.write("preset.yaml", preset.text)
    let small =
      preset.text.contains("experiment: training") ? "--set training.batch=1 --set model.width=8" : ""
    let result = try await BuiltProgram.attnlab.finishedShell(
      "attnlab run preset.yaml --dry-run \(small)", in: scratch.path)
    #expect(result.code == 0, "\(preset.page): \(result.errors)")
  }

  /// A page's picture is what its command draws; gnuplot's differ from version to version and are not compared.
  private func compareDrawings(of page: String, in folder: ExampleFolder) throws {
    let place = URL(fileURLWithPath: page).deletingLastPathComponent().path
    for name in try Documents.links(in: page) where name.hasSuffix(".svg") {
      let drawn = folder.scratch(name)
      guard FileManager.default.fileExists(atPath: drawn) else {
        Issue.record("\(page): no command of the page draws \(name)")
        continue
      }
      let text = try Documents.text(of: drawn)
      if Documents.writesPages {
        try text.write(toFile: "\(place)/\(name)", atomically: true, encoding: .utf8)
      } else if !text.contains("gnuplot") {
        #expect(text == (try? Documents.text(of: "\(place)/\(name)")), "\(page): \(name); run make pages")
      }
    }
  }

  /// The program is an optimised one in `make check`, where this takes some seconds; in a debug build it would take minutes.
  @Test(
    "the example of associative recall learns to recall",
    .enabled(if: ProcessInfo.processInfo.environment["ATTNLAB_PROGRAM"] != nil))
  func recallIsLearned() async throws {
    let page = try await BuiltProgram.attnlab.finished(["help", "train"]).output
    let example = try #require(
      Self.examples(in: page, indent: "  ").first { $0.hasPrefix("attnlab train mqar") })
    let scratch = try Scratch()
    let result = try await BuiltProgram.attnlab.finishedShell("\(example) --json", in: scratch.path)
    let row = try #require(
      try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
    #expect((row["test_accuracy"] as? Double ?? 0) > 0.9, "\(result.errors)")
  }
}
