import ArrayFiles
import Basics
import Foundation
import LabTestSupport
import Records
import Testing

/// What `attnlab train` leaves in its folder, and what can be done with it.
@Suite struct TrainFilesTests {
  let scratch: Scratch
  var folder: String { scratch("run") }

  init() throws { scratch = try Scratch() }

  private func arguments(_ steps: Int, _ more: String...) -> [String] {
    let settings = [
      "task.length=8", "task.vocabulary=6", "model.width=8", "model.layers=1", "model.heads=2",
      "model.hidden=8",
      "training.batch=2", "training.evaluation_batches=1", "training.evaluate_every=1",
    ]
    return ["train", "induction", "--steps", "\(steps)", "--checkpoint", folder, "--threads", "1"]
      + settings.flatMap { ["--set", $0] } + more
  }

  private func text(_ name: String) throws -> String {
    try String(contentsOfFile: folder + "/" + name, encoding: .utf8)
  }

  @Test("page, picture, description, event file and data card stand there, and the last lines say so")
  func files() async throws {
    let trained = try await BuiltProgram.attnlab.finished(arguments(4, "--tensorboard"))
    #expect(trained.code == 0, "\(trained.errors)")
    // Long lines are folded between words.
    let lines = trained.output.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
    #expect(lines.last?.hasSuffix("\(folder)/report.html") == true, "\(trained.output)")
    for name in ["model.safetensors", "curves.svg"] {
      #expect(lines.contains { $0.hasSuffix("\(folder)/\(name)") }, "\(trained.output)")
    }
    let names = Set(try FileManager.default.subpathsOfDirectory(atPath: folder))
    #expect(
      names.isSuperset(of: [
        "steps.csv", "config.json", "README.md", "report.html", "curves.svg",
        "tensorboard/events.out.tfevents.attnlab",
      ]), "\(names.sorted())")
    let card = try text("README.md")
    for part in [
      "---\npretty_name: ", "- config_name: runs\n  data_files: runs.csv\n  default: true\n",
      "- config_name: steps\n  data_files: steps.csv\n", "attnlab train induction", "| `steps.csv` |",
      "| `learning_rate` |", "\"runs\"",
    ] { #expect(card.contains(part), "\(part): \(card)") }
    let config = try JSONValue(parsing: text("config.json"), file: "config.json")
    #expect(config["model_type"].stringValue == "attnlab" && config["model"]["width"].numberValue == 8)
    #expect(config["task"]["settings"]["vocabulary"].numberValue == 6)
    #expect(config["tokenizer"]["tokens"].numberValue == 6 && config["training"]["steps"].numberValue == 4)

    // A text of the user's own stays.
    _ = try scratch.write("run/README.md", "mine")
    #expect(try await BuiltProgram.attnlab.finished(["report", folder]).code == 0)
    #expect(try text("README.md") == "mine")
  }

  @Test(
    "a folder is the model in it, and its description stands in for metadata that another program has dropped"
  )
  func description() async throws {
    #expect(try await BuiltProgram.attnlab.finished(arguments(1)).code == 0)
    let tokens = scratch("t.npy")
    try NpyArray([0, 1, 2, 3, 4, 5], shape: [2, 3], as: .int32).write(to: tokens)
    func logits(_ checkpoint: String) async throws -> [UInt8] {
      let file = scratch("l.npy")
      let forward = try await BuiltProgram.attnlab.finished([
        "forward", "--checkpoint", checkpoint, "--tokens", tokens, "--logits", file,
      ])
      #expect(forward.code == 0, "\(forward.errors)")
      return Array(try Data(contentsOf: URL(fileURLWithPath: file)))
    }
    let own = try await logits(folder + "/model.safetensors")
    #expect(try await logits(folder) == own)
    let stored = try Safetensors(contentsOf: folder + "/model.safetensors")
    try Safetensors(tensors: stored.tensors, metadata: [:]).write(to: folder + "/model.safetensors")
    #expect(try await logits(folder) == own)
    // The weights of a training that goes on are in its checkpoint.
    try FileManager.default.removeItem(atPath: folder + "/model.safetensors")
    #expect(try await logits(folder) == own)
  }

  @Test(
    "--extend goes on to more steps and says what becomes of the cosine; without a training it is refused")
  func extend() async throws {
    let none = try await BuiltProgram.attnlab.finished(arguments(4, "--extend"))
    #expect(none.code == 2 && none.errorLines.count == 1, "\(none.errors)")
    #expect(none.errors.contains("holds no training") && !FileManager.default.fileExists(atPath: folder))
    #expect(try await BuiltProgram.attnlab.finished(arguments(2)).code == 0)
    let refused = try await BuiltProgram.attnlab.finished(arguments(4))
    #expect(
      refused.code == 2 && refused.errors.contains("--extend gives the cosine another end"),
      "\(refused.errors)")
    let extended = try await BuiltProgram.attnlab.finished(arguments(4, "--extend"))
    #expect(extended.code == 0 && extended.errors.contains("the cosine now ends there"), "\(extended.errors)")
    #expect(try StepRow.read(folder + "/steps.csv").map(\.step) == [1, 2, 3, 4])
    let page = try text("README.md")
    #expect(page.contains("--steps 2 --checkpoint") && page.contains("--extend --checkpoint"), "\(page)")
    for wrong in [["--fresh"], ["--time", "1"]] {
      let refused = try await BuiltProgram.attnlab.finished(arguments(8, "--extend") + wrong)
      #expect(
        refused.code == 2 && refused.errors.contains("--extend: it goes with neither"), "\(refused.errors)")
    }
    let finished = try await BuiltProgram.attnlab.finished(arguments(4, "--extend", "--tensorboard"))
    #expect(finished.code == 0 && finished.errors.contains("is finished"), "\(finished.errors)")
    #expect(FileManager.default.fileExists(atPath: folder + "/tensorboard/events.out.tfevents.attnlab"))
  }
}
