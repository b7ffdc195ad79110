import ArrayFiles
import Foundation
import LabTestSupport
import Records
import Testing

/// What was written before all names were snake_case is read, and whoever typed it is told once.
@Suite struct OldSpellingTests {
  private let scratch: Scratch
  private static let note = "note: old spelling, read as before; write "

  init() throws { scratch = try Scratch() }

  private func run(_ arguments: String...) throws -> BuiltProgram.Result {
    let result = try BuiltProgram.attnlab.run(arguments, in: scratch.path)
    #expect(result.code == 0, "\(result.errors)")
    return result
  }

  private func notes(_ result: BuiltProgram.Result) -> [String] {
    result.errorLines.filter { $0.hasPrefix("note:") }
  }

  @Test("a preset of measurements, on its lines and by --set: the same cells, and a note")
  func preset() throws {
    func yaml(_ name: String, _ key: String) throws -> String {
      try scratch.write(name, "n: 64\nthreads: 1\nvariants:\n  - random-sparse: {\(key): [4, 8]}\n")
    }
    _ = try yaml("old.yaml", "blockSize")
    _ = try yaml("new.yaml", "block_size")
    let new = try run("run", "new.yaml", "--dry-run", "--json")
    let old = try run("run", "old.yaml", "--dry-run", "--json")
    #expect(notes(new).isEmpty && notes(old) == [Self.note + "block_size for blockSize"])
    #expect(try ids(new) == ids(old) && ids(new).count == 2)
    let set = try run(
      "run", "new.yaml", "--dry-run", "--json", "--set", "variants.random-sparse.randomBlocks=1")
    #expect(notes(set) == [Self.note + "random_blocks for randomBlocks"])
    let both = try BuiltProgram.attnlab.run(
      "run", scratch.write("both.yaml", "n: 8\nvariants:\n  - lsh: {keepsX: 1, keeps_x: 1}\n"), "--dry-run",
      in: scratch.path)
    #expect(both.code == 2 && both.errors.contains("keepsX is keeps_x in an old spelling"), "\(both.errors)")
  }

  private func ids(_ result: BuiltProgram.Result) throws -> [String] {
    result.output.matches(of: /"cell_id": "([0-9a-f]+)"/).map { String($0.output.1) }
  }

  @Test("a preset of trainings: settings, points, and lines of attention")
  func trainings() throws {
    let yaml = """
      experiment: training
      task: {id: induction, length: 8}
      model: {width: 8, heads: 2, layers: 1, attention: "random-sparse(blockSize=2)"}
      training: {steps: 2, batch: 2, learningRate: 1e-3, evaluateEvery: 0, evaluationBatches: 1}
      points:
        - {model.keyHeads: [1, 2]}
      """
    _ = try scratch.write("old.yaml", yaml)
    let result = try run("run", "old.yaml", "--out", "out", "--quiet")
    #expect(notes(result).count == 1 && notes(result)[0].hasPrefix(Self.note), "\(result.errors)")
    for name in [
      "block_size for blockSize", "learning_rate for learningRate", "key_heads for model.keyHeads",
    ] {
      #expect(result.errors.contains(name), "\(result.errors)")
    }
    let rows = try TrainingRow.read(scratch.path + "/out/runs.csv")
    #expect(rows.map(\.attention) == ["random-sparse(block_size=2)", "random-sparse(block_size=2)"])
    #expect(rows.map { $0.modelConfiguration.contains(";key_heads=") } == [true, true])
    // The same preset in today's spelling goes on with the same rows.
    let new = yaml.replacing("blockSize", with: "block_size").replacing("learningRate", with: "learning_rate")
      .replacing("evaluateEvery", with: "evaluate_every").replacing("keyHeads", with: "key_heads")
      .replacing("evaluationBatches", with: "evaluation_batches")
    _ = try scratch.write("old.yaml", new)
    let again = try run("run", "old.yaml", "--out", "out", "--quiet")
    #expect(notes(again).isEmpty)
    #expect(try TrainingRow.read(scratch.path + "/out/runs.csv").count == 2)
  }

