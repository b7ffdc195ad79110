import ArgumentParser
import Basics
import Commands
import Pages
import Processes

/// `attnlab text`: a way around attention over a text that is longer than a model.
package struct TextCommand: FileCommand {
  package static let configuration = CommandConfiguration(
    commandName: "text",
    abstract: "Read a text that is longer than a model: windows, key sentences, retrieved passages.",
    discussion: HelpText.page(
      """
      The way is the line of a preset's task; attnlab list windows shows its settings. windows asks a trained model for
      the loss of every byte, or the class of every file; extract and retrieve print what is kept, or write it to --out.
      A folder of any size is read within bounded memory.
      """,
      examples: [
        "attnlab text notes.txt --way 'windows(length=256, stride=128)' "
          + "--checkpoint results/train-text/model.safetensors",
        "attnlab text notes.txt --way 'extract(method=textrank, share=0.2)' --out short.txt",
        "attnlab text notes.txt --way 'retrieve(count=2)' --question 'What was noted?' --json",
      ]))

  @Argument(help: "A text file, or a folder of text files.", completion: .file())
  var path: String

  @Option(help: "The way: windows, extract or retrieve with its settings.")
  var way: String

  @Option(help: "What extract and retrieve look for.")
  var question: String?

  @Option(help: "A model of bytes: a file of attnlab train.")
  var checkpoint: String?

  @Option(help: "Rows that the model reads at a time.")
  var batch = 8

  @Option(help: "Write what is kept here.")
  var out: String?

  @Option(help: "Threads. Default: all processors.")
  var threads: Int?

  @Flag(help: "Print JSON.")
  var json = false

  package init() {}

  package func files() -> CommandFiles {
    var files = CommandFiles()
    for path in [path, checkpoint] { files.read(path) }
    files.write(out, "--out")
    return files
  }

  package func run() throws {
    try ThreadFlag.check(threads)
    guard (1...4096).contains(batch) else { throw UsageError("--batch \(batch): it takes 1 to 4096") }
    let page = try TextPage(path, way: way, question: question, out: out)
    guard let checkpoint else { return try answer(page, nil) }
    try Checkpoint.use(checkpoint, threads: threads) {
      try answer(page, PretrainedText($0, checkpoint: checkpoint))
    }
  }

  private func answer(_ page: TextPage, _ model: PretrainedText?) throws {
    var isText = false
    let answer = try page.answer(by: model, batch: batch) { bytes in
      isText = true
      if !json { StandardOutput.write(bytes) }
    }
    if json { return print(answer.json.pretty) }
    // Beside a text that goes to standard output, counts do not.
    if isText { Terminal.note(answer.text) } else { show(answer.text) }
  }
}
