import Foundation
import LabTestSupport
import Testing

/// Text for people stays within the columns of the screen.
@Suite struct ScreenTests {
  private static let table = ExampleFolder.package + "/results/published/quickstart/measurements.csv"

  @Test(
    "No line is longer than COLUMNS, on a pipe too, and without it 80",
    arguments: [
      ["--help"], ["compare", "--help"], ["fit", "--help"], ["train", "--help"], ["list"],
      ["list", "columns"],
      ["list", "sliding-window"], ["list", "model"], ["compare", Self.table],
      ["compare", Self.table, "--metric", "memory"], ["compare", Self.table, "--pareto", "error,seconds"],
      ["mask", "sliding-window", "--n", "300"], ["run", "quickstart", "--dry-run"],
      [
        "fit", Self.table, "--x", "query_length", "--y", "memory_bytes", "--by", "variant", "--where",
        "pass == 'forward'",
      ],
    ])
  func fits(arguments: [String]) throws {
    for (columns, width) in [("60", 60), ("", 80)] {
      let result = try BuiltProgram.attnlab.run(arguments, environment: ["COLUMNS": columns])
      #expect(result.code == 0, "\(result.errors)")
      let long: [Substring] = result.output.split(separator: "\n").filter { line in
        // A word that is longer stays whole, so that a path can be copied.
        line.count > width && line.split(separator: " ").allSatisfy { $0.count < width - 8 }
      }
      #expect(long.isEmpty, "\(width): \(long.joined(separator: "|"))")
    }
  }

  @Test("Subcommands stand in groups, each in one")
  func groups() throws {
    let page = try BuiltProgram.attnlab.run("--help").output
    let heads = page.split(separator: "\n").filter { $0.hasSuffix(":") && $0.first?.isUppercase == true }
    #expect(heads.suffix(5).map { String($0) } == ["OPTIONS:", "MEASURE:", "TRAIN:", "FIT:", "TOOLS:"])
  }

  @Test("A bar is drawn on a terminal alone; --quiet draws none, nor lines on a pipe")
  func bar() throws {
    guard FileManager.default.isExecutableFile(atPath: "/usr/bin/script") else { return }
    let scratch = try Scratch()
    let preset = try scratch.write("p.yaml", "n: [16, 32]\nvariants: [full]\nthreads: 1\nrepeats: 1\n")
    func screen(_ flag: String, _ out: String) throws -> String {
      let result = try BuiltProgram.attnlab.shell(
        "COLUMNS=60 script -qec \"attnlab run \(preset) --out \(out) \(flag)\" /dev/null", in: scratch.path)
      #expect(result.code == 0, "\(result.output)")
      return result.output
    }
    let drawn = try screen("", "a")
    #expect(drawn.contains("············ 0/2  full forward n=16") && drawn.contains("██████······ 1/2  "))
    #expect(try !screen("--quiet", "b").contains("█"))
    let piped = try BuiltProgram.attnlab.run("run", preset, "--out", scratch("c"))
    #expect(!piped.errors.contains("█") && piped.errors.contains("[1/2] full forward n=16: "))
    let silent = try BuiltProgram.attnlab.run("run", preset, "--out", scratch("d"), "--quiet")
    #expect(!silent.errors.contains("[1/2]"))
  }

  @Test("Ctrl-C leaves a clean line where the bar was")
  func interrupted() throws {
    guard FileManager.default.isExecutableFile(atPath: "/usr/bin/script") else { return }
    let scratch = try Scratch()
    _ = try scratch.write("p.yaml", "n: 16384\nvariants: [full]\nthreads: 1\nrepeats: 50\n")
    _ = try scratch.write("go.sh", "echo $$ > pid\nexec attnlab run p.yaml --out x\n")
    // A shell lets what it starts in the background ignore SIGINT; SIGTERM is answered alike.
    // The bar stands before the first cell has ended, which would take minutes.
    let line =
      "script -qfec 'sh go.sh' log > /dev/null & n=0; "
      + "while ! grep -q 0/1 log 2> /dev/null && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done; "
      + "kill -TERM $(cat pid); wait; cat log"
    let result = try BuiltProgram.attnlab.shell(line, in: scratch.path)
    #expect(result.output.contains("0/1  full forward n=16384"))
    #expect(result.output.contains("\r\u{1B}[Kattnlab: interrupted; the same command continues"))
  }
}
