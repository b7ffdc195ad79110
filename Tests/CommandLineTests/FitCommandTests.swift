import Foundation
import LabTestSupport
import Testing

@testable import AttentionLab

/// Runs the built program as a user does.
struct FitRun {
  let status: Int32
  let output: String
  let errors: String

  init(_ arguments: [String], in folder: URL? = nil) throws {
    let result = try BuiltProgram.attnlab.run(arguments, in: folder?.path)
    (status, output, errors) = (result.code, result.output, result.errors)
  }
}

@Suite("attnlab fit")
struct FitCommandTests {
  private let scratch: Scratch
  private var folder: URL { URL(fileURLWithPath: scratch.path) }

  init() throws { scratch = try Scratch() }

  private func file(_ text: String, _ name: String = "data.csv") throws -> String {
    try Data(text.utf8).write(to: folder.appendingPathComponent(name))
    return name
  }

  private func fit(_ arguments: String...) throws -> FitRun { try FitRun(["fit"] + arguments, in: folder) }

  /// y = 3 x² with a wobble of 1 % up and down, for two variants.
  private var times: String {
    var text = "variant,n,seconds,status\n"
    for (variant, power) in [("full", 2.0), ("window", 1.0)] {
      for k in 6...13 {
        let n = pow(2, Double(k))
        text += "\(variant),\(n),\(1e-6 * pow(n, power) * (k % 2 == 0 ? 1.01 : 0.99)),ok\n"
      }
    }
    return text + "full,16384,,timeout\n"
  }

