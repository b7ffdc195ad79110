import Basics
import Foundation
import LabTestSupport
import Mutation
import Tensors
import Testing

@testable import ArrayFiles

/// Written by the reference implementation (Python `safetensors` 0.8.0, `safetensors.torch.save`).
private enum Fixture {
  static let singles = """
    EAEAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJmb3JtYXQiOiJwdCJ9LCJhLmYzMiI6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpbMV0sImRhdGFfb2Zm\
    c2V0cyI6WzAsNF19LCJiLmYzMiI6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpbMiwzXSwiZGF0YV9vZmZzZXRzIjpbNCwyOF19LCJlbXB0eSI6eyJk\
    dHlwZSI6IkYzMiIsInNoYXBlIjpbMCwzXSwiZGF0YV9vZmZzZXRzIjpbMjgsMjhdfSwic2NhbGFyIjp7ImR0eXBlIjoiRjMyIiwic2hhcGUiOltd\
    LCJkYXRhX29mZnNldHMiOlsyOCwzMl19fSAgIAAA4EAAAMA/AAAQwOZVIwEAAIB/zczMPQAAAIAAACBA
    """
  static let mixed = """
    wAEAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyLQutC70Y7RhyI6ImEgXCJxdW90ZWRcIiBcXCBsaW5lXG5uZXh0In0sImkiOnsiZHR5cGUiOiJJNjQi\
    LCJzaGFwZSI6WzIsMV0sImRhdGFfb2Zmc2V0cyI6WzAsMTZdfSwiZCI6eyJkdHlwZSI6IkY2NCIsInNoYXBlIjpbMl0sImRhdGFfb2Zmc2V0cyI6\
    WzE2LDMyXX0sImoiOnsiZHR5cGUiOiJJMzIiLCJzaGFwZSI6WzJdLCJkYXRhX29mZnNldHMiOlszMiw0MF19LCJnIjp7ImR0eXBlIjoiQkYxNiIs\
    InNoYXBlIjpbNF0sImRhdGFfb2Zmc2V0cyI6WzQwLDQ4XX0sImgiOnsiZHR5cGUiOiJGMTYiLCJzaGFwZSI6WzVdLCJkYXRhX29mZnNldHMiOls0\
    OCw1OF19LCJ1Ijp7ImR0eXBlIjoiVTgiLCJzaGFwZSI6WzNdLCJkYXRhX29mZnNldHMiOls1OCw2MV19LCJvIjp7ImR0eXBlIjoiQk9PTCIsInNo\
    YXBlIjpbMl0sImRhdGFfb2Zmc2V0cyI6WzYxLDYzXX19ICAgAQAAAAAAAED7/////////1VVVVVVVdU/nHUAiDzkN34AAACABwAAAIA/SUCW/gEA\
    ADz/ewEAAH5UtQD/AwEA
    """

