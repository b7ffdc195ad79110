import Pages
import ArgumentParser
import Attention
import Basics
import Foundation
import LabTestSupport
import Testing

@testable import AttentionLab
@testable import Commands

/// No command writes over what it reads, or two results into one file: the walk goes over all subcommands.
@Suite struct OutputFilesTests {
  /// The flags of a subcommand that name files; `@` is a file without a flag.
  struct Line: Sendable, CustomTestStringConvertible {
    let words: [String]
    var inputs: [String] = []
    var outputs: [String] = []
    /// Outputs that are figures, with script and data beside them.
    var figures: [String] = []

    var testDescription: String { words[0] }
  }

  static let lines = [
    Line(
      words: ["apply", "full"],
      inputs: ["--q", "--k", "--v", "--grad-out", "--in"],
      outputs: ["--out", "--lse", "--dq", "--dk", "--dv", "--stats", "--gradient", "--export"]),
    Line(words: ["mask", "lsh"], inputs: ["--q", "--k", "--in"], outputs: ["--out"]),
    Line(
      words: ["forward"],
      inputs: [
        "--checkpoint", "--tokens", "--images", "--source", "--lengths", "--source-lengths", "--targets",
      ],
      outputs: ["--logits", "--grads", "--save", "--attention"]),
    Line(
      words: ["generate"],
      inputs: ["--checkpoint", "--tokens", "--lengths", "--source", "--source-lengths"], outputs: ["--out"]),
    Line(
      words: ["swap"], inputs: ["--checkpoint", "--tokens", "--images"], outputs: ["--logits", "--hidden"]),
    Line(words: ["fit", "--y", "t"], inputs: ["@"], outputs: ["--out", "--plot"], figures: ["--plot"]),
    Line(words: ["plot"], inputs: ["@"], outputs: ["--out"], figures: ["--out"]),
    Line(words: ["compare"], inputs: ["@", "--against"], outputs: ["--plot"], figures: ["--plot"]),
    Line(words: ["report"], inputs: ["@"], outputs: ["--out"]),
    Line(words: ["train", "text"], inputs: ["--model"]), Line(words: ["task", "mqar"], outputs: ["--out"]),
    Line(words: ["grade", "x.npz", "y.npy"]),
    Line(words: ["text", "--way", "windows"], inputs: ["@", "--checkpoint"], outputs: ["--out"]),
    Line(words: ["measure", "full", "--n", "4"]), Line(words: ["bench"]), Line(words: ["check"]),
    Line(words: ["list"]), Line(words: ["doctor"]), Line(words: ["run", "x.yaml"]),
    Line(words: ["merge", "r"]), Line(words: ["status", "r"]), Line(words: ["slurm", "x.yaml"]),
  ]

  /// Options whose values are words and numbers, or folders of a run. A new option is to be put here or above.
  static let others: Set<String> = [
    "--array", "--attention", "--baseline", "--batch", "--bootstrap", "--bound", "--budget", "--by",
    "--calibrate",
    "--cells-per-task", "--cluster", "--concurrent", "--confidence", "--count", "--cpus-per-task", "--define",
    "--executor",
    "--delta", "--drop-largest", "--encoding", "--examples",
    "--extrapolation",
    "--against", "--fail-above", "--fix", "--flops-per-token", "--form", "--formula", "--head", "--head-dim",
    "--heads",
    "--input", "--interval", "--isa", "--kept-by", "--key-heads", "--key-length", "--key-lengths", "--layers",
    "--loss",
    "--log", "--memory-limit", "--metric", "--n", "--only", "--partition", "--pass", "--peak-gflops",
    "--precision",
    "--predict",
    "--memory", "--prompt", "--repeats", "--sbatch", "--scale", "--seed", "--segment", "--separator", "--set",
    "--shard", "--space", "--split",
    "--start", "--starts",
    "--steps",
    "--stop", "--temperature", "--threads", "--ranks", "--time", "--time-limit", "--title", "--top-k",
    "--value-dim",
    "--question", "--way", "--auxiliary", "--task",
    "--variant", "--warmup", "--weights", "--where", "--x", "--y", "--columns", "--format", "--sort",
    "--pareto",
  ]

