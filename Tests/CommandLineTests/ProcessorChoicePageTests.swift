import Basics
import Foundation
import LabTestSupport
import Processor
import Testing

/// The page of what is chosen by the processor, and the commands that choose.
@Suite struct ProcessorChoicePageTests {
  @Test("the page names every choice with its equation")
  func page() throws {
    let file = Documents.catalogue + "/Reference/processors.md"
    var rows = "| choice | follows from | unit | changes bits | assumed |\n| --- | --- | --- | --- | --- |\n"
    for choice in ProcessorChoice.all {
      rows +=
        "| `\(choice.name)` | \(choice.equation) | \(choice.unit) | \(choice.changesBits ? "yes" : "no") "
        + "| \(ProcessorChoices.assumed[choice]) |\n"
    }
    rows +=
      "| `\(ProcessorChoices.roadName)` | products of pairs where they run at \(BFloat16Choice.leastRatio) times the float32 rate or "
      + "more, else up-conversion | | yes | |\n"
    let block = /<!-- choices -->\n.*?<!-- end -->/.dotMatchesNewlines()
    let text = try Documents.text(of: file)
    let renewed = text.replacing(block, with: "<!-- choices -->\n\(rows)<!-- end -->")
    if Documents.writesPages { try renewed.write(toFile: file, atomically: true, encoding: .utf8) }
    #expect(try Documents.text(of: file) == renewed, "make pages writes \(file) anew")
  }

  @Test("a kept file is used and named; a broken one is said in one line and not used")
  func doctor() throws {
    let folder = NSTemporaryDirectory() + "attnlab-doctor-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = folder + "/attnlab/processor.json", environment = ["XDG_CONFIG_HOME": folder]
    func values(_ more: [String: String] = [:]) throws -> (json: JSONValue, errors: String) {
      let result = try BuiltProgram.attnlab.run(
        ["doctor", "--json", "--threads", "1"], environment: environment.merging(more) { $1 })
      #expect(result.code == 0, "\(result.errors)")
      return (try JSONValue(parsing: result.output)["choices"], result.errors)
    }
    #expect(try values().json["source"].stringValue == "derived from caches and instruction set")
    var choices = ProcessorChoices(derivedFor: .here())
    choices.splitKeys = 8192
    try ChoiceFile.write(choices, for: .here(), to: path)
    let kept = try values()
    #expect(kept.json["file"].stringValue == path && kept.errors.isEmpty)
    #expect(kept.json["values"]["split_keys"]["value"].wholeValue == 8192)
    #expect(kept.json["values"]["split_keys"]["follows_from"].stringValue == "tuned, in place of 2048")
    let forced = try values(["ATTNLAB_CHOICES": "derived,warms_keys=0"])
    #expect(forced.json["values"]["split_keys"]["value"].wholeValue == 2048)
    #expect(forced.json["values"]["warms_keys"]["value"].wholeValue == 0)

    try AtomicFile.write(Array("{".utf8), to: path)
    let broken = try values()
    #expect(
      broken.errors.hasPrefix("warning: \(path): it is no JSON")
        && broken.errors.split(separator: "\n").count == 1)
    #expect(broken.json["warning"].stringValue != nil)
    #expect(broken.json["values"]["split_keys"]["value"].wholeValue == 2048)
    let tuned = try BuiltProgram.attnlab.run(["bench", "--tune"], environment: environment)
    #expect(tuned.code == 2 && tuned.errors.contains("remove it, and attnlab bench --tune makes it anew"))
  }

  @Test(
    "what cannot be is refused in one line",
    arguments: [
      (["bench", "--tune", "--only", "full"], "", "--only says what of the preset is run"),
      (["bench", "--tune"], "split_keys=4096", "unset ATTNLAB_CHOICES"),
      (["list"], "split_key=4096", "ATTNLAB_CHOICES: split_key is no choice (did you mean split_keys?)"),
    ])
  func refused(arguments: [String], choices: String, line: String) throws {
    let result = try BuiltProgram.attnlab.run(arguments, environment: ["ATTNLAB_CHOICES": choices])
    #expect(result.code == 2)
    #expect(result.errors.contains(line), "\(result.errors)")
    #expect(result.errors.split(separator: "\n").count == 1)
  }
}
