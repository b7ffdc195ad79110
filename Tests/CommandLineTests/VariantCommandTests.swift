import ArrayFiles
import Attention
import AttentionCore
import Basics
import Foundation
import LabTestSupport
import Tensors
import Testing

@testable import AttentionLab

/// `apply`, `mask` and `check` as a user runs them: files in, files out, exact texts.
@Suite struct VariantCommandTests {
  let scratch: Scratch
  var folder: URL { URL(fileURLWithPath: scratch.path) }

  init() throws {
    scratch = try Scratch()
    let arrays: [(String, [Int])] = [
      ("q", [2, 4, 20, 8]), ("k", [2, 2, 20, 8]), ("v", [2, 2, 20, 6]), ("do", [2, 4, 20, 6]),
      ("long", [2, 2, 33, 8]),
      ("heads", [2, 3, 20, 8]), ("flat", [20, 8]),
    ]
    for (name, shape) in arrays {
      try NpyArray(try Tensor.normal(shape, key: RandomKey(seed: 5)(name))).write(to: path(name))
    }
    try NpyArray([Int32](repeating: 1, count: 4), shape: [1, 1, 2, 2], as: .int32).write(to: path("whole"))
    try NpyArray([Float(1), .nan], shape: [1, 1, 2, 1]).write(to: path("nan"))
    try Data("hello".utf8).write(to: URL(fileURLWithPath: path("text")))
  }

  func path(_ name: String) -> String { folder.appendingPathComponent(name + ".npy").path }

  /// Runs the program as a user does.
  func attnlab(_ arguments: String...) throws -> (status: Int32, output: String, errors: String) {
    try run(arguments)
  }

  func run(_ arguments: [String]) throws -> (status: Int32, output: String, errors: String) {
    let result = try BuiltProgram.attnlab.run(arguments, in: folder.path)
    return (result.code, result.output, result.errors)
  }