  let scratch: Scratch
  init() throws { scratch = try Scratch() }

  private func check(_ line: Line, _ values: [String: String]) throws {
    let words =
      line.words
      + (line.inputs + line.outputs).flatMap { flag -> [String] in
        let isNamed = ["--in", "--gradient", "--export"].contains(flag)
        let value = (isNamed ? "name=" : "") + (values[flag] ?? "")
        return flag == "@" ? [value] : [flag, value]
      }
    try Installed.$catalog.withValue(.standard) {
      let command = try #require(try AttentionLab.parseAsRoot(words) as? any FileCommand)
      try OutputFiles.check(command.files())
    }
  }

  /// A file of its own for every flag.
  private func files(_ line: Line) throws -> [String: String] {
    var values: [String: String] = [:]
    for flag in line.inputs + line.outputs {
      values[flag] = try scratch.write("\(line.words[0])\(flag.replacing("@", with: "-file")).svg", "")
    }
    return values
  }

  @Test("every option that names a file is in the walk")
  func complete() {
    #expect(Set(Self.lines.map { $0.words[0] }) == Set(Subcommands.all.map { $0._commandName }))
    for type in Subcommands.all {
      let line = Self.lines.first { $0.words[0] == type._commandName }
      let known = Self.others.union((line?.inputs ?? []) + (line?.outputs ?? []))
      let help = AttentionLab.helpMessage(for: type, columns: 200)
      let options = help.matches(of: /\n  (--[a-z-]+) </).map { String($0.1) }
      // Folders that a run makes, and the checkpoint of a training, are not files.
      let folders: Set<String> =
        ["run", "bench", "merge", "slurm"].contains(type._commandName) ? ["--out"] : ["--checkpoint"]
      let unknown = Set(options).subtracting(known).subtracting(folders)
      #expect(unknown.isEmpty, "\(type._commandName): \(unknown.sorted())")
    }
  }

  @Test("an output that is an input is refused", arguments: lines.filter { !$0.outputs.isEmpty })
  func outputOntoInput(_ line: Line) throws {
    let values = try files(line)
    try check(line, values)
    for output in line.outputs {
      for input in line.inputs {
        var clash = values
        clash[output] = values[input]
        let error = #expect(throws: UsageError.self, "\(output) onto \(input)") { try check(line, clash) }
        #expect(error?.description.hasPrefix("\(output) ") == true)
      }
      for other in line.outputs where other != output {
        var clash = values
        clash[output] = values[other]
        #expect(throws: UsageError.self, "\(output) onto \(other)") { try check(line, clash) }
      }
    }
    for figure in line.figures {
      for (input, ending) in line.inputs.flatMap({ input in [".gp", ".dat"].map { (input, $0) } }) {
        var clash = values
        clash[input] = try scratch.write("figure.svg" + ending, "")
        clash[figure] = scratch("figure.svg")
        #expect(throws: UsageError.self, "\(figure): its \(ending) onto \(input)") { try check(line, clash) }
      }
    }
  }

  @Test("a link, a hard link and another spelling are the same file")
  func spellings() throws {
    let line = try #require(Self.lines.first { $0.words[0] == "mask" })
    var values = try files(line)
    let q = try #require(values["--q"]), name = URL(fileURLWithPath: q).lastPathComponent
    try FileManager.default.createSymbolicLink(atPath: scratch("soft"), withDestinationPath: q)
    try FileManager.default.linkItem(atPath: q, toPath: scratch("hard"))
    try FileManager.default.createDirectory(atPath: scratch("sub"), withIntermediateDirectories: true)
    for path in [scratch("soft"), scratch("hard"), scratch("sub/../" + name), scratch(".//" + name)] {
      values["--out"] = path
      #expect(throws: UsageError.self, "\(path)") { try check(line, values) }
    }
    // Two new files of one name.
    let fit = try #require(Self.lines.first { $0.words[0] == "fit" })
    var two = try files(fit)
    two["--out"] = scratch("sub/../new.svg.dat")
    two["--plot"] = scratch("new.svg")
    #expect(throws: UsageError.self) { try check(fit, two) }
    // A device takes one result after another.
    two["--out"] = "/dev/null"
    try check(fit, two)
  }
}
