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
}