  private func fits(_ run: FitRun) throws -> [[String: Any]] {
    let document = try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any]
    return try #require(document?["fits"] as? [[String: Any]])
  }

  @Test("The JSON has every name of the contract, a group per value, and warnings on standard error")
  func json() throws {
    let csv = try file(times)
    let run = try fit(csv, "--x", "n", "--y", "seconds", "--by", "variant", "--json", "--predict", "n=131072")
    #expect(run.status == 0)
    let fits = try fits(run)
    #expect(fits.map { $0["group"] as? String } == ["full", "window"])
    let names = [
      "group", "form", "formula", "loss", "delta", "space", "rows_used", "rows_dropped", "objective", "rss",
      "aicc", "bic", "parameters", "correlation", "condition_number", "starts", "starts_at_best",
      "distinct_minima", "converged", "warnings", "predictions", "allocation",
    ]
    for name in names { #expect(fits[0][name] != nil, "\(name) is missing") }
    let b = try #require((fits[0]["parameters"] as? [String: [String: Any]])?["b"])
    #expect(abs((b["value"] as? Double ?? 0) - 2) < 0.01)
    for name in ["standard_error", "low", "high", "interval"] { #expect(b[name] != nil) }
    let codes = (fits[0]["warnings"] as? [[String: String]])?.compactMap { $0["code"] }
    #expect(codes == ["incomplete-rows", "extrapolation"])
    #expect(
      run.errors.contains("warning: full: 1 row with an empty cell left out: line 18 [incomplete-rows]"))
    #expect(!run.output.contains("NaN") && !run.output.contains("nan"))
  }

  @Test("A filter, derived columns and names with spaces")
  func rows() throws {
    let csv = try file("a size,t,note\n1,2,x\n2,4.1,x\n4,7.9,x\n8,16.2,x\n16,31.8,x\n32,9999,bad\n")
    let run = try fit(
      csv, "--define", "n={a size}*2", "--x", "n", "--y", "t/2", "--where", "note != 'bad'", "--json")
    #expect(run.status == 0, "\(run.errors)")
    let parameters = try #require(try fits(run)[0]["parameters"] as? [String: [String: Any]])
    #expect(abs((parameters["b"]?["value"] as? Double ?? 0) - 1) < 0.02)
    #expect(try fits(run)[0]["rows_used"] as? Int == 5)
  }

  @Test("fits.csv has a row per parameter and reads back")
  func table() throws {
    let csv = try file(times)
    let run = try fit(csv, "--x", "n", "--y", "seconds", "--by", "variant", "--out", "fits.csv")
    #expect(run.status == 0)
    let text = try String(contentsOf: folder.appendingPathComponent("fits.csv"), encoding: .utf8)
    let lines = text.split(separator: "\n")
    #expect(lines.count == 5)
    #expect(lines[0].hasPrefix("group,form,formula,loss,delta,space,rows_used"))
    #expect(lines[1].hasPrefix("full,power,a * x^b,squares,,log,8,0,"))
  }

  static let mistakes: [(String, [String], String)] = [
    ("x,y\n1,2\n", ["--x", "x", "--y", "z"], "data.csv: no column z; there are x, y (did you mean x?)"),
    (
      "x,y\n1,2\n2,4\n3,six\n4,8\n", ["--x", "x", "--y", "y"],
      "data.csv:4: column y: 'six' is not a finite number"
    ),
    (
      "x,y\n1,2\n2,nan\n3,6\n4,8\n", ["--x", "x", "--y", "y"],
      "data.csv:3: column y: 'nan' is not a finite number"
    ),
    (
      "x,y\n1,2\n2,0\n3,6\n4,8\n", ["--x", "x", "--y", "y"],
      "data.csv: response, line 3: 0.0 has no logarithm; fit in raw space or leave the row out"
    ),
    (
      "x,y\n1,2\n-2,3\n3,6\n4,8\n", ["--x", "x", "--y", "y"],
      "data.csv: column 'x', line 3: -2.0 is not positive, and a * x^b takes powers of it"
    ),
    ("x,x\n1,2\n", ["--x", "x", "--y", "x"], "data.csv:1: column x appears twice"),
    ("x,y\n1,2,3\n", ["--x", "x", "--y", "y"], "data.csv:2: 3 fields where the header has 2"),
    (
      "x,y\n1,2\n2,4\n", ["--x", "x", "--y", "y"],
      "data.csv: power has 2 free parameters and needs at least 4 rows; there are 2"
    ),
    ("x,y\n1,2\n", ["--x", "x"], "--y: name the column of the response"),
    (
      "x,y\n1,2\n", ["--x", "x", "--y", "y", "--loss", "l1"],
      "--loss l1: it takes one of squares, huber, absolute"
    ),
    (
      "x,y\n1,2\n", ["--x", "x", "--y", "y", "--start", "a:1"],
      "--start a:1: write NAME=NUMBER, several with commas between"
    ),
    (
      "x,y\n1,2\n2,4\n3,6\n4,8\n", ["--x", "x", "--y", "y", "--start", "q=1"],
      "data.csv: start: power has no parameter 'q'; it has a, b"
    ),
    (
      "x,y\n1,2\n", ["--y", "y", "--formula", "a*x^"],
      "formula 'a*x^', column 5: the formula ends where a value should follow"
    ),
    (
      "x,y\n1,2\n", ["--x", "x", "--y", "y", "--plot", "f.gif"],
      "--plot f.gif: the extension must be svg, png or pdf"
    ),
    ("x,y\n1,2\n", ["--x", "x", "--y", "y", "--where", "x>5"], "data.csv: no row passes --where"),
  ]

  @Test("A mistake is one clear line and exit code 2", arguments: mistakes)
  func mistake(csv: String, arguments: [String], line: String) throws {
    let run = try FitRun(["fit", file(csv)] + arguments, in: folder)
    #expect(run.status == 2)
    #expect(run.errors == "attnlab fit: \(line)\n")
    #expect(run.output.isEmpty)
  }

  @Test("A formula with a left side, starts, bounds and a held parameter")
  func formula() throws {
    let csv = try file("x,y\n" + (1...9).map { "\($0),\(exp(2 - 1.5 * log(Double($0))))\n" }.joined())
    let run = try fit(
      csv, "--formula", "log(y) = a - b*log(x) + c", "--space", "raw", "--fix", "c=0.5", "--json")
    #expect(run.status == 0, "\(run.errors)")
    let parameters = try #require(try fits(run)[0]["parameters"] as? [String: [String: Any]])
    #expect(abs((parameters["a"]?["value"] as? Double ?? 0) - 1.5) < 1e-9)
    #expect(abs((parameters["b"]?["value"] as? Double ?? 0) - 1.5) < 1e-9)
    #expect(parameters["c"]?["interval"] as? String == "fixed")
  }

  @Test("The table that is fitted is not replaced by the fit")
  func outputOntoInput() throws {
    let csv = try file(times), place = folder.appendingPathComponent(csv)
    let before = try Data(contentsOf: place)
    let run = try fit(csv, "--x", "n", "--y", "seconds", "--form", "power", "--out", csv)
    #expect(run.status == 2 && run.errors.contains("this would replace the input"), "\(run.errors)")
    #expect(try Data(contentsOf: place) == before)
  }

  @Test("Questions that have no meaning are refused", arguments: [["--calibrate", "-3"], ["--crossovers"]])
  func questions(_ more: [String]) throws {
    let run = try FitRun(
      ["fit", file(times), "--x", "n", "--y", "seconds", "--form", "power"] + more, in: folder)
    #expect(run.status == 2 && run.errors.contains("\(more[0])"), "\(run.errors)")
  }

  @Test("A slope where the law is not positive is left out, not printed as nan")
  func slopesThatAreNone() throws {
    let csv = try file(
      "n,t\n64,1e-4\n128,1e-4\n256,2e-3\n512,2e-3\n1024,9e-3\n2048,2e-2\n4096,5e-2\n8192,0.11\n")
    let run = try fit(csv, "--x", "n", "--y", "t", "--form", "linear", "--space", "raw")
    #expect(
      run.status == 0 && run.output.contains("local slope") && !run.output.contains("nan"), "\(run.output)")
    let json = try fit(csv, "--x", "n", "--y", "t", "--form", "linear", "--space", "raw", "--json")
    #expect(json.status == 0 && !json.output.contains("nan"))
  }

  @Test("A plot leaves script and data beside it")
  func plot() throws {
    guard FileManager.default.isExecutableFile(atPath: "/usr/bin/gnuplot") else { return }
    let csv = try file(times)
    let run = try fit(csv, "--x", "n", "--y", "seconds", "--by", "variant", "--plot", "fit.svg")
    #expect(run.status == 0, "\(run.errors)")
    let svg = try String(contentsOf: folder.appendingPathComponent("fit.svg"), encoding: .utf8)
    #expect(svg.contains("<svg") && svg.contains("window"))
    for name in ["fit.svg.gp", "fit.svg.dat"] {
      #expect(FileManager.default.fileExists(atPath: folder.appendingPathComponent(name).path))
    }
  }

  @Test("One group that cannot be fitted does not stop the others")
  func oneGroupFails() throws {
    let csv = try file(times + "odd,64,1,ok\n")
    let run = try fit(csv, "--x", "n", "--y", "seconds", "--by", "variant", "--json")
    #expect(run.status == 0)
    #expect(try fits(run).count == 2)
    #expect(
      run.errors.contains("group odd: power has 2 free parameters and needs at least 4 rows; there is 1"))
  }

  @Test("Where the curves of two groups meet")
  func crossovers() throws {
    // 1e-6 n² and 1e-4 n, with a wobble of 1 %: they meet at 100.
    let rows = (4...11).map { k -> String in
      let (n, wobble) = (pow(2, Double(k)), k % 3 == 0 ? 1.01 : 0.995)
      return "full,\(n),\(1e-6 * n * n * wobble)\nwindow,\(n),\(1e-4 * n / wobble)\n"
    }
    let csv = try file("variant,n,seconds\n" + rows.joined())
    let run = try fit(csv, "--x", "n", "--y", "seconds", "--by", "variant", "--crossovers", "--json")
    #expect(run.status == 0, "\(run.errors)")
    let document = try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any]
    let meeting = try #require((document?["crossovers"] as? [[String: Any]])?.first)
    #expect(abs((meeting["at"] as? Double ?? 0) - 100) < 5)
    #expect((meeting["low"] as? Double ?? 200) < 100 && (meeting["high"] as? Double ?? 0) > 100)
    #expect(meeting["lower_above"] as? String == "window")
    let page = try fit(csv, "--x", "n", "--y", "seconds", "--by", "variant", "--crossovers")
    #expect(page.output.contains("full / window"))
  }

  @Test("How often the intervals of a design hold its truth")
  func calibration() throws {
    let csv = try file(
      "n,t\n" + (1...12).map { "\($0),\(pow(Double($0), 1.5) * ($0 % 3 == 0 ? 1.02 : 0.99))\n" }.joined())
    let run = try fit(csv, "--x", "n", "--y", "t", "--calibrate", "300", "--json")
    #expect(run.status == 0, "\(run.errors)")
    let found = try #require(try fits(run)[0]["calibration"] as? [String: Any])
    #expect(found["replications"] as? Int == 300)
    let b = try #require((found["parameters"] as? [String: [String: Any]])?["b"])
    #expect(abs((b["coverage"] as? Double ?? 0) - 0.95) < 0.05)
    let page = try fit(csv, "--x", "n", "--y", "t", "--calibrate", "300")
    #expect(page.output.contains("300 replications of this design, intervals of 95 %, 0 failed"))
  }

  @Test("Warnings of many groups are counted, one line a code")
  func manyGroups() throws {
    var text = "g,x,y\n"
    for g in 0..<30 {
      for k in 1...6 {
        text += "g\(g),\(k),\(k == 3 && g < 12 ? "" : "\(Double(k) * (k % 2 == 0 ? 1.01 : 0.99))")\n"
      }
    }
    let csv = try file(text + (0..<11).map { "short\($0),1,1\n" }.joined())
    let run = try fit(csv, "--x", "x", "--y", "y", "--by", "g")
    #expect(run.status == 0)
    let lines = run.errors.split(separator: "\n")
    #expect(lines.contains("warning: 12 of 41 groups: g0, g1, g2, … [incomplete-rows]"))
    #expect(
      lines.first?.hasPrefix("attnlab fit: 11 of 41 groups could not be fitted, the first: short0: power has")
        == true)
    #expect(lines.count <= 4)
    #expect(run.output.contains("g29"))
  }

  @Test("Laws of three variables are compared by the names of their columns")
  func threeVariables() throws {
    var text = "N,D,U,loss\n"
    for (i, n) in [1e7, 1e8, 1e9, 1e10].enumerated() {
      for (j, u) in [1e8, 1e9, 1e10].enumerated() {
        for (k, epochs) in [1.0, 4, 16].enumerated() {
          let wobble = (i + 2 * j + k) % 3 == 0 ? 1.001 : 0.9995
          let loss = (1.8 + 400 / pow(n, 0.34) + 1400 / pow(u * pow(epochs, 0.8), 0.36)) * wobble
          text += "\(n),\(u * epochs),\(u),\(loss)\n"
        }
      }
    }
    let run = try fit(
      try file(text), "--x", "N,D,U", "--y", "loss", "--form", "auto", "--no-influence", "--json")
    #expect(run.status == 0, "\(run.errors)")
    #expect(try fits(run)[0]["form"] as? String == "data-constrained")
    #expect(((try fits(run)[0]["selection"] as? [String: Any])?["candidates"] as? [Any])?.count == 1)
  }
}
