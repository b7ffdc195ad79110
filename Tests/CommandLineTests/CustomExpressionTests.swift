import ArrayFiles
import Basics
import Foundation
import LabTestSupport
import Records
import Testing

/// The variant `custom`, whose one setting is an expression with spaces, signs and brackets, goes through every command, file and
/// picture as a number does.
@Suite struct CustomExpressionTests {
  static let stripes = "i - j < 10 || j % 3 == 0"

  @Test("every command takes an expression, and every file holds it")
  func everyCommand() throws {
    let scratch = try Scratch()
    let yaml = """
      title: Patterns
      n: [16, 24]
      causal: true
      warmup: 0
      repeats: 3
      budget: 10ms
      variants:
        - full
        - custom: {expression: ["\(Self.stripes)", "min(i - j, 3) < 3 && (h == 0 || j == 0)"]}
      """
    try Data(yaml.utf8).write(to: URL(fileURLWithPath: scratch("p.yaml")))
    let small = """
      --set model.width=16 --set model.layers=2 --set model.heads=2 --set model.hidden=16 --set training.batch=2 \
      --set task.tokens=4 --set task.blanks=4 --set task.vocabulary=16 --set training.warmup=1 --set training.evaluate_every=2 \
      --set training.evaluation_batches=1
      """
    let lines = [
      "attnlab run p.yaml --out r",
      "attnlab compare r/measurements.csv",
      "attnlab plot r/measurements.csv --out p.svg",
      "attnlab report r",
      "attnlab mask custom --n 40 --causal --set 'expression=i - j < 9' --out a.npy",
      "attnlab mask sliding-window --n 40 --causal --set left=8 --out b.npy",
      "cmp a.npy b.npy",
      "attnlab mask custom --n 40 --set 'expression=\(Self.stripes)' --out m.svg",
      "attnlab train copying --variant 'custom(expression=\"i - j < 4\"), custom(expression=j == 0 || i == j)' "
        + "--steps 2 --checkpoint t \(small)",
    ]
    let result = try BuiltProgram.attnlab.shell(
      "set -e\n" + lines.joined(separator: "\n"), in: scratch.path)
    #expect(result.code == 0, "\(result.errors)\n\(result.output.suffix(500))")
    let rows = try CSVTable(contentsOf: scratch("r/measurements.csv"))
    let place = try #require(rows.header.firstIndex(of: "configuration"))
    let configurations = Set(rows.rows.map { $0[place] })
    #expect(configurations.contains("expression=\(Self.stripes)"))
    #expect(configurations.contains("expression=min(i - j, 3) < 3 && (h == 0 || j == 0)"))
    let page = try String(contentsOfFile: scratch("r/report.html"), encoding: .utf8)
    #expect(page.contains("i - j &lt; 10") && !page.contains("i - j < 10 ||"))
    let picture = try String(contentsOfFile: scratch("m.svg"), encoding: .utf8)
    #expect(picture.contains("expression=i - j &lt; 10 || j % 3 == 0"))
  }

  @Test("a mistake is one line with its column, in a preset with the line of the file too")
  func mistakes() throws {
    let scratch = try Scratch()
    let yaml = "n: 16\nvariants:\n  - custom: {expression: i - = 3}\n"
    try Data(yaml.utf8).write(to: URL(fileURLWithPath: scratch("p.yaml")))
    let preset = try BuiltProgram.attnlab.run("run", "p.yaml", in: scratch.path)
    #expect(preset.code == 2 && preset.errorLines.count == 1)
    #expect(
      preset.errors.contains("p.yaml:3: ") && preset.errors.contains("column 5: a single ="),
      "\(preset.errors)")
    let pair = try BuiltProgram.attnlab.run(
      "measure", "custom", "--n", "8", "--set", "expression=i / j == 0", in: scratch.path)
    #expect(pair.code == 2 && pair.errorLines.count == 1)
    #expect(pair.errors.contains("a division by 0 at i = 0, j = 0"), "\(pair.errors)")
  }
}
