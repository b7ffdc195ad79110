import Foundation
import LabTestSupport
import Testing

@Suite struct ReportCommandTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  @Test(
    "a report does not replace the tables of its folder", arguments: ["measurements.csv", "environment.json"])
  func report(_ name: String) throws {
    let file = try scratch.write(name, "kept")
    let refused = try BuiltProgram.attnlab.run("report", scratch.path, "--out", file)
    #expect(refused.code == 2 && refused.errorLines.count == 1, "\(refused.errors)")
    #expect(refused.errors.contains("would replace the input"), "\(refused.errors)")
    #expect(try String(contentsOfFile: file, encoding: .utf8) == "kept")
  }

  @Test("A page holds several folders, each with its title and its rows; its name is not guessed")
  func severalFolders() async throws {
    let published = "results/published"
    let folders = ["mqar-window", "passkey-length"].map { "\(published)/\($0)" }
    let refused = try BuiltProgram.attnlab.run(["report"] + folders)
    #expect(refused.code == 2 && refused.errorLines.count == 1, "\(refused.errors)")
    #expect(refused.errors.contains("--out"))
    let page = scratch.path + "/both.html"
    let written = try BuiltProgram.attnlab.run(["report"] + folders + ["--out", page])
    #expect(written.code == 0, "\(written.errors)")
    let text = try String(contentsOfFile: page, encoding: .utf8)
    #expect(text.components(separatedBy: "<h1>").count == 3)
    for folder in folders {
      #expect(text.contains("attnlab report \(folder)"))
      let rows = try String(contentsOfFile: folder + "/runs.csv", encoding: .utf8)
      let last = try #require(rows.split(whereSeparator: \.isNewline).last?.split(separator: ",").first)
      #expect(text.contains(last))
    }
  }
}
