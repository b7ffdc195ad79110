import Basics
import Foundation
import LabTestSupport
import Testing

/// `check` of a variant that is wrong, as a user sees it.
@Suite struct CheckCommandTests {
  @Test("a failure leads with a sentence and a command, which fails again, on one shape")
  func leads() async throws {
    let run = try await BuiltProgram.fakes.finished(["check", "wrong", "--quick", "--isa", "portable"])
    let sentence = run.output.split(separator: "\n").prefix(3).map { $0.trimmed }.joined(separator: " ")
    #expect(
      run.code == 1
        && sentence.hasPrefix("wrong: FAILED: its output is not that of its definition in 1 of 1 numbers"))
    let lines = run.output.split(separator: "\n").map(String.init)
    #expect(lines.allSatisfy { $0.count <= 80 }, "\(run.output)")
    let command = try #require(lines.first { $0.hasPrefix("  attnlab-fakes check") })
    #expect(command == "  attnlab-fakes check wrong --n 1 --head-dim 1 --isa portable")
    // One line a result, not one a shape.
    #expect(lines.count < 120, "\(lines.count) lines")
    let again = try await BuiltProgram.fakes.finished(
      command.split(separator: " ").dropFirst().map(String.init) + ["--json"])
    #expect(again.code == 1)
    let report = try JSONValue(parsing: again.output, file: "check")["variants"].arrayValue[0]
    #expect(report["failure"]["command"].stringValue?.hasSuffix("--n 1 --head-dim 1 --isa portable") == true)
    #expect(report["failure"]["sentence"].stringValue?.hasPrefix("its output") == true)
  }

  @Test("one shape by flags: a variant and --n are needed, a shape that it does not take is bad input")
  func shapes() async throws {
    for (arguments, message) in [
      (["check", "--n", "4"], "attnlab check: --n: it takes a variant, as in attnlab check full --n 33"),
      (["check", "full", "--heads", "2"], "attnlab check: --heads: it goes with --n"),
      (
        ["check", "full", "--n", "4", "--key-lengths", "5"], "attnlab check: key lengths: [5] is not allowed"
      ),
      (
        ["check", "local-global", "--n", "4", "--set", "global_positions=9"],
        "attnlab check: global_positions: 9 is not allowed"
      ),
    ] {
      let run = try await BuiltProgram.attnlab.finished(arguments)
      #expect(run.code == 2 && run.errorLines.count == 1 && run.errors.hasPrefix(message), "\(run.errors)")
    }
  }
}
