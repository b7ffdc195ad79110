import Foundation
import LabTestSupport
import Mutation
import Tensors
import Testing

@testable import ArrayFiles

/// `.npy` files: what NumPy writes is read to the bit, and what is no array ends in one line.
@Suite struct NpyTests {
  /// A file as NumPy lays it out: magic, version, header length, dictionary, data.
  static func file(_ dictionary: String, _ data: [UInt8], version: UInt8 = 1) -> [UInt8] {
    let text = Array(dictionary.utf8) + [UInt8(ascii: "\n")]
    let length = (0..<(version == 1 ? 2 : 4)).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
    return [0x93] + Array("NUMPY".utf8) + [version, 0] + length + text + data
  }

  static func header(_ code: String, _ shape: String, fortran: Bool = false) -> String {
    "{'descr': '\(code)', 'fortran_order': \(fortran ? "True" : "False"), 'shape': \(shape), }"
  }

  static func bytes<T: FixedWidthInteger>(_ values: [T], big: Bool = false) -> [UInt8] {
    values.flatMap { value in withUnsafeBytes(of: big ? value.bigEndian : value.littleEndian) { Array($0) } }
  }

  @Test("single precision, both byte orders, versions 1 to 3", arguments: [UInt8(1), 2, 3], [false, true])
  func float32(version: UInt8, big: Bool) throws {
    let values: [Float] = [1.5, -2.25, .greatestFiniteMagnitude, Float.leastNonzeroMagnitude, 0, -.infinity]
    let data = Self.bytes(values.map(\.bitPattern), big: big)
    let array = try NpyArray(
      bytes: Self.file(Self.header(big ? ">f4" : "<f4", "(2, 3)"), data, version: version), path: "a.npy")
    #expect(array.shape == [2, 3])
    #expect(array.type == .float32)
    #expect(array.floats.map(\.bitPattern) == values.map(\.bitPattern))
  }