  @Test(
    "apply rounds q, k and v to bfloat16 once, and writes float32",
    arguments: ["full", "full-materialized", "lsh"])
  func bfloat16(variant: String) throws {
    let more = variant == "lsh" ? ["--set", "shared_query_key=false", "--set", "buckets=2"] : []
    func apply(
      _ names: [String], _ out: String, _ flags: [String], road: String? = nil
    ) throws -> [Double] {
      let inputs = zip(["--q", "--k", "--v"], names).flatMap { [$0, path($1)] }
      let run = try BuiltProgram.attnlab.run(
        ["apply", variant] + inputs + ["--out", path(out)] + more + flags, in: folder.path,
        environment: road.map { ["ATTNLAB_BF16": $0] } ?? [:])
      #expect(run.code == 0, "\(run.errors)")
      return try NpyArray(contentsOf: path(out)).doubles
    }
    for name in ["q", "k", "v"] {
      let stored = try NpyArray(contentsOf: path(name)).tensor().converted(to: .bfloat16)
      try NpyArray(stored).write(to: path(name + "16"))
    }
    let result = try apply(["q", "k", "v"], "half", ["--precision", "bfloat16"])
    #expect(try apply(["q16", "k16", "v16"], "again", ["--precision", "bfloat16"]) == result)
    // No measurement of this machine decides about bits: of two processes one might have found it busy.
    let upconverted = try apply(["q", "k", "v"], "road", ["--precision", "bfloat16"], road: "upconvert")
    #expect(upconverted == result)
    func distance(_ a: [Double], _ b: [Double]) -> Double {
      let norm = b.reduce(0) { $0 + $1 * $1 }
      return (zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } / norm).squareRoot()
    }
    // From the rounded inputs by the rounding of weights at most; from the given ones by that of the inputs too.
    #expect(distance(result, try apply(["q16", "k16", "v16"], "wide", [])) < 0x1p-8)
    let whole = distance(result, try apply(["q", "k", "v"], "exact", []))
    #expect(variant == "lsh" || (whole > 1e-4 && whole < 0x1p-6))
  }

  @Test("apply writes output, LSE and gradients that the reference confirms")
  func apply() throws {
    let run = try attnlab(
      "apply", "sliding-window", "--q", "q.npy", "--k", "k.npy", "--v", "v.npy", "--out", "o.npy", "--lse",
      "lse.npy",
      "--causal", "--set", "left=5", "--grad-out", "do.npy", "--dq", "dq.npy", "--dk", "dk.npy", "--dv",
      "dv.npy")
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.errors.isEmpty)
    #expect(
      run.output == """
        o.npy: float32 [2, 4, 20, 6]
        lse.npy: float32 [2, 4, 20]
        dq.npy: float32 [2, 4, 20, 8]
        dk.npy: float32 [2, 2, 20, 8]
        dv.npy: float32 [2, 2, 20, 6]

        """)
    let shape = try AttentionShape(
      batch: 2, queryHeads: 4, keyHeads: 2, queryLength: 20, headDim: 8, valueDim: 6, isCausal: true)
    func wide(_ name: String) throws -> [Double] { try NpyArray(contentsOf: path(name)).doubles }
    let definition = SoftmaxDefinition(
      shape: shape, multiplicity: { _, _, i, j in j <= i && j >= i - 5 ? 1 : 0 })
    let inputs = DefinitionInputs(query: try wide("q"), key: try wide("k"), value: try wide("v"))
    let forward = definition.forward(inputs)
    let gradient = definition.backward(try wide("do"), inputs)
    for (name, exact) in [
      ("o", forward.output), ("lse", forward.lse), ("dq", gradient.query), ("dk", gradient.key),
      ("dv", gradient.value),
    ] {
      let error = zip(try wide(name), exact).map { abs($0 - $1) }.max() ?? .infinity
      #expect(error < 1e-5, "\(name): \(error)")
    }
  }

  @Test("float64 and float16 arrays are taken, and JSON says what was written")
  func otherTypes() throws {
    let q = try NpyArray(contentsOf: path("q"))
    try NpyArray(q.doubles, shape: q.shape).write(to: path("q64"))
    try NpyArray(q.floats, shape: q.shape, as: .float16).write(to: path("q16"))
    for name in ["q64", "q16"] {
      let run = try attnlab(
        "apply", "full", "--q", "\(name).npy", "--k", "k.npy", "--v", "v.npy", "--out", "o.npy", "--json")
      #expect(run.status == 0, "\(run.errors)")
      let json = try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any]
      let written = try #require(json?["written"] as? [[String: Any]])
      #expect(written.count == 1 && written[0]["type"] as? String == "float32")
      #expect(written[0]["shape"] as? [Int] == [2, 4, 20, 6])
    }
  }

  @Test("rotations, buckets and the mask of given arrays fit together")
  func hashing() throws {
    try NpyArray(try Tensor.normal([4, 8, 2, 2], key: RandomKey(seed: 2))).write(to: path("R"))
    let settings = ["--set", "buckets=4", "--set", "hashes=2", "--set", "chunk=8", "--rotations", "R.npy"]
    let applied = ["apply", "lsh", "--q", "q.npy", "--v", "q.npy", "--out", "o.npy", "--buckets", "b.npy"]
    let run = try run(applied + settings)
    #expect(run.status == 0, "\(run.errors)")
    let buckets = try NpyArray(contentsOf: path("b"))
    #expect(buckets.type == .int32 && buckets.shape == [2, 4, 2, 20])
    #expect(try #require(buckets.integers).allSatisfy { (0..<4).contains($0) })
    let mask = try self.run(["mask", "lsh", "--q", "q.npy", "--out", "m.npy"] + settings)
    #expect(mask.status == 0, "\(mask.errors)")
    #expect(try NpyArray(contentsOf: path("m")).shape == [2, 4, 20, 20])
  }

  @Test("mask: the array holds multiplicities; JSON has the figures")
  func mask() throws {
    let run = try attnlab(
      "mask", "sliding-window", "--n", "6", "--key-length", "8", "--causal", "--heads", "2", "--set",
      "left=1", "--set",
      "sinks=1", "--out", "m.npy", "--json")
    #expect(run.status == 0, "\(run.errors)")
    let array = try NpyArray(contentsOf: path("m"))
    #expect(array.type == .uint8 && array.shape == [2, 6, 8])
    let expected = (0..<6).flatMap { row in
      (0..<8).map { key -> Int64 in key <= row + 2 && (key == 0 || key >= row + 1) ? 1 : 0 }
    }
    #expect(array.integers == expected + expected)
    let json = try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any]
    #expect(json?["pairs"] as? Int == 36 && json?["heads"] as? Int == 2)
    #expect(json?["density"] as? Double == 36.0 / 96)
  }

  @Test("mask: the picture in the terminal, as SVG and as PNG")
  func pictures() throws {
    let run = try attnlab("mask", "chunked", "--n", "4", "--set", "chunk=2")
    #expect(run.status == 0, "\(run.errors)")
    #expect(
      run.output == """
        ┌────────┐
        │████    │
        │████    │
        │    ████│
        │    ████│
        └────────┘
        chunked chunk=2 before=0 after=0 overlap=0 circular=false
        4 queries × 4 keys, 1 head: density 50 %
        2 tiles, 2 runs of keys, 88 bytes; 1.00 pairs executed for one that counts

        """)
    let svg = try attnlab("mask", "full", "--n", "9", "--causal", "--out", "p.svg")
    #expect(svg.status == 0 && svg.output.hasSuffix("written to p.svg\n"))
    let text = try String(contentsOf: folder.appendingPathComponent("p.svg"), encoding: .utf8)
    #expect(text.hasPrefix("<svg") && text.contains("<path fill=\"#1f4e8c\" d=\"M0 0h1v1H0zM0 1h2v1H0z"))
    let png = try attnlab("mask", "full", "--n", "9", "--out", "p.png")
    #expect(png.status == 0)
    let bytes = try Data(contentsOf: folder.appendingPathComponent("p.png"))
    #expect(Array(bytes.prefix(8)) == [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
    #expect(Array(bytes.suffix(4)) == [0xAE, 0x42, 0x60, 0x82], "the checksum of IEND is well known")
    #expect(bytes.count < 100_000, "\(bytes.count) bytes: a picture is compressed")
  }

  @Test(
    "mask: without --n a length that shows the pattern; where a given one hides it, a line says which does")
  func maskLength() throws {
    let alone = try attnlab("mask", "sliding-window", "--json")
    #expect(alone.output.contains("\"query_length\": 2048,"), "\(alone.output) \(alone.errors)")
    let hidden = try attnlab("mask", "sliding-window", "--n", "64")
    #expect(hidden.output.contains("every pair counts at this length; --n 2048 shows the pattern\n"))
    // Full attention hides nothing.
    let full = try attnlab("mask", "full", "--n", "64", "--causal")
    #expect(full.status == 0 && !full.output.contains("every pair counts"))
    let keys = try attnlab("mask", "full", "--key-length", "9", "--json")
    #expect(keys.output.contains("\"query_length\": 9,"), "\(keys.output)")
  }

  @Test("check: one variant passes, and JSON lists every check")
  func check() throws {
    let run = try attnlab("check", "chunked", "--quick", "--set", "chunk=16", "--json")
    #expect(run.status == 0, "\(run.errors)")
    let json = try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any]
    let variant = try #require((json?["variants"] as? [[String: Any]])?.first)
    #expect(variant["passed"] as? Bool == true)
    #expect(try #require(variant["checks"] as? [[String: Any]]).count > 100)
    let page = try attnlab("check", "full", "--quick", "--isa", "portable")
    #expect(page.output.hasPrefix("full: passed, "))
  }

  static let applyArrays = ["--q", "q.npy", "--k", "k.npy", "--v", "v.npy", "--out", "o.npy"]
  static let wrong: [([String], String)] = [
    (
      ["apply", "fulll"] + applyArrays,
      "attnlab apply: variant: fulll is not allowed; it takes one of "
        + Catalog.standard.ids.joined(separator: ", ") + " (did you mean full?)"
    ),
    (
      ["apply", "sliding-window", "--set", "lefft=5"] + applyArrays,
      "attnlab apply: lefft: an unknown parameter is not allowed; it takes left, right, dilation, sinks, score, untie, clamp_length, bias, bias_buckets, bias_distance, sink, softcap (did you mean left?)"
    ),
    (
      ["apply", "full", "--q", "no.npy", "--k", "k.npy", "--v", "v.npy", "--out", "o.npy"],
      "attnlab apply: no.npy: cannot be read: No such file or directory"
    ),
    (
      ["apply", "full", "--q", "text.npy", "--k", "k.npy", "--v", "v.npy", "--out", "o.npy"],
      "attnlab apply: text.npy: not a NumPy array file: it does not start with \\x93NUMPY"
    ),
    (
      ["apply", "full", "--q", "flat.npy", "--k", "k.npy", "--v", "v.npy", "--out", "o.npy"],
      "attnlab apply: flat.npy: shape [20, 8]; q takes [batch, heads, n, d], none of them 0"
    ),
    (
      ["apply", "full", "--q", "whole.npy", "--k", "k.npy", "--v", "v.npy", "--out", "o.npy"],
      "attnlab apply: whole.npy: q holds int32; it takes bfloat16, float16, float32 or float64"
    ),
    (
      ["apply", "full", "--q", "nan.npy", "--k", "k.npy", "--v", "v.npy", "--out", "o.npy"],
      "attnlab apply: nan.npy: element [0, 0, 1, 0] is nan in single precision; finite numbers are needed"
    ),
    (
      ["apply", "full", "--q", "q.npy", "--k", "v.npy", "--v", "v.npy", "--out", "o.npy"],
      "attnlab apply: v.npy: shape [2, 2, 20, 6] does not fit q [2, 4, 20, 8]: batch and head dim (axes 0 and 3) must agree"
    ),
    (
      ["apply", "full", "--q", "q.npy", "--k", "long.npy", "--v", "v.npy", "--out", "o.npy"],
      "attnlab apply: v.npy: shape [2, 2, 20, 6] does not fit k [2, 2, 33, 8]: axes 0, 1 and 2 must agree"
    ),
    (
      ["apply", "full", "--q", "q.npy", "--k", "heads.npy", "--v", "heads.npy", "--out", "o.npy"],
      "attnlab apply: key heads: 3 is not allowed; it takes a divisor of the 4 heads"
    ),
    (
      ["apply", "full", "--q", "q.npy", "--v", "v.npy", "--out", "o.npy"], "attnlab apply: --k: full needs it"
    ),
    (
      ["apply", "full", "--dq", "dq.npy"] + applyArrays,
      "attnlab apply: --grad-out: needed by --dq, --dk, --dv and --gradient"
    ),
    (
      ["apply", "full", "--grad-out", "do.npy"] + applyArrays,
      "attnlab apply: --grad-out: give --dq, --dk, --dv or --gradient to say where the gradients go"
    ),
    (
      ["apply", "full", "--grad-out", "q.npy", "--dq", "dq.npy"] + applyArrays,
      "attnlab apply: q.npy: shape [2, 4, 20, 8]; the output's shape [2, 4, 20, 6] is needed"
    ),
    (
      ["apply", "full", "--lse", "./o.npy"] + applyArrays,
      "attnlab apply: --lse ./o.npy: --out writes to the same file; two results need two files"
    ),
    (
      ["apply", "full", "--q", "q.npy", "--k", "k.npy", "--v", "v.npy", "--out", "./q.npy"],
      "attnlab apply: --out ./q.npy: this would replace the input q.npy; name another file"
    ),
    (
      ["apply", "full", "--scale", "1e308"] + applyArrays,
      "attnlab apply: scale: 1e+308 is not allowed; it takes a finite number of at most 3.4e38 in magnitude"
    ),
    (
      ["apply", "full", "--scale", "3e38"] + applyArrays,
      "attnlab apply: the score of query 0 and key "
    ),
    (
      ["apply", "full", "--buckets", "b.npy"] + applyArrays,
      "attnlab apply: --export buckets: full shows nothing of that name here; it takes none"
    ),
    (
      ["apply", "full", "--key-lengths", "20;7"] + applyArrays,
      "attnlab apply: --key-lengths 20;7: it takes whole numbers separated by commas, such as 100,64"
    ),
    (
      ["apply", "full", "--key-lengths", "20"] + applyArrays,
      "attnlab apply: key lengths: [20] is not allowed; it takes 2 whole numbers from 0 to 20"
    ),
    (
      ["apply", "full", "--q", "q.npy", "--k", "k.npy", "--v", "v.npy", "--out", "no/o.npy"],
      "attnlab apply: no/o.npy: cannot be written: No such file or directory"
    ),
    (
      ["apply", "full", "--precision", "half"] + applyArrays,
      "attnlab apply: --precision half: it takes one of float32, bfloat16"
    ),
    (
      ["mask", "full", "--n", "0"],
      "attnlab mask: query length: 0 is not allowed; it takes a whole number of at least 1"
    ),
    (
      ["mask", "full", "--n", "9", "--out", "m.jpg"],
      "attnlab mask: --out m.jpg: it takes a name ending in .svg, .png or .npy"
    ),
    (
      ["mask", "lsh", "--n", "9"],
      "attnlab mask: --q: the pattern of lsh depends on the data; give q (and k) as .npy files"
    ),
    (["mask", "full", "--n", "9", "--head", "1"], "attnlab mask: --head 1: it takes 0, the only head"),
    (
      ["mask", "full", "--n", "100000"],
      "attnlab mask: --n 100000: 10000000000 pairs are too many to list; it takes up to 2147483648"
    ),
    (["check", "--set", "left=4"], "attnlab check: --set: it takes a variant, as in attnlab check full"),
    (
      ["check", "chunked", "--set", "chunk=zero"],
      "attnlab check: chunk: zero is not allowed; it takes a whole number from 1 to 16777216"
    ),
  ]

  @Test("wrong usage and bad input: one line, exit code 2, nothing written", arguments: wrong)
  func errors(_ arguments: [String], _ line: String) throws {
    let run = try run(arguments)
    #expect(run.status == 2)
    #expect(run.output.isEmpty)
    #expect(run.errors.hasPrefix(line) && run.errors.filter(\.isNewline).count == 1, "\(run.errors)")
    #expect(!FileManager.default.fileExists(atPath: path("o")))
  }

  @Test("help shows what the command does, with examples", arguments: ["apply", "mask", "check"])
  func help(_ command: String) throws {
    let run = try attnlab(command, "--help")
    #expect(run.status == 0 && run.errors.isEmpty)
    #expect(run.output.contains("USAGE: attnlab \(command)"))
    #expect(run.output.contains("Examples:\n  attnlab \(command)"))
  }
}
