import Foundation
import LabTestSupport
import Testing

/// Wrong settings of `attnlab train` are named with their place before any time is spent.
@Suite struct TrainSettingsTests {
  @Test(arguments: [
    ("- a\n- b", "model.yaml:1: [a, b] stands where the sections task, model and training are expected"),
    ("model: 3", "model.yaml:1: model: 3 is not allowed; it takes a mapping of settings"),
    (
      "modle:\n  width: 8",
      "model.yaml:1: modle: unknown; known are the sections task, model and training (did you mean model?)"
    ),
    (
      "model:\n  width: 8\n  heads: 3",
      "model.yaml:3: heads: 3 is not allowed; it takes a divisor of the width 8"
    ),
    ("training:\n\n  steps: 0", "model.yaml:3: steps: 0 is not allowed"),
    ("model:\n  widht: 8", "model.yaml:2: widht: an unknown parameter"),
    ("task: mqar", "model.yaml:1: task: mqar; the command names the task induction"),
    ("task:\n  length: [8, 16]", "model.yaml:2: task.length: one value is expected, not a list"),
    ("", "model.yaml: empty"),
  ])
  func filesAreRefusedWithTheirLine(_ yaml: String, _ expected: String) throws {
    let scratch = try Scratch()
    _ = try scratch.write("model.yaml", yaml)
    let refused = try BuiltProgram.attnlab.run(
      "train", "induction", "--model", "model.yaml", in: scratch.path)
    #expect(refused.code == 2 && refused.errorLines.count == 1, "\(refused.errors)")
    #expect(refused.errors.hasPrefix("attnlab train: \(expected)"), "\(refused.errors)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path) == ["model.yaml"])
  }

  @Test(arguments: [
    (
      "mdl.width=3",
      "--set: mdl.width is no path; write task.NAME, model.NAME or training.NAME (did you mean model.width?)"
    ),
    (
      "width=3",
      "--set: width is no path; write task.NAME, model.NAME or training.NAME (did you mean model.width?)"
    ),
    (
      "steps=3",
      "--set: steps is no path; write task.NAME, model.NAME or training.NAME (did you mean training.steps?)"
    ),
    ("model.vocabulary=3", "vocabulary: 3 is not allowed; it takes at least 16 for the task induction"),
    (
      "model.maximum_length=3",
      "maximum_length: 3 is not allowed; it takes at least 256 for the task induction"
    ),
    ("model.classes=3", "classes: 3 is not allowed; it takes 0 for the task induction"),
  ])
  func whatTheTaskDecidesIsNotOverriddenInSilence(_ setting: String, _ expected: String) throws {
    let scratch = try Scratch()
    let refused = try BuiltProgram.attnlab.run("train", "induction", "--set", setting, in: scratch.path)
    #expect(refused.code == 2 && refused.errorLines.count == 1, "\(refused.errors)")
    #expect(refused.errors.hasPrefix("attnlab train: \(expected)"), "\(refused.errors)")
  }

  @Test("more tokens and positions than the task needs are allowed, and are what is trained")
  func largerModels() throws {
    let scratch = try Scratch()
    let settings = [
      "task.length=8", "task.vocabulary=6", "model.width=8", "model.layers=1", "model.heads=2",
      "training.batch=2", "training.evaluation_batches=1", "model.vocabulary=40", "model.maximum_length=90",
      "model.position=learned",
    ]
    let trained = try BuiltProgram.attnlab.run(
      ["train", "induction", "--steps", "1", "--checkpoint", "run"] + settings.flatMap { ["--set", $0] },
      in: scratch.path)
    #expect(trained.code == 0, "\(trained.errors)")
    let row = try String(contentsOfFile: scratch.path + "/run/runs.csv", encoding: .utf8)
    #expect(row.contains("vocabulary=40;maximum_length=90"), "\(row)")
  }

  @Test(arguments: [
    ["train", "text", "--threads", "-1"], ["train", "text", "--steps", "-3"],
    ["train", "text", "--seed", "-1"],
    ["train", "text", "--time", "-1"], ["generate", "--checkpoint", "x", "--prompt", "a", "--count", "-1"],
    ["measure", "full", "--n", "-5"], ["mask", "full", "--n", "-5"],
  ])
  func negativeNumbersAreAnsweredAsNumbers(_ arguments: [String]) throws {
    let refused = try BuiltProgram.attnlab.run(arguments)
    #expect(refused.code == 2 && refused.errorLines.count == 1, "\(refused.errors)")
    #expect(!refused.errors.contains("Missing value"), "\(refused.errors)")
    #expect(refused.errors.contains(arguments.last ?? ""), "\(refused.errors)")
  }

  @Test(arguments: ["/dev/zero", "/dev/null"])
  func devicesAreNoText(_ path: String) throws {
    let scratch = try Scratch()
    let refused = try BuiltProgram.attnlab.run(
      "train", "text", "--steps", "1", "--set", "task.path=\(path)", in: scratch.path)
    #expect(refused.code == 2 && refused.errorLines.count == 1, "\(refused.errors)")
    #expect(refused.errors.contains("name a text file"), "\(refused.errors)")
  }
}