  @Test("every other type")
  func types() throws {
    func read(_ code: String, _ data: [UInt8], _ shape: String = "(2,)") throws -> NpyArray {
      try NpyArray(bytes: Self.file(Self.header(code, shape), data), path: "a.npy")
    }
    #expect(try read("<f2", Self.bytes([UInt16(0x3C00), 0xC500])).floats == [1, -5])
    #expect(
      try read("<f8", Self.bytes([Double(1.1).bitPattern, Double(-3).bitPattern])).doubles == [1.1, -3])
    #expect(
      try read("<f8", Self.bytes([Double(1.1).bitPattern, Double(1e300).bitPattern])).floats == [
        1.1, .infinity,
      ])
    #expect(try read("<i4", Self.bytes([Int32(-7), .max])).integers == [-7, Int64(Int32.max)])
    #expect(try read(">i8", Self.bytes([Int64.min, 9], big: true)).integers == [.min, 9])
    #expect(try read("|u1", [0, 255]).integers == [0, 255])
    #expect(try read("|b1", [0, 3]).integers == [0, 1])
    #expect(try read("|i1", [0x80, 0x7F]).integers == [-128, 127])
    #expect(try read("<i2", Self.bytes([Int16.min, 7])).integers == [-32768, 7])
    #expect(try read(">u2", Self.bytes([UInt16.max, 7], big: true)).integers == [65535, 7])
    #expect(try read("<u4", Self.bytes([UInt32.max, 7])).integers == [4_294_967_295, 7])
    #expect(try read("<u8", Self.bytes([UInt64(Int64.max), 7])).integers == [.max, 7])
    // What ml_dtypes writes for bfloat16: "<V2", and older versions "|V2".
    for code in ["<V2", "|V2"] {
      let array = try read(code, Self.bytes([UInt16(0x3FC0), 0xC000]))
      #expect(array.floats == [1.5, -2] && array.type == .bfloat16 && array.type.isReal)
      #expect(array.type.title == "bfloat16 (written as V2)")
    }
    #expect(try read("<f4", Self.bytes([Float(4).bitPattern]), "()").shape == [])
    #expect(try read("<f4", [], "(0, 5)").floats == [])
  }

  @Test("Fortran order becomes row-major")
  func fortran() throws {
    // a[i][j][k] = 100 i + 10 j + k, shape (2, 3, 2): the first axis is the fastest in the file.
    var columnMajor: [Int32] = []
    for k in 0..<2 { for j in 0..<3 { for i in 0..<2 { columnMajor.append(Int32(100 * i + 10 * j + k)) } } }
    var rowMajor: [Int64] = []
    for i in 0..<2 { for j in 0..<3 { for k in 0..<2 { rowMajor.append(Int64(100 * i + 10 * j + k)) } } }
    let file = Self.file(Self.header("<i4", "(2, 3, 2)", fortran: true), Self.bytes(columnMajor))
    let array = try NpyArray(bytes: file, path: "a.npy")
    #expect(array.integers == rowMajor)
  }

  @Test("what is written is read back, and the data starts at a multiple of 64")
  func roundTrip() throws {
    let arrays = [
      NpyArray([Float](arrayLiteral: 1, -0.0, .nan, 3.25), shape: [2, 2]),
      NpyArray([Float](arrayLiteral: 1, 0.5, 65504, 6e-8), shape: [4, 1], as: .float16),
      NpyArray([1.0 / 3, 2, 3], shape: [3]), NpyArray([Int32(-1), 5], shape: [1, 2], as: .int32),
      NpyArray([Int64.max], shape: [], as: .int64), NpyArray([UInt8(0), 255], shape: [2], as: .uint8),
      NpyArray([Float(1.5), -2], shape: [2], as: .bfloat16), NpyArray([-3, 4], shape: [2], as: .int8),
      NpyArray([65535, 4], shape: [2], as: .uint16), NpyArray([Int64.max, 4], shape: [2], as: .uint64),
    ]
    for array in arrays {
      let bytes = array.fileBytes
      #expect((bytes.count - array.count * array.type.byteCount) % 64 == 0)
      let again = try NpyArray(bytes: bytes, path: "a.npy")
      #expect(again.shape == array.shape && again.type == array.type)
      #expect(again.fileBytes == bytes)
    }
  }

  @Test("half precision rounds to nearest, ties to even, and every half comes back")
  func half() {
    for bits in UInt16.min...UInt16.max where HalfPrecision.float(bits).isFinite {
      #expect(HalfPrecision.bits(HalfPrecision.float(bits)) == bits)
    }
    #expect(HalfPrecision.bits(1 + 0x1p-11) == 0x3C00)
    #expect(HalfPrecision.bits(1 + 0x1.8p-10) == 0x3C02)
    #expect(HalfPrecision.bits(65519) == 0x7BFF)
    #expect(HalfPrecision.bits(65520) == 0x7C00)
    #expect(HalfPrecision.bits(0x1p-25) == 0)
    #expect(HalfPrecision.bits(-0x1.8p-25) == 0x8001)
    #expect(HalfPrecision.float(0x7C01).isNaN && HalfPrecision.float(0xFC00) == -.infinity)
  }

  static let broken: [(String, [UInt8], String)] = [
    ("no array", Array("hello, world".utf8), "not a NumPy array file: it does not start with \\x93NUMPY"),
    ("empty", [], "not a NumPy array file: it does not start with \\x93NUMPY"),
    (
      "complex", file(header("<c8", "(1,)"), []),
      "element type '<c8' is not supported; it takes bfloat16, float16, float32, float64, int8, int16, int32, int64, "
        + "uint8, uint16, uint32, uint64 or bool"
    ),
    (
      "short", file(header("<f4", "(2, 512)"), [UInt8](repeating: 0, count: 100)),
      "truncated: 4096 bytes of data expected for float32 [2, 512], 100 found"
    ),
    (
      "future", file(header("<f4", "(1,)"), [0, 0, 0, 0], version: 1).enumerated().map { $0 == 6 ? 4 : $1 },
      "format version 4.0 is not supported; it takes versions 1 to 3"
    ),
    (
      "cut", Array(file(header("<f4", "(1,)"), []).prefix(40)),
      "truncated: a header of 58 bytes expected, 30 found"
    ),
    (
      "huge", file(header("<f4", "(4611686018427387904, 4)"), []),
      "shape [4611686018427387904, 4] is too large"
    ),
    ("negative", file(header("<f4", "(-1,)"), []), "shape (-1,) is not a list of extents"),
    ("no tuple", file(header("<f4", "(6)"), []), "shape (6) is not a list of extents"),
    (
      "unsigned", file(header("<u8", "(1, 2)"), bytes([UInt64(5), UInt64(1) << 63])),
      "element [0, 1] is 9223372036854775808; whole numbers are read up to 9223372036854775807"
    ),
    (
      "behind", file(header("<f4", "(1,)"), [0, 0, 0, 0, 1]),
      "1 bytes behind the data of float32 [1]; one array a file is read"
    ),
    (
      "junk before", file("junk" + header("<f4", "(1,)"), [0, 0, 0, 0]),
      "the header is not a NumPy header: junk{'descr': '<f4', 'fortran_order': False, 'sh…e': (1,), }\\n (62 characters)"
    ),
    (
      "junk behind", file(header("<f4", "(1,)") + " junk", [0, 0, 0, 0]),
      "5 characters of the header stand behind its dictionary"
    ),
    (
      "a key more", file("{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}", [0, 0, 0, 0]),
      "the header has the key x; descr, fortran_order and shape expected"
    ),
    (
      "a key twice", file("{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': ()}", []),
      "the header has the key descr twice; descr, fortran_order and shape expected"
    ),
    ("a key less", file("{'descr': '<f4', 'shape': ()}", []), "the header lacks fortran_order"),
    (
      "an order", file("{'descr': '<f4', 'fortran_order': 0, 'shape': ()}", []),
      "fortran_order is 0; True or False expected"
    ),
    (
      "axes", file(header("<f4", "(" + String(repeating: "1,", count: 65) + ")"), []),
      "65 axes; NumPy's arrays have at most 64"
    ),
  ]

  @Test("bad files end in one line", arguments: broken)
  func errors(_ name: String, _ bytes: [UInt8], _ problem: String) {
    #expect(throws: NpyError(path: "x.npy", problem: problem), "\(name)") {
      try NpyArray(bytes: bytes, path: "x.npy")
    }
  }

  @Test("files are written whole or not at all")
  func files() throws {
    let scratch = try Scratch(), folder = URL(fileURLWithPath: scratch.path), path = scratch("a.npy")
    let array = NpyArray([Float](arrayLiteral: 1, 2), shape: [2])
    try array.write(to: path)
    #expect(try NpyArray(contentsOf: path) == array)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["a.npy"])
    let nowhere = folder.appendingPathComponent("no/such/a.npy").path
    #expect(throws: NpyError(path: nowhere, problem: "cannot be written: No such file or directory")) {
      try array.write(to: nowhere)
    }
    #expect(throws: NpyError(path: nowhere, problem: "cannot be read: No such file or directory")) {
      try NpyArray(contentsOf: nowhere)
    }
    #expect(
      throws: NpyError(path: folder.path, problem: "cannot be read: it is a folder, not a file")
    ) {
      try NpyArray(contentsOf: folder.path)
    }
  }

  @Test(
    "a shape is believed no further than the data: empty arrays of any order take no memory",
    arguments: [false, true])
  func emptyArrays(fortran: Bool) throws {
    for shape in ["(2000000000, 0)", "(1, 1000000000, 0, 8)", "(0, 281474976710655)"] {
      let file = Self.file(Self.header("<f4", shape, fortran: fortran), [])
      #expect(try NpyArray(bytes: file, path: "a.npy").floats.isEmpty)
    }
  }

  @Test("a device without end is refused, and a pipe is read to its end")
  func devices() throws {
    #expect(throws: NpyError(path: "/dev/zero", problem: "cannot be read: it is a device, not a file")) {
      try NpyArray(contentsOf: "/dev/zero")
    }
    let pipe = Pipe()
    let array = NpyArray([Float](arrayLiteral: 1, 2), shape: [2])
    try pipe.fileHandleForWriting.write(contentsOf: Data(array.fileBytes))
    try pipe.fileHandleForWriting.close()
    #expect(try NpyArray(contentsOf: "/dev/fd/\(pipe.fileHandleForReading.fileDescriptor)") == array)
  }

  @Test(
    "every number of a header at its extremes, and 4000 mutated files: an array or one line",
    .timeLimit(.minutes(BodyTime.hangLimit)))
  func extremes() throws {
    let time = BodyTime()
    defer { #expect(time.seconds < 60) }
    let data = Self.bytes([Float](repeating: 2, count: 6).map(\.bitPattern))
    for version in [UInt8(1), 2, 3] {
      for (extreme, text) in Mutator.everyNumberExtreme(in: Self.header("<f4", "(2, 3, 1)", fortran: true)) {
        expectArrayOrLine(Self.file(text, data, version: version), "version \(version), \(extreme)")
      }
    }
    var mutator = Mutator(seed: 41)
    let whole = [
      NpyArray([Float](repeating: 1, count: 6), shape: [2, 3]).fileBytes,
      NpyArray([1, 2, 3, 4], shape: [4], as: .uint64).fileBytes,
      Self.file(Self.header(">i2", "(3, 2)", fortran: true), [UInt8](repeating: 7, count: 12), version: 2),
      NpyArray([Float](repeating: 1, count: 2), shape: [2], as: .bfloat16).fileBytes,
    ]
    for number in 0..<4000 {
      expectArrayOrLine(mutator.mutate(whole[number % whole.count]), "mutation \(number) of seed 41")
    }
  }

  private func expectArrayOrLine(_ file: [UInt8], _ what: String) {
    do {
      let array = try NpyArray(bytes: file, path: "a.npy")
      #expect(array.count * array.type.byteCount < file.count, "\(what)")
    } catch {
      #expect(!error.description.contains("\n"), "\(what): \(error)")
    }
  }
}
