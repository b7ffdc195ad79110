import Foundation
import LabTestSupport
import Testing

/// Tables of others, names of columns and messages, as a user of `attnlab fit` and `attnlab plot` meets them.
@Suite("attnlab fit and plot on tables of others")
struct FitInputTests {
  private let scratch: Scratch
  init() throws { scratch = try Scratch() }

  /// A table whose columns look like formulas and constants: value ∝ index^−0.5 in all of them.
  private static let odd: String = {
    let rows = (1...10).map { k in
      "\(k),\(3 / Double(k).squareRoot()),\(64 * k),\(2 * k),\(k * k),\(k == 3 ? 0 : 1),run \(k % 2)"
    }
    return (["step,train/loss,Seq Len,pi,e,w/2,the run"] + rows).joined(separator: "\n") + "\n"
  }()

  private func fit(_ text: String, _ arguments: [String]) throws -> BuiltProgram.Result {
    try BuiltProgram.attnlab.run(["fit", scratch.write("t.csv", text)] + arguments, in: scratch.path)
  }

  private func first(_ run: BuiltProgram.Result) throws -> [String: Any] {
    #expect(run.code == 0, "\(run.errors)")
    let document = try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any]
    return try #require((document?["fits"] as? [[String: Any]])?.first)
  }

  private func exponent(_ run: BuiltProgram.Result) throws -> Double {
    let parameters = try first(run)["parameters"] as? [String: [String: Any]]
    return try #require(parameters?["b"]?["value"] as? Double)
  }

  static let named: [([String], Double)] = [
    (["--x", "step", "--y", "train/loss"], -0.5), (["--x", "Seq Len", "--y", "{train/loss}"], -0.5),
    (["--x", "pi", "--y", "train/loss"], -0.5), (["--x", "e", "--y", "train/loss"], -0.25),
    (["--x", "step", "--y", "train/loss", "--weights", "w/2"], -0.5),
    (["--x", "step", "--y", "train/loss", "--cluster", "the run", "--interval", "wald"], -0.5),
    (["--x", "step", "--y", "train/loss", "--where", "w/2"], -0.5),
    (["--x", "step", "--y", "train/loss", "--where", "{w/2} == 1 && {Seq Len} > 64"], -0.5),
    (["--x", "step", "--y", "train/loss", "--by", "the run"], -0.5),
    (["--define", "q r=train/loss", "--x", "step", "--y", "q r"], -0.5),
    (["--define", "q={train/loss}*pi", "--x", "step", "--y", "q"], 0.5),
    (["--x", "step*e", "--y", "{train/loss}/2"], -0.5 / 3),
    (["--y", "train/loss", "--formula", "a*pi^b"], -0.5),
    (["--formula", "train/loss = a*{Seq Len}^b"], -0.5), (["--formula", "train/loss = a*Seq Len^b"], -0.5),
    (["--x", "step", "--y", "train/loss", "--where", "w/2 == 1 && train/loss<2.9"], -0.5),
    (["--define", "q=train/loss*2", "--x", "step", "--y", "q"], -0.5),
  ]

  @Test("A text that stands in the header is that column, in every option", arguments: named)
  func names(arguments: [String], expected: Double) throws {
    let run = try fit(Self.odd, arguments + ["--no-influence", "--json"])
    #expect(abs(try exponent(run) - expected) < 1e-6, "\(run.errors)")
  }

  @Test("A prediction is asked for by the column's own name, blanks and all")
  func predictions() throws {
    for text in ["Seq Len=6400", "{Seq Len} = 6400", " Seq Len =6400", "x=6400"] {
      let run = try fit(
        Self.odd, ["--x", "Seq Len", "--y", "train/loss", "--predict", text, "--no-influence", "--json"])
      let found = try #require((try first(run)["predictions"] as? [[String: Any]])?.first)
      #expect(abs((found["value"] as? Double ?? 0) - 0.3) < 1e-6)
    }
  }

  static let wrong: [([String], String)] = [
    (["--y", "train/loss", "--formula", "a*{nope}^b"], "no column nope"),
    (["--x", "step", "--y", "trainloss"], "(did you mean train/loss?)"),
    (["--x", "step", "--y", "train/loss", "--weights", "{w}"], "no column w"),
    (["--x", "step", "--y", "train/loss", "--predict", "step=-5"], "--predict step=-5: column 'step'"),
    (["--x", "step", "--y", "train/loss", "--predict", "step=inf"], "write NAME=NUMBER"),
    (
      ["--x", "step", "--y", "train/loss", "--weights", "step-5"],
      "t.csv:2: weight step-5: -4.0 is not allowed"
    ),
    (["--x", "step", "--y", "train/loss", "--weights", "1/(step-4)^2"], "t.csv:5: weight"),
    (["--x", "1/(step-4)", "--y", "train/loss"], "line 5: inf is not a finite number"),
    (["--x", "step", "--y", "1/(step-4)"], "line 5: inf is not a finite number"),
    (["--y", "train/loss", "--formula", "a*(step-5)^0.5"], "line 2: a*(step-5)^0.5 has no"),
    (["--x", "step", "--y", "train/loss", "--bootstrap", "1000000000000"], "1000000"),
  ]

  @Test("What cannot be meant is one line that says what is there", arguments: wrong)
  func mistakes(arguments: [String], part: String) throws {
    let run = try fit(Self.odd, arguments)
    #expect(run.code == 2 && run.errorLines.count == 1, "\(run.errors)")
    #expect(run.errors.contains(part), "\(run.errors)")
  }

  @Test(
    "Infinite and other values that are no numbers are refused with their line, in fit and plot",
    arguments: [
      "inf", "-inf", "nan", "1e999", "0x1p2000", "Infinity",
    ])
  func extremes(_ cell: String) throws {
    for (name, row) in [("y", "3,\(cell),1"), ("x", "\(cell),3,1"), ("w", "3,3,\(cell)")] {
      let file = try scratch.write("t.csv", "x,y,w\n1,1,1\n2,2,1\n\(row)\n4,4,1\n5,5,1\n")
      let fit = try BuiltProgram.attnlab.run("fit", file, "--x", "x", "--y", "y", "--weights", "w")
      #expect(fit.code == 2 && fit.errors.contains("t.csv:4: column \(name)"), "\(fit.errors)")
      guard name != "w" else { continue }
      let plot = try BuiltProgram.attnlab.run("plot", file, "--x", "x", "--y", "y")
      #expect(plot.code == 2 && plot.errors.contains("t.csv:4: column \(name)"), "\(plot.errors)")
    }
  }

  @Test(
    "Numbers at the ends of what a Double holds end in an answer or a line",
    arguments: [
      "1e308", "-1e308", "5e-324", "9223372036854775807", "1e19", "0", "-0.0",
    ])
  func largest(_ cell: String) throws {
    for row in ["3,\(cell)", "\(cell),3", "\(cell),\(cell)"] {
      let file = try scratch.write("t.csv", "x,y\n1,1\n2,2\n\(row)\n4,4\n5,5\n6,6.5\n")
      for arguments in [
        ["fit", file, "--x", "x", "--y", "y", "--form", "auto", "--json"],
        ["fit", file, "--x", "x", "--y", "y", "--space", "raw", "--form", "power-offset"],
        ["plot", file, "--x", "x", "--y", "y", "--out", scratch.path + "/p.svg"],
      ] {
        let run = try BuiltProgram.attnlab.run(arguments)
        #expect([0, 2].contains(run.code), "\(arguments): \(run.code) \(run.errors)")
      }
    }
  }

  @Test("Seeds of 64 bits are taken")
  func seeds() throws {
    let run = try fit(
      Self.odd,
      ["--x", "step", "--y", "train/loss", "--bootstrap", "20", "--seed", "18446744073709551615", "--json"])
    #expect(try first(run)["bootstrap"] != nil)
  }

  @Test("A weight of zero leaves the row out, and it is said")
  func zeroWeights() throws {
    let run = try fit(Self.odd, ["--x", "step", "--y", "train/loss", "--weights", "w/2", "--json"])
    #expect(try first(run)["rows_used"] as? Int == 9)
    #expect(run.errors.contains("1 row with a weight of zero left out: line 4 [zero-weight]"))
  }

  @Test("Other separators, decimal commas and encodings are named, then read by the option that was named")
  func dialects() throws {
    let text = "n;t\n" + (1...6).map { "\($0);\($0),5\n" }.joined()
    let refused = try fit(text, ["--x", "n", "--y", "t"])
    #expect(refused.code == 2 && refused.errors.contains("--separator semicolon --decimal-comma reads it"))
    let options = ["--separator", "semicolon", "--decimal-comma"]
    let run = try fit(
      text, ["--x", "n", "--y", "t", "--space", "raw", "--form", "linear", "--json"] + options)
    let parameters = try first(run)["parameters"] as? [String: [String: Any]]
    #expect(abs((parameters?["a"]?["value"] as? Double ?? 0) - 0.5) < 1e-9)
    let plot = try BuiltProgram.attnlab.run(
      ["plot", scratch.path + "/t.csv", "--x", "n", "--y", "t", "--no-fit"], in: scratch.path)
    #expect(plot.code == 2 && plot.errors.contains("--separator semicolon"))
    let compare = try BuiltProgram.attnlab.run(["compare", scratch.path + "/t.csv"])
    #expect(compare.code == 2 && compare.errors.contains("--separator semicolon"))
    let read = try BuiltProgram.attnlab.run(["compare", scratch.path + "/t.csv"] + options)
    #expect(read.code == 2 && read.errors.contains("no column variant"), "\(read.errors)")
  }

  @Test("Escape bytes and half a million characters of a file do not reach the terminal")
  func quotations() throws {
    let evil = "\u{1B}[2J\u{9B}31m\u{202E}" + String(repeating: "x", count: 500_000)
    let tables: [(String, [String])] = [
      ("x,y\n1,\(evil)\n", ["--x", "x", "--y", "y"]), ("x,\(evil)\n1,2\n", ["--x", "x", "--y", "q"]),
      ("x,y,g\n" + (1...6).map { "\($0),\($0),\(evil)\n" }.joined(), ["--x", "x", "--y", "y", "--by", "g"]),
      ("x,y,g\n1,1,\(evil)\n", ["--x", "x", "--y", "y", "--by", "g"]),
      ("x,y\n1,2\n", ["--x", "x", "--y", "a\u{1B}[2Jb"]),
      ("x,y\n1,2\n", ["--x", "x", "--y", "y", "--loss", "\u{1B}c"]),
    ]
    for (text, arguments) in tables {
      let run = try fit(text, arguments)
      #expect(run.errors.utf8.count < 10_000 && run.output.utf8.count < 10_000)
      for c in ["\u{1B}", "\u{9B}", "\u{202E}"] {
        #expect(!run.errors.contains(c) && !run.output.contains(c), "\(arguments)")
      }
    }
  }

  @Test("A plot without --out makes a file beside the table, whatever the column is called")
  func plotNames() throws {
    guard FileManager.default.isExecutableFile(atPath: "/usr/bin/gnuplot") else { return }
    let file = try scratch.write("t.csv", "n,a/b,../c\n1,1,1\n2,2,2\n3,3,3\n")
    for (y, name) in [("a/b", "a_b.svg"), ("../c", "_._c.svg"), ("{a/b}*2", "_a_b__2.svg")] {
      let run = try BuiltProgram.attnlab.run(["plot", file, "--x", "n", "--y", y], in: scratch.path)
      #expect(run.code == 0, "\(run.errors)")
      #expect(FileManager.default.fileExists(atPath: scratch.path + "/" + name), "\(run.output)")
    }
    #expect(!FileManager.default.fileExists(atPath: scratch.path + "/a"))
  }

  @Test("A budget far beyond the data is said to be so")
  func budget() throws {
    var rows = "N,D,loss\n"
    for i in 0..<5 {
      for j in 0..<5 {
        let n = pow(10, 7 + 0.5 * Double(i)), d = pow(10, 9 + 0.5 * Double(j))
        let wobble = (i + j) % 2 == 0 ? 1.001 : 0.999
        rows += "\(n),\(d),\((1.7 + 400 / pow(n, 0.34) + 400 / pow(d, 0.28)) * wobble)\n"
      }
    }
    let run = try fit(
      rows,
      ["--x", "N,D", "--y", "loss", "--form", "chinchilla", "--budget", "6e22", "--no-influence", "--json"])
    #expect(
      run.errors.contains("the budget 6e+22 lies 100.0 times beyond the data (limit 4.0) [extrapolation]"))
    let allocation = try first(run)["allocation"] as? [String: Any]
    #expect(abs((allocation?["extrapolation"] as? Double ?? 0) - 100) < 0.1)
  }
}
