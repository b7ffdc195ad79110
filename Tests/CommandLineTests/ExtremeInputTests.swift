import ArrayFiles
import AttentionCore
import Basics
import Foundation
import LabTestSupport
import Tensors
import Testing

/// Arrays at the ends of single precision, as a user gives them.
@Suite struct ExtremeInputTests {
  let scratch: Scratch
  let files: [String]

  init() throws {
    scratch = try Scratch()
    files = [
      "--q", "\(scratch.path)/q.npy", "--k", "\(scratch.path)/k.npy", "--v", "\(scratch.path)/v.npy", "--out",
      "\(scratch.path)/o.npy",
    ]
  }

  private func write(_ name: String, _ values: [Float]) throws {
    try NpyArray(Tensor(values, shape: [1, 1, values.count, 1])).write(to: "\(scratch.path)/\(name).npy")
  }

  private func read(_ name: String) throws -> [Double] {
    try NpyArray(contentsOf: "\(scratch.path)/\(name).npy").doubles
  }

  @Test(
    "scores of −10³² give output 1 and LSE −10³²",
    arguments: ["full", "full-materialized", "sliding-window", "local-global", "random-sparse", "chunked"])
  func hugeNegativeScores(_ variant: String) throws {
    try write("q", [1e16, 1e16])
    try write("k", [-1e16, -2e16])
    try write("v", [1, 5])
    let lse = "\(scratch.path)/lse.npy"
    let result = try BuiltProgram.attnlab.run(["apply", variant, "--scale", "1", "--lse", lse] + files)
    #expect(result.code == 0, "\(result.errors)")
    #expect(try read("o") == [1, 1])
    #expect(try read("lse").allSatisfy { abs($0 / -1e32 - 1) < 1e-6 })
  }

  @Test("an infinite score of either sign is refused in one line that names its pair", arguments: [-1, 1])
  func overflow(_ sign: Float) throws {
    try write("q", [1, 1e20])
    try write("k", [1, sign * 1e20])
    try write("v", [1, 5])
    let result = try BuiltProgram.attnlab.run(["apply", "full", "--scale", "1"] + files)
    #expect(result.code == 2)
    #expect(
      result.errorLines == [
        "attnlab apply: the score of query 1 and key 1 (batch 0, head 0) is \(sign < 0 ? "-" : "")1.0e40: "
          + "single precision holds none beyond ±2.4e38; scale the inputs down, or give a smaller scale"
      ])
    #expect(!FileManager.default.fileExists(atPath: "\(scratch.path)/o.npy"))
  }

  @Test("what bfloat16 does not hold is said of the input; padding is not read")
  func bfloat16() throws {
    try write("q", [1, 1])
    try write("k", [1, 1])
    try write("v", [1, 3.4e38])
    let arguments = ["apply", "full", "--precision", "bfloat16"] + files
    let result = try BuiltProgram.attnlab.run(arguments)
    #expect(result.code == 2)
    #expect(
      result.errorLines == [
        "attnlab apply: \(scratch.path)/v.npy: element [0, 0, 1, 0] is 3.4e+38, which bfloat16 does not hold "
          + "(at most ±3.3895314e+38); scale it down, or leave out --precision"
      ])
    for variant in ["full", "full-materialized"] {
      var padded = arguments + ["--key-lengths", "1"]
      padded[1] = variant
      let result = try BuiltProgram.attnlab.run(padded)
      #expect(result.code == 0, "\(result.errors)")
      #expect(try read("o") == [1, 1])
    }
  }

  @Test("check finds a variant that takes huge scores for masked ones and infinite ones for scores")
  func sentinel() throws {
    /// The groups in which a variant failed.
    func failed(_ variant: String) throws -> Set<String> {
      let result = try BuiltProgram.fakes.run("check", variant, "--quick", "--isa", "portable", "--json")
      let json = try #require(
        JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
      let variant = try #require((json["variants"] as? [[String: Any]])?.first)
      let checks = try #require(variant["checks"] as? [[String: Any]])
      #expect(checks.count > 100)
      return Set(
        checks.filter { $0["verdict"] as? String == "failed" }.compactMap { $0["group"] as? String })
    }
    let groups: Set = [
      "huge negative scores", "overflowing scores", "one overflowing score", "exact zero weights",
    ]
    #expect(try failed("sentinel").isSuperset(of: groups))
    #expect(try failed("plain").isDisjoint(with: groups))
  }
}