  @Test("--set and --variant of a command, and a file of settings")
  func commands() throws {
    _ = try scratch.write("model.yaml", "model:\n  feedForward: relu\n")
    let small = ["width=8", "heads=2", "layers=1"].flatMap { ["--set", "model.\($0)"] }
    let result = try BuiltProgram.attnlab.run(
      ["train", "induction", "--steps", "1", "--threads", "1", "--checkpoint", "c", "--model", "model.yaml"]
        + small + ["--set", "training.evaluationBatches=1", "--set", "task.length=8"]
        + ["--variant", "local-global(left=2, globalTokens=1)"], in: scratch.path)
    #expect(result.code == 0, "\(result.errors)")
    for name in ["feed_forward for feedForward", "evaluation_batches for", "global_tokens for globalTokens"] {
      #expect(result.errors.contains(name), "\(result.errors)")
    }
    let row = try #require(try TrainingRow.read(scratch.path + "/c/runs.csv").first)
    #expect(row.attention == "local-global(left=2, global_tokens=1)")
    #expect(row.trainingConfiguration.contains(";evaluation_batches=1;"))
    let measured = try run(
      "measure", "random-sparse", "--n", "32", "--set", "blockSize=8", "--repeats", "1", "--threads", "1")
    #expect(notes(measured) == [Self.note + "block_size for blockSize"])
  }

  @Test("columns of settings: one name for rows of both spellings, asked for by either")
  func columns() throws {
    var text = "variant,configuration,n,seconds\n"
    for (index, n) in [8, 16, 32, 64, 128, 256].enumerated() {
      let name = index % 2 == 0 ? "blockSize" : "block_size"
      text += "random-sparse,\(name)=\(n);globalBlocks=firstAndLast,64,\(2 * n)\n"
    }
    _ = try scratch.write("m.csv", text)
    let today = try run("fit", "m.csv", "--x", "block_size", "--y", "seconds", "--form", "power", "--json")
    let old = try run("fit", "m.csv", "--x", "blockSize", "--y", "seconds", "--form", "power", "--json")
    #expect(notes(today).isEmpty && notes(old) == [Self.note + "block_size for blockSize"])
    #expect(today.output == old.output && today.output.contains("\"rows_used\": 6"))
    let fewer = try run(
      "fit", "m.csv", "--x", "n*blockSize", "--y", "seconds", "--form", "power", "--json", "--where",
      "blockSize > 8 && configuration != 'blockSize=32;globalBlocks=firstAndLast'")
    #expect(fewer.output.contains("\"rows_used\": 4"), "\(fewer.output)")
  }

  @Test("a column that the table itself spells in camelCase stays what it is")
  func foreign() throws {
    _ = try scratch.write("mine.csv", "blockSize,y\n1,2\n2,4\n4,8\n8,16\n")
    let result = try run("fit", "mine.csv", "--x", "blockSize", "--y", "y", "--form", "power", "--json")
    #expect(notes(result).isEmpty)
  }

  @Test("a checkpoint goes on")
  func checkpoint() throws {
    func train(_ steps: Int) throws -> BuiltProgram.Result {
      try BuiltProgram.attnlab.run(
        ["train", "induction", "--steps", "\(steps)", "--threads", "1", "--checkpoint", "c"]
          + [
            "model.width=8", "model.heads=2", "model.layers=1", "model.key_heads=1", "task.length=8",
            "model.attention=random-sparse(block_size=2)", "training.schedule=constant",
            "training.evaluation_batches=1",
          ].flatMap { ["--set", $0] }, in: scratch.path)
    }
    #expect(try train(2).code == 0)
    let former = [
      "block_size": "blockSize", "key_heads": "keyHeads", "learning_rate": "learningRate",
      "maximum_length": "maximumLength", "feed_forward": "feedForward",
      "evaluation_batches": "evaluationBatches",
    ]
    for name in ["checkpoint", "model"] {
      let path = scratch.path + "/c/\(name).safetensors"
      var file = try Safetensors(contentsOf: path)
      func old(_ text: String) -> String { former.reduce(text) { $0.replacing($1.key, with: $1.value) } }
      let metadata = Dictionary(file.metadata.map { (old($0.key), old($0.value)) }) { first, _ in first }
      #expect(metadata != file.metadata)
      file.metadata = metadata
      try file.write(to: path)
    }
    let longer = try train(4)
    #expect(longer.code == 0 && longer.errors.contains("resumed at step 2"), "\(longer.errors)")
    #expect(notes(longer).isEmpty)
  }
}
