import Basics
import Foundation
import LabTestSupport
import Testing

@testable import AttentionLab

/// What users read when they ask for help or err, as committed text: a change of a page or of a line is seen in review.
///
/// `make pages` (`ATTNLAB_WRITE_PAGES=1`) writes `Snapshots/` anew instead of comparing.
@Suite struct PageSnapshotTests {
  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Snapshots").path

  @Test(
    "help pages are those of Snapshots/help", arguments: ["attnlab"] + Subcommands.all.map { $0._commandName }
  )
  func help(command: String) async throws {
    let words = command == "attnlab" ? ["--help"] : ["help", command]
    let page = try await BuiltProgram.attnlab.finished(words, environment: ["COLUMNS": "80"])
    #expect(page.code == 0 && page.errors.isEmpty, "\(page.errors)")
    #expect(page.output.split(separator: "\n").allSatisfy { $0.count <= 80 })
    let file = "\(Self.folder)/help/\(command).txt"
    if Documents.writesPages { return try page.output.write(toFile: file, atomically: true, encoding: .utf8) }
    let kept = try? Documents.text(of: file)
    #expect(
      kept == page.output, "\(file) is not what the program says; run make pages and read the difference")
  }

  @Test("every help page that is kept is one of a command")
  func noOthers() throws {
    let kept = try FileManager.default.contentsOfDirectory(atPath: "\(Self.folder)/help")
    #expect(
      kept.sorted() == (["attnlab"] + Subcommands.all.map { $0._commandName }).map { $0 + ".txt" }.sorted())
  }

  /// `errors.txt`: a command after `$ `, below it its exit code and what it says. A new line after `$ ` is a new case.
  @Test("bad input is answered by the lines of Snapshots/errors.txt, with their exit codes")
  func errors() async throws {
    let file = "\(Self.folder)/errors.txt", kept = try Documents.text(of: file)
    let commands = kept.split(separator: "\n").filter { $0.hasPrefix("$ ") }.map { String($0.dropFirst(2)) }
    #expect(Set(commands).count == commands.count)
    for command in Subcommands.all {
      let own = commands.count {
        $0.split(separator: " ").dropFirst().first.map(String.init) == command._commandName
      }
      #expect(own >= 2, "\(command._commandName): \(own) lines; write two or more into \(file)")
    }
    let folder = try ExampleFolder()
    try Self.addBroken(to: folder.scratch)
    var found = String(kept.prefix { $0 != "$" })
    for command in commands {
      let result = try await BuiltProgram.attnlab.finishedShell(command, in: folder.scratch.path)
      let lines = result.errorLines.filter { !$0.hasPrefix("warning: a debug build") }
      #expect(result.code == 1 || result.code == 2, "\(command): \(result.code)")
      #expect(lines.count == 1 && result.output.isEmpty, "\(command): \(result.output) \(result.errors)")
      let line = lines.joined(separator: "\n").replacing(ExampleFolder.package, with: "PACKAGE")
      found += "$ \(command)\n[\(result.code)] \(line)\n\n"
    }
    found = String(found.dropLast())
    if Documents.writesPages { return try found.write(toFile: file, atomically: true, encoding: .utf8) }
    for (new, old) in zip(found.components(separatedBy: "\n\n"), kept.components(separatedBy: "\n\n")) {
      #expect(new == old, "run make pages and read the difference")
    }
    #expect(found == kept)
  }

  /// Files that are no good.
  private static func addBroken(to scratch: Scratch) throws {
    _ = try scratch.write("empty", "")
    _ = try scratch.write("header.csv", "n,t\n")
    _ = try scratch.write("one.csv", "n,t\n1,2\n")
    _ = try scratch.write("nan.csv", "n,t\n1,2\n2,nan\n3,4\n4,5\n5,6\n")
    _ = try scratch.write("semicolons.csv", "n;t\n1;2\n2;3,5\n")
    try Data([0x80, 0] + (0..<2000).map { UInt8(truncatingIfNeeded: $0 &* 167 ^ $0 >> 3) | 0x80 }).write(
      to: URL(fileURLWithPath: scratch("binary")))
    let whole = try Data(contentsOf: URL(fileURLWithPath: scratch("q.npy")))
    try whole.prefix(3000).write(to: URL(fileURLWithPath: scratch("cut.npy")))
    _ = try scratch.write("bad.yaml", "variants: [full]\nn: 8\ncausel: true\n")
    try FileManager.default.createDirectory(
      atPath: scratch("deep/one"), withIntermediateDirectories: true)
  }
}
