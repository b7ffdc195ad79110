import Foundation
import Testing

@testable import AttentionLab

/// Runs the built program as a user does.
private struct Run {
  let status: Int32
  let output: String
  let errors: String

  init(_ arguments: [String], in folder: URL? = nil) throws {
    let process = Process()
    process.executableURL = Bundle.main.bundleURL.appendingPathComponent("attnlab")
    if !FileManager.default.isExecutableFile(atPath: process.executableURL?.path ?? "") {
      process.executableURL = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        .appendingPathComponent("attnlab")
    }
    process.arguments = arguments
    process.currentDirectoryURL = folder
    let (out, err) = (Pipe(), Pipe())
    process.standardOutput = out
    process.standardError = err
    try process.run()
    let output = out.fileHandleForReading.readDataToEndOfFile()
    let errors = err.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    status = process.terminationStatus
    self.output = String(decoding: output, as: UTF8.self)
    self.errors = String(decoding: errors, as: UTF8.self)
  }
}

@Suite("attnlab fit")
struct FitCommandTests {
  private let folder = FileManager.default.temporaryDirectory
    .appendingPathComponent("attnlab-fit-\(UUID().uuidString)")

  init() throws { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) }

  private func file(_ text: String, _ name: String = "data.csv") throws -> String {
    try Data(text.utf8).write(to: folder.appendingPathComponent(name))
    return name
  }

  private func fit(_ arguments: String...) throws -> Run { try Run(["fit"] + arguments, in: folder) }

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

  private func fits(_ run: Run) throws -> [[String: Any]] {
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
      run.errors.contains("warning: full: 1 row(s) with an empty cell left out: line 18 [incomplete-rows]"))
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
    ("x,y\n1,2\n", ["--x", "x", "--y", "z"], "data.csv: no column z (did you mean x?); there are x, y"),
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
      "data.csv: power has 2 free parameter(s) and needs at least 4 rows; there are 2"
    ),
    ("x,y\n1,2\n", ["--x", "x"], "--y: name the column of the response"),
    ("x,y\n1,2\n", ["--x", "x", "--y", "y", "--loss", "l1"], "--loss l1: it is squares, huber or absolute"),
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
    let run = try Run(["fit", file(csv)] + arguments, in: folder)
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

  @Test("NIST's Misra1a through --formula")
  func nist() throws {
    // Misra1a: data, start 1 and certified values as NIST prints them.
    let data = [
      (10.07, 77.6), (14.73, 114.9), (17.94, 141.1), (23.93, 190.8), (29.61, 239.9), (35.18, 289.0),
      (40.02, 332.8), (44.82, 378.4), (50.76, 434.8), (55.05, 477.3), (61.01, 536.8), (66.40, 593.1),
      (75.47, 689.1), (81.78, 760.0),
    ]
    let csv = try file("y,x\n" + data.map { "\($0),\($1)\n" }.joined())
    let run = try fit(
      csv, "--y", "y", "--formula", "b1*(1-exp(-b2*x))", "--space", "raw", "--start", "b1=500,b2=0.0001",
      "--only-start", "--interval", "wald", "--json")
    #expect(run.status == 0, "\(run.errors)")
    let parameters = try #require(try fits(run)[0]["parameters"] as? [String: [String: Any]])
    let b1 = try #require(parameters["b1"]?["value"] as? Double)
    let b2 = try #require(parameters["b2"]?["value"] as? Double)
    #expect(abs(b1 / 2.3894212918e2 - 1) < 1e-9)
    #expect(abs(b2 / 5.5015643181e-4 - 1) < 1e-9)
    #expect(abs((parameters["b1"]?["standard_error"] as? Double ?? 0) / 2.7070075241 - 1) < 1e-8)
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
      run.errors.contains("group odd: power has 2 free parameter(s) and needs at least 4 rows; there are 1"))
  }
}
