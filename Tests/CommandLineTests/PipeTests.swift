import Foundation
import LabTestSupport
import Testing

/// Tables that come through pipes, and in the dialect that the user names, to every command that reads one.
@Suite("Tables through pipes") struct PipeTests {
  private static let published = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("results/published").path
  private static let measurements = published + "/quickstart/measurements.csv"
  private static let trainings = published + "/scaling-parameters/runs.csv"
  private let scratch: Scratch
  init() throws { scratch = try Scratch() }

  private func shell(_ line: String) throws -> BuiltProgram.Result {
    try BuiltProgram.attnlab.shell(line, in: scratch.path)
  }

  @Test(
    "standard input and a named pipe say what the file says",
    arguments: [
      (
        "fit", measurements,
        "--x query_length --y seconds_median --by variant --where \"pass=='forward'\" --form power --no-influence"
      ),
      ("fit", trainings, "--x parameters --y test_loss --form power --no-influence"),
      ("compare", measurements, "--metric time --pass forward"), ("compare", trainings, ""),
    ])
  func sameAsFile(_ command: String, _ file: String, _ options: String) throws {
    let direct = try shell("attnlab \(command) '\(file)' \(options)")
    #expect(direct.code == 0 && !direct.output.isEmpty, "\(direct.errors)")
    // Without the record beside the file, a comparison of older rows names their machine by nothing.
    let input = try shell("cat '\(file)' | attnlab \(command) /dev/stdin \(options)")
    let named = try shell("mkfifo p; cat '\(file)' > p & attnlab \(command) p \(options)")
    for result in [input, named] {
      #expect(result.code == 0, "\(result.errors)")
      #expect(result.output == input.output)
      if command == "fit" { #expect(result.output == direct.output) }
    }
  }

  @Test("two pipes are compared, and a pipe is drawn into the working folder")
  func twoPipes() throws {
    let two = try shell(
      "mkfifo a b; cat '\(Self.measurements)' > a & cat '\(Self.measurements)' > b & attnlab compare a --against b"
    )
    #expect(two.code == 0 && two.output.contains("1.00"), "\(two.errors)\(two.output)")
    for options in ["--metric time", "--x query_length --y seconds_median --by variant"] {
      let drawn = try shell("cat '\(Self.measurements)' | attnlab plot /dev/stdin \(options)")
      #expect(drawn.code == 0 || drawn.errors.contains("gnuplot"), "\(drawn.errors)")
      #expect(!drawn.errors.contains("/dev/"), "\(drawn.errors)")
    }
    let empty = try shell("attnlab compare /dev/stdin < /dev/null")
    #expect(empty.code == 2 && empty.errorLines.count == 1, "\(empty.errors)")
  }

  @Test("a preset and the settings of a training come through a pipe as well")
  func presets() throws {
    let preset = "title: T\\nquestion: Q\\nexperiments:\\n  - {name: a, variants: [full], n: 64}\\n"
    let run = try shell("printf '\(preset)' | attnlab run /dev/stdin --dry-run --out r")
    #expect(run.code == 0 && run.output.contains("full"), "\(run.errors)")
    let training = try shell(
      "printf 'task: copying\\ntraining: {steps: 1, batch: 2}\\n' | attnlab train copying --model /dev/stdin")
    #expect(training.code == 0 && training.output.contains("test"), "\(training.errors)")
    let folder = try shell("mkdir d; attnlab run ./d")
    #expect(folder.code == 2 && folder.errorLines.count == 1, "\(folder.errors)")
  }

  @Test(
    "--separator reaches tables of trainings too",
    arguments: [(measurements, "\t", "tab"), (trainings, "\t", "tab")])
  func separators(_ file: String, _ sign: String, _ name: String) throws {
    let lines = try String(contentsOfFile: file, encoding: .utf8)
    // Tabs instead of the commas outside quotes.
    var isQuoted = false
    let text = String(
      lines.map { character in
        if character == "\"" { isQuoted.toggle() }
        return character == "," && !isQuoted ? Character(sign) : character
      })
    let path = try scratch.write("t.csv", text), plain = try scratch.write("u.csv", lines)
    let refused = try BuiltProgram.attnlab.run("compare", path)
    #expect(refused.code == 2 && refused.errors.contains("--separator \(name)"), "\(refused.errors)")
    let read = try BuiltProgram.attnlab.run("compare", path, "--separator", name)
    #expect(read.code == 0, "\(read.errors)")
    #expect(try read.output == BuiltProgram.attnlab.run("compare", plain).output)
  }
}