  static func data(_ text: String) throws -> Data { try #require(Data(base64Encoded: text)) }
}

private func inFolder(_ body: (String) throws -> Void) throws {
  let scratch = try Scratch()
  try body(scratch.path)
}

@Suite struct SafetensorsTests {
  @Test func readsWhatTheReferenceImplementationWrote() throws {
    let singles = try Safetensors(data: Fixture.data(Fixture.singles), path: "singles")
    #expect(singles.metadata == ["format": "pt"])
    #expect(singles.tensors["a.f32"]?.array() == [7])
    let b = try singles.tensor("b.f32", shape: [2, 3], path: "singles").array()
    #expect(b == [1.5, -2.25, 3e-38, .infinity, 0.1, 0] && b[5].sign == .minus)
    #expect(singles.tensors["empty"]?.shape == [0, 3])
    #expect(singles.tensors["scalar"]?.shape == [] && singles.tensors["scalar"]?.array() == [2.5])

    let mixed = try Safetensors(data: Fixture.data(Fixture.mixed), path: "mixed")
    #expect(mixed.metadata == ["ключ": "a \"quoted\" \\ line\nnext"])
    let half = try #require(mixed.tensors["h"]?.array())
    #expect(
      half[0] == 1 && half[1] == 65504 && half[2] == 0x1p-24 && half[3].isNaN && half[4] == -0.333_007_812_5)
    #expect(
      mixed.tensors["g"]?.array() == [1, 3.140_625, -9.969_209_968_386_869e+37, Float(bitPattern: 0x1_0000)])
    #expect(mixed.arrays["d"]?.doubles == [1.0 / 3, 1e300])
    #expect(mixed.tensors["d"]?.array() == [Float(1.0 / 3), .infinity])
    #expect(mixed.arrays["i"]?.integers == [(1 << 62) + 1, -5])
    #expect(mixed.arrays["i"]?.shape == [2, 1])
    #expect(mixed.arrays["j"]?.integers == [-2_147_483_648, 7])
    #expect(mixed.arrays["u"]?.integers == [0, 255, 3])
    #expect(mixed.arrays["o"]?.integers == [1, 0] && mixed.arrays["o"]?.type == .bool)
    #expect(mixed.tensors["i"] == nil && mixed.tensors["o"] == nil)
    #expect(mixed.names == ["d", "g", "h", "i", "j", "o", "u"])
  }

  /// The same bytes as the reference implementation's for the same contents.
  @Test func writesWhatTheReferenceImplementationWrites() throws {
    try inFolder { folder in
      let path = folder + "/m.safetensors"
      let singles = try Fixture.data(Fixture.singles)
      try Safetensors(data: singles, path: "singles").write(to: path)
      #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == singles)
      // Half types are read into single precision: leave them out, the rest must come back bit for bit.
      var mixed = try Safetensors(data: Fixture.data(Fixture.mixed), path: "mixed")
      for name in ["g", "h"] { mixed.tensors[name] = nil }
      try mixed.write(to: path)
      let again = try Safetensors(contentsOf: path)
      #expect(again.arrays == mixed.arrays && again.metadata == mixed.metadata && again.names == mixed.names)
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: folder) == ["m.safetensors"],
        "nothing is left over")
    }
  }

  @Test(arguments: [SafetensorsType.float32, .float16, .bfloat16])
  func tensorsRoundTripWithinTheirType(type: SafetensorsType) throws {
    try inFolder { folder in
      let x = try Tensor.normal([3, 5, 7], key: RandomKey(seed: 2))
      let path = folder + "/x.safetensors"
      try Safetensors(tensors: ["x": x, "t": x.transposed(0, 2)]).write(to: path, as: type)
      let back = try Safetensors(contentsOf: path)
      let bound: Float = type == .float32 ? 0 : type == .float16 ? 0x1p-11 : 0x1p-8
      for (a, b) in zip(x.array(), try back.tensor("x", shape: [3, 5, 7], path: path).array()) {
        #expect(abs(a - b) <= bound * abs(a) + (type == .float16 ? 0x1p-25 : 0))
      }
      #expect(
        try back.tensor("t", shape: [7, 5, 3], path: path).array()
          == back.tensor("x", shape: [3, 5, 7], path: path).transposed(0, 2).contiguous().array())
      let size = try Data(contentsOf: URL(fileURLWithPath: path)).count
      #expect(size % 2 == 0 && size - 2 * 105 * type.byteCount < 250)
    }
  }

  @Test(arguments: [
    (Float(1), UInt16(0x3F80)), (1.003_906_25, 0x3F80), (1.011_718_75, 0x3F82), (-0.0, 0x8000),
    (.infinity, 0x7F80),
    (3.4e38, 0x7F80), (0x1p-149, 0),
  ])
  func brainPrecisionRoundsToNearestEven(value: Float, bits: UInt16) {
    #expect(BrainPrecision.bits(value) == bits)
  }

  @Test func aNaNStaysOne() {
    let quiet = BrainPrecision.float(BrainPrecision.bits(.nan)), low = Float(bitPattern: 0x7F80_0001)
    #expect(quiet.isNaN && BrainPrecision.float(BrainPrecision.bits(low)).isNaN)
  }

  /// A header text with as many data bytes.
  static func file(_ header: String, dataSize: Int) -> Data {
    let text = Array(header.utf8)
    return Data(
      (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) } + text
        + [UInt8](repeating: 0, count: dataSize))
  }

  static func entry(_ name: String, _ from: Int, _ to: Int, type: String = "F32", shape: String? = nil)
    -> String
  {
    "\"\(name)\":{\"dtype\":\"\(type)\",\"shape\":\(shape ?? "[\((to - from) / 4)]"),\"data_offsets\":[\(from),\(to)]}"
  }

  static let broken: [(String, Int, String)] = [
    ("{\(entry("a", 0, 8)),\(entry("b", 4, 12))}", 12, "b overlaps a"),
    ("{\(entry("a", 0, 8)),\(entry("b", 0, 8))}", 8, "b overlaps a"),
    ("{\(entry("a", 0, 8)),\(entry("b", 12, 16))}", 16, "4 bytes between a and b"),
    ("{\(entry("a", 4, 8))}", 8, "4 bytes between the start and a"),
    ("{\(entry("a", 0, 8))}", 12, "4 bytes after the last tensor"),
    ("{\(entry("a", 0, 16))}", 12, "a ends at byte 16 of 12 bytes of data: the file is truncated"),
    ("{\(entry("a", 0, 8)),\(entry("a", 8, 16))}", 16, "the name a a second time"),
    ("{\(entry("a", 8, 0, shape: "[2]"))}", 8, "data_offsets are no pair of rising whole numbers"),
    ("{\(entry("a", 0, 8, shape: "[3]"))}", 8, "a: F32 [3] takes 12 bytes, its offsets [0, 8] span 8"),
    ("{\(entry("a", 0, 8, shape: "[4611686018427387904,4]"))}", 8, "takes too many bytes"),
    ("{\(entry("a", 0, 8, shape: "[-2]"))}", 8, "a: shape is no list of whole numbers"),
    ("{\(entry("a", 0, 8, shape: "[2.0]"))}", 8, "a: shape is no list of whole numbers"),
    ("{\(entry("a", 0, 8, shape: "[true,2]"))}", 8, "a: shape is no list of whole numbers"),
    ("{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "a: no dtype"),
    ("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "a: shape is no list"),
    ("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "a: data_offsets"),
    ("{\"a\":3}", 0, "a: dtype, shape and data_offsets expected"),
    ("{\"__metadata__\":{\"x\":1}}", 0, "__metadata__: x is no string"),
    ("{\"__metadata__\":[]}", 0, "__metadata__ is no object of strings"), ("[1]", 0, "no JSON object"),
    ("{\"a\":", 0, "the header is no valid JSON: no value at byte 5"), ("{} x", 0, "text after the value"),
    ("{\"a", 0, "a string without end"),
    ("", 0, "no valid JSON"),
    (
      String(repeating: "[", count: 257) + String(repeating: "]", count: 257), 0,
      "the header is JSON that is not read here: more than 256 levels at byte 256"
    ),
    ("{\"\\ud800\":1}", 0, "half a surrogate pair"), ("{\"\\q\":1}", 0, "an unknown escape"),
  ]

  @Test(arguments: broken)
  func aBrokenHeaderIsOneClearLine(header: String, dataSize: Int, part: String) {
    #expect {
      try Safetensors(data: SafetensorsTests.file(header, dataSize: dataSize), path: "m.safetensors")
    } throws: {
      let line = "\($0)"
      return $0 is SafetensorsError && line.hasPrefix("m.safetensors: ") && line.contains(part)
        && !line.contains("\n")
    }
  }

  @Test func brokenFilesAreOneClearLine() throws {
    let whole = try Fixture.data(Fixture.singles)
    func huge(_ length: UInt64) -> Data {
      Data((0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) }) + [0]
    }
    let cases: [(Data, String)] = [
      (Data(), "0 bytes, at least 8 expected"), (whole.prefix(7), "7 bytes"),
      (whole.prefix(100), "truncated"),
      (whole.dropLast(), "truncated"), (whole + [0], "after the last tensor"),
      (huge(.max), "at most 100000000 allowed"),
      (huge(100_000_001), "at most 100000000"), (huge(99_999_999), "truncated"),
    ]
    for (data, part) in cases {
      #expect {
        try Safetensors(data: data, path: "m")
      } throws: {
        "\($0)".contains(part)
      }
    }
    try inFolder { folder in
      for (name, part) in [("/none", "No such file"), ("", "a folder")] {
        #expect {
          try Safetensors(contentsOf: folder + name)
        } throws: {
          "\($0)".contains(part) && "\($0)".contains(folder)
        }
      }
      #expect {
        try Safetensors().write(to: folder + "/missing/m.safetensors")
      } throws: {
        "\($0)".contains("cannot be written: No such file")
      }
    }
  }

  /// Every single-byte change of the header either is refused or leaves a file that is read: never a crash.
  @Test func changedHeadersNeverCrash() throws {
    let whole = try Fixture.data(Fixture.mixed)
    var refused = 0
    var generator = RandomKey(seed: 3).generator()
    for position in 0..<456 {
      var data = whole
      data[data.startIndex + position] = UInt8(generator.integer(below: 256))
      do { _ = try Safetensors(data: data, path: "m") } catch is SafetensorsError { refused += 1 }
    }
    #expect(refused > 250)
  }

  @Test("tensors of other types, and metadata of null, are passed over until they are asked for")
  func otherTypes() throws {
    let header =
      "{\"__metadata__\":{\"format\":null,\"a\":\"b\"},\(Self.entry("x", 0, 8)),"
      + "\(Self.entry("q", 8, 12, type: "F8_E4M3", shape: "[4]")),\(Self.entry("w", 12, 20, type: "I16", shape: "[4]")),"
      + "\(Self.entry("v", 20, 28, type: "U64", shape: "[1]")),\(Self.entry("n", 28, 30, type: "NEW", shape: "[7]"))}"
    let file = try Safetensors(data: Self.file(header, dataSize: 30), path: "m")
    #expect(file.metadata == ["a": "b"])
    #expect(file.tensors["x"]?.array() == [0, 0] && file.arrays["w"]?.integers == [0, 0, 0, 0])
    #expect(file.unread == ["q": "F8_E4M3", "n": "NEW"] && file.arrays["v"]?.type == .uint64)
    for (name, type) in [("q", "F8_E4M3"), ("w", "I16")] {
      #expect(
        throws: SafetensorsError(
          path: "m", problem: "\(name) has type \(type); F32, F16, BF16 or F64 expected")
      ) {
        try file.tensor(name, shape: [4], path: "m")
      }
    }
    let bare = try Safetensors(data: Self.file("{\"__metadata__\":null}", dataSize: 0), path: "m")
    #expect(bare.metadata.isEmpty && bare.names.isEmpty)
  }

  @Test("new names, and two tensors that come to one name")
  func renaming() throws {
    let file = try Safetensors(
      tensors: ["module.a": Tensor(zeros: [1]), "b": Tensor(zeros: [2])],
      arrays: ["module.c": NpyArray([1], shape: [1], as: .int64)])
    func plain(_ name: String) -> String? { name.hasPrefix("module.") ? String(name.dropFirst(7)) : nil }
    let renamed = try file.renamed(path: "m", plain)
    #expect(renamed.names == ["a", "b", "c"] && renamed.tensors["b"]?.shape == [2])
    var twice = file
    twice.tensors["a"] = twice.tensors["b"]
    #expect(throws: SafetensorsError(path: "m", problem: "a and module.a are both a")) {
      try twice.renamed(path: "m", plain)
    }
  }

  @Test(
    "every number of a header at its extremes, and 4000 mutated files: tensors or one line",
    .timeLimit(.minutes(BodyTime.hangLimit)))
  func extremes() throws {
    let time = BodyTime()
    defer { #expect(time.seconds < 60) }
    let text =
      "{\(Self.entry("a", 0, 24, shape: "[2,3]")),\(Self.entry("b", 24, 32, type: "U64", shape: "[1]"))}"
    for (extreme, text) in Mutator.everyNumberExtreme(in: text) {
      expectTensorsOrLine(Self.file(text, dataSize: 32), extreme)
    }
    var mutator = Mutator(seed: 42)
    let whole = try [
      Array(Fixture.data(Fixture.mixed)), Array(Fixture.data(Fixture.singles)),
      Array(Self.file(text, dataSize: 32)),
    ]
    for number in 0..<4000 {
      var bytes = mutator.mutate(whole[number % whole.count])
      // Half of them keep a true length, so that the mutated text is parsed at all.
      if number % 2 == 0, bytes.count > 8 {
        bytes.replaceSubrange(0..<8, with: whole[number % whole.count][0..<8])
      }
      expectTensorsOrLine(Data(bytes), "mutation \(number) of seed 42")
    }
  }

  private func expectTensorsOrLine(_ file: Data, _ what: String) {
    do {
      let found = try Safetensors(data: file, path: "m")
      #expect(found.tensors.values.reduce(0) { $0 + $1.count } <= file.count, "\(what)")
    } catch {
      #expect(error is SafetensorsError && !"\(error)".contains("\n"), "\(what): \(error)")
    }
  }

  @Test func shapesAreChecked() throws {
    let file = try Safetensors(data: Fixture.data(Fixture.singles), path: "m")
    #expect {
      try file.tensor("b.f32", shape: [3, 2], path: "m")
    } throws: {
      "\($0)" == "m: b.f32 has shape [2, 3]; [3, 2] expected"
    }
    #expect {
      try file.tensor("c", shape: [3, 2], path: "m")
    } throws: {
      "\($0)" == "m: no tensor c; it has a.f32, b.f32, empty, scalar"
    }
  }
}
