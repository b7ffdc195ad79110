import ArgumentParser
import ArrayFiles
import Basics
import Commands
import Pages
import Tasks

/// `attnlab grade`: how many answers of another program are right.
package struct GradeCommand: FileCommand {
  package static let configuration = CommandConfiguration(
    commandName: "grade",
    abstract: "Grade another program's answers to the examples that attnlab task wrote.",
    discussion: HelpText.page(
      """
      To examples in an .npz file, answers are an .npy file: whole numbers of the shape of the targets or labels, or the
      scored ones of every row in order, or logits with one more axis. To examples in a .jsonl file, they are a .jsonl file
      with {"index", "prediction"} a line: an answer is right when it stands in the prediction, a number as a whole.
      """,
      examples: [
        "attnlab grade mqar.npz answers.npy",
        "attnlab grade passkey.jsonl predictions.jsonl --json",
      ]))

  @Argument(
    help: "The examples: a file of attnlab task --out.", completion: .file(extensions: ["npz", "jsonl"]))
  var examples: String

  @Argument(help: "The answers: .npy or .jsonl.", completion: .file(extensions: ["npy", "jsonl"]))
  var answers: String

  @Flag(help: "Print JSON.")
  var json = false

  /// Creates the command; the parser needs it.
  package init() {}

  package func files() -> CommandFiles {
    var files = CommandFiles()
    files.read(examples)
    files.read(answers)
    return files
  }

  package func run() throws {
    let grade: TaskGrade
    if examples.hasSuffix(".jsonl") {
      func text(_ path: String) throws -> String {
        String(decoding: try InputFile.bytes(path), as: UTF8.self)
      }
      grade = try TaskGrade(ofLines: text(answers), answers, to: text(examples), examples)
    } else {
      grade = try TaskGrade(of: NpyArray(contentsOf: answers), answers, to: NpzArchive(contentsOf: examples))
    }
    if json { print(grade.json.pretty) } else { show(grade.text) }
  }
}
