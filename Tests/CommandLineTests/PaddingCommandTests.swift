import ArrayFiles
import Basics
import Foundation
import LabTestSupport
import Tensors
import Testing

/// Padding, given rotations and the road of bfloat16, as a user meets them.
@Suite struct PaddingCommandTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  private func path(_ name: String) -> String { "\(scratch.path)/\(name)" }

  private func write(_ name: String, _ shape: [Int]) throws {
    try NpyArray(Tensor.normal(shape, key: RandomKey(seed: 3)(name))).write(to: path(name))
  }

  @Test(
    "check finds a variant that takes its window from the padded length, or from what padding holds",
    arguments: ["padded-length", "padded-content"])
  func fakes(_ variant: String) async throws {
    let run = try await BuiltProgram.fakes.finished(["check", variant, "--isa", "portable", "--json"])
    #expect(run.code == 1)
    #expect(run.errors.contains("failed: \(variant)"))
    let report = try JSONValue(parsing: run.output, file: "check")
    let failed = report["variants"].arrayValue.flatMap { $0["checks"].arrayValue }
      .filter { $0["verdict"].stringValue == "failed" }
    let padding = failed.filter { $0["group"].stringValue == "padding" }.compactMap {
      $0["quantity"].stringValue
    }
    #expect(padding.contains(variant == "padded-length" ? "length, output" : "bits"))
  }

  @Test("rotations with NaN or infinities are refused in one line", arguments: ["apply", "mask"])
  func rotations(_ command: String) throws {
    try write("q.npy", [1, 2, 40, 8])
    var values = try Tensor.normal([2, 8, 4, 2], key: RandomKey(seed: 4)).array()
    (values[5], values[17]) = (.nan, .infinity)
    try NpyArray(values, shape: [2, 8, 4, 2]).write(to: path("R.npy"))
    let files = command == "apply" ? ["--v", "q.npy", "--out", "o.npy"] : ["--out", "o.npy"]
    let run = try BuiltProgram.attnlab.run(
      [command, "lsh", "--q", "q.npy", "--rotations", "R.npy", "--set", "buckets=4"] + files,
      in: scratch.path)
    #expect(run.code == 2)
    #expect(run.errorLines.count == 1)
    #expect(
      run.errors.contains("R.npy: element [0, 0, 2, 1] is nan in single precision; finite numbers are needed")
    )
    #expect(!FileManager.default.fileExists(atPath: path("o.npy")))
  }

  @Test("lsh gives a sequence in a padded batch what it gives alone, and -1 for padding's buckets")
  func apply() throws {
    try write("q.npy", [1, 2, 40, 8])
    try write("v.npy", [1, 2, 40, 8])
    let (q, v) = (try NpyArray(contentsOf: path("q.npy")), try NpyArray(contentsOf: path("v.npy")))
    func padded(_ array: NpyArray, _ filler: Float) throws -> NpyArray {
      let own = array.floats, rest = [Float](repeating: filler, count: 60 * 8)
      var values: [Float] = []
      for head in 0..<2 { values += own[head * 320..<(head + 1) * 320] + rest }
      return NpyArray(values, shape: [1, 2, 100, 8])
    }
    try padded(q, 7).write(to: path("qp.npy"))
    try padded(v, 9).write(to: path("vp.npy"))
    let alone = try BuiltProgram.attnlab.run(
      ["apply", "lsh", "--q", "q.npy", "--v", "v.npy", "--out", "o.npy", "--set", "chunk=8"], in: scratch.path
    )
    let long = try BuiltProgram.attnlab.run(
      [
        "apply", "lsh", "--q", "qp.npy", "--v", "vp.npy", "--out", "op.npy", "--set", "chunk=8",
        "--key-lengths", "40", "--buckets", "b.npy",
      ], in: scratch.path)
    #expect(alone.code == 0 && long.code == 0, "\(alone.errors)\(long.errors)")
    let (short, whole) = (
      try NpyArray(contentsOf: path("o.npy")).floats, try NpyArray(contentsOf: path("op.npy")).floats
    )
    let buckets = try NpyArray(contentsOf: path("b.npy")).doubles
    for head in 0..<2 {
      let first = head * 800
      let valid = Array(whole[first..<first + 320]), behind = whole[first + 320..<first + 800]
      #expect(valid == Array(short[head * 320..<(head + 1) * 320]))
      #expect(behind.allSatisfy { $0 == 0 })
      for round in 0..<4 {
        let start = (head * 4 + round) * 100
        #expect(buckets[start..<start + 40].allSatisfy { $0 >= 0 })
        #expect(buckets[start + 40..<start + 100].allSatisfy { $0 == -1 })
      }
    }
  }

  @Test("a query behind the key length whose scores overflow is padding, and apply says so")
  func overflowingPadding() throws {
    let sizes = [1, 1, 6, 4]
    var values = try Tensor.normal(sizes, key: RandomKey(seed: 5)).array()
    try NpyArray(values, shape: sizes).write(to: path("k.npy"))
    for element in 16..<24 { values[element] = 3e38 }
    try NpyArray(values, shape: sizes).write(to: path("q.npy"))
    let call = ["apply", "full", "--q", "q.npy", "--k", "k.npy", "--v", "k.npy", "--out", "o.npy"]
    let padded = try BuiltProgram.attnlab.run(call + ["--key-lengths", "4"], in: scratch.path)
    #expect(padded.code == 0)
    #expect(
      padded.errorLines == [
        "note: query 4 (batch 0, head 0) and 1 more have scores beyond single precision; --key-lengths makes padding of "
          + "such rows: output 0, log-sum-exp −∞"
      ])
    #expect(try NpyArray(contentsOf: path("o.npy")).floats[16..<24].allSatisfy { $0 == 0 })
    let whole = try BuiltProgram.attnlab.run(call, in: scratch.path)
    #expect(whole.code == 2 && whole.errors.contains("the score of query 4"))
  }

  @Test("ATTNLAB_BF16 forces the road of bfloat16; another word is refused")
  func road() throws {
    let wrong = try BuiltProgram.attnlab.run("list", environment: ["ATTNLAB_BF16": "fast"])
    #expect(wrong.code == 2)
    #expect(
      wrong.errorLines == ["attnlab list: ATTNLAB_BF16: fast is no road; it takes products or upconvert"])
    let doctor = try BuiltProgram.attnlab.run(["doctor", "--json", "--threads", "1"])
    let report = try JSONValue(parsing: doctor.output, file: "doctor")["bfloat16"]
    let chosen = try #require(report["road"].stringValue)
    #expect(report["reason"].stringValue?.isEmpty == false)
    try write("q.npy", [1, 2, 70, 16])
    func output(_ environment: [String: String]) throws -> [Float] {
      let run = try BuiltProgram.attnlab.run(
        [
          "apply", "full", "--q", "q.npy", "--k", "q.npy", "--v", "q.npy", "--out", "o.npy", "--precision",
          "bfloat16",
        ], in: scratch.path, environment: environment)
      #expect(run.code == 0, "\(run.errors)")
      return try NpyArray(contentsOf: path("o.npy")).floats
    }
    let upConverted = try output(["ATTNLAB_BF16": "upconvert"])
    #expect(["products", "upconvert"].contains(chosen))
    // What `apply` writes does not depend on how busy the machine was when it asked which road is faster.
    #expect(try output([:]) == upConverted)
    guard InstructionSet.default.hasBFloat16Products else { return }
    #expect(try output(["ATTNLAB_BF16": "products"]) != upConverted, "weights are rounded on one road alone")
    let forced = try BuiltProgram.attnlab.run(
      ["doctor", "--threads", "1"], environment: ["ATTNLAB_BF16": "upconvert"])
    #expect(forced.output.contains("bfloat16 road     upconvert: ATTNLAB_BF16 says so"))
  }

  @Test("a run notes the road of its bfloat16 cells, and its fractions are of that road's peak")
  func run() throws {
    let preset = try scratch.write(
      "p.yaml",
      """
      title: T
      question: Q
      warmup: 0
      repeats: 1
      experiments:
        - name: a
          variants: [full]
          n: 64
          head_dim: 16
          precision: bfloat16
          pass: forward
      """)
    let run = try BuiltProgram.attnlab.run(
      ["run", preset, "--out", path("r")], environment: ["ATTNLAB_BF16": "upconvert"])
    #expect(run.code == 0, "\(run.errors)")
    let text = try String(contentsOfFile: path("r/environment.json"), encoding: .utf8)
    let session = try #require(
      JSONValue(parsing: text, file: "environment.json")["sessions"].arrayValue.first)
    #expect(session["bfloat16"]["road"].stringValue == "upconvert")
    #expect(session["peaks"].arrayValue.map { $0["precision"].stringValue } == ["float32"])
  }
}
