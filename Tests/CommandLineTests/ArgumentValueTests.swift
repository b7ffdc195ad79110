import Foundation
import LabTestSupport
import Testing

@testable import AttentionLab

/// Options declare their values: the parser reads them, help and completions show them, an error names the nearest.
@Suite struct ArgumentValueTests {
  static let wrong: [([String], String, String?)] = [
    (
      ["compare", "a.csv", "--metric", "tme"], "compare: --metric tme: it takes one of time, speed, ", "time"
    ),
    (["plot", "a.csv", "--metric", "spede"], "plot: --metric spede: it takes one of time, speed, ", "speed"),
    (["plot", "a.csv", "--pass", "foward"], "plot: --pass foward: it takes one of forward, ", "forward"),
    (
      ["measure", "full", "--n", "8", "--isa", "avx"], "measure: --isa avx: it takes one of avx512, ", "avx2"
    ),
    (["measure", "full", "--n", "8", "--input", "gausian"], "measure: --input gausian: ", "gaussian"),
    (["check", "--precision", "float23"], "check: --precision float23: ", "float32"),
    (["fit", "a.csv", "--loss", "square"], "fit: --loss square: it takes one of squares, ", "squares"),
    (["fit", "a.csv", "--space", "lg"], "fit: --space lg: it takes one of log, raw", "log"),
    (
      ["fit", "a.csv", "--interval", "bootstrp\n"], "fit: --interval bootstrp\\n: it takes one of wald, ", nil
    ),
    (["fit", "a.csv", "--interval", "walt"], "fit: --interval walt: it takes one of wald, ", "wald"),
    (["fit", "a.csv", "--encoding", "utf8"], "fit: --encoding utf8: it takes one of utf-8, ", "utf-8"),
  ]

  @Test(arguments: wrong)
  func aWordThatIsNotAllowed(arguments: [String], beginning: String, nearest: String?) throws {
    let result = try BuiltProgram.attnlab.run(arguments)
    #expect(result.code == 2 && result.output.isEmpty)
    #expect(result.errorLines.count == 1, "\(result.errors)")
    #expect(result.errors.hasPrefix("attnlab " + beginning), "\(result.errors)")
    if let nearest {
      #expect(result.errors.hasSuffix("(did you mean \(nearest)?)\n"), "\(result.errors)")
    }
  }

  @Test(arguments: [
    ("compare", "(values: time, speed, peak,"),
    ("fit", "(values: squares, huber, absolute; default: squares)"),
    ("measure", "(values: forward, backward, decode; default: forward)"), ("check", "float32, bfloat16"),
    ("apply", "avx512, avx2, portable"), ("fit", "utf-8, utf-16, latin1"),
  ])
  func helpShowsTheValues(command: String, values: String) throws {
    let page = try BuiltProgram.attnlab.run(command, "--help").output
    let text = page.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    #expect(text.contains(values), "\(page)")
  }

  @Test("Completion scripts of every shell hold the values", arguments: ["bash", "zsh", "fish"])
  func completions(shell: String) throws {
    let script = try BuiltProgram.attnlab.run("--generate-completion-script", shell)
    #expect(script.code == 0)
    for word in ["speedup", "backward", "bfloat16", "portable", "huber", "sandwich", "chinchilla", "mqar"] {
      #expect(script.output.contains(word), "\(word)")
    }
  }

  @Test(
    "Names that depend on the program and the folder are asked for when they are needed",
    arguments: [
      ("apply", "positional@0", "sliding-window"), ("list", "positional@0", "mqar"),
      ("list", "positional@0", "training"), ("run", "positional@0", "quickstart"),
      ("swap", "--variant", "local-global"),
    ])
  func names(command: String, argument: String, name: String) throws {
    let result = try BuiltProgram.attnlab.run("---completion", command, "--", argument, "0", "0")
    #expect(result.code == 0, "\(result.errors)")
    #expect(result.output.split(separator: "\n").contains(Substring(name)), "\(result.output)")
  }

  @Test(
    "Settings are completed for the variant or the task that the line names",
    arguments: [
      (["measure", "--set", "sliding-window"], "left="), (["train", "--set", "mqar"], "task.pairs="),
      (["train", "--set", "mqar"], "model.width="),
    ])
  func settings(line: [String], name: String) throws {
    let result = try BuiltProgram.attnlab.run(["---completion", line[0], "--", line[1], "0", "0"] + line)
    #expect(result.code == 0, "\(result.errors)")
    #expect(result.output.split(separator: "\n").contains(Substring(name)), "\(result.output)")
  }

  @Test("An added variant is completed as ours are")
  func addedVariants() throws {
    let result = try BuiltProgram.fakes.run("---completion", "check", "--", "positional@0", "0", "0")
    #expect(result.output.split(separator: "\n").count > 8, "\(result.output)")
  }
}
