import ArrayFiles
import Testing

/// Archives of arrays.
@Suite struct NpzTests {
  static let archive = NpzArchive([
    ("inputs", NpyArray([1, -2, 3, 4, 5, 6] as [Int32], shape: [2, 3], as: .int32)),
    ("x", NpyArray([1.5, -.infinity] as [Float], shape: [2])), ("none", NpyArray([Float](), shape: [0, 4])),
  ])

  @Test("what is written is read, and twice the same bytes are written")
  func roundTrip() throws {
    let bytes = try #require(Self.archive.fileBytes)
    #expect(Self.archive.fileBytes == bytes)
    let read = try NpzArchive(bytes: bytes, path: "x.npz")
    #expect(read.arrays.map(\.name) == ["inputs", "x", "none"])
    for (name, array) in Self.archive.arrays { #expect(read[name] == array) }
    #expect(read["y"] == nil)
    #expect(try NpzArchive(bytes: try #require(NpzArchive([]).fileBytes), path: "x").arrays.isEmpty)
  }

  /// NumPy writes an extra field into the header that stands before a member, which the directory does not have.
  @Test("the members of NumPy's own file are found behind their extra fields")
  func extraFields() throws {
    var bytes = try #require(
      NpzArchive([("a", NpyArray([0, 1, 2] as [Int32], shape: [3], as: .int32))]).fileBytes)
    // The same with four bytes of extra field in the local header: what follows moves by as much.
    bytes[28] = 4
    bytes.insert(contentsOf: [1, 0, 0, 0], at: 30 + 5)
    let end = bytes.count - 22
    let start = (0..<4).reduce(0) { $0 | Int(bytes[end + 16 + $1]) << (8 * $1) } + 4
    for byte in 0..<4 { bytes[end + 16 + byte] = UInt8(truncatingIfNeeded: start >> (8 * byte)) }
    #expect(try NpzArchive(bytes: bytes, path: "x")["a"]?.integers == [0, 1, 2])
  }

  @Test("whatever is cut off or turned over is refused in one line, without a crash")
  func damaged() throws {
    let bytes = try #require(Self.archive.fileBytes)
    for count in 0..<bytes.count {
      #expect(throws: NpyError.self) { try NpzArchive(bytes: Array(bytes.prefix(count)), path: "x") }
    }
    // A byte of the data fails the check sum; a byte elsewhere may be a name, but never a crash.
    var refused = 0
    for place in bytes.indices {
      var other = bytes
      other[place] ^= 0xFF
      do { _ = try NpzArchive(bytes: other, path: "x") } catch { refused += 1 }
    }
    #expect(refused > bytes.count / 2)
    // Deflated: method 8 in the directory.
    let directory = try #require(
      bytes.indices.dropLast(4).first { Array(bytes[$0..<$0 + 4]) == [0x50, 0x4B, 1, 2] })
    var compressed = bytes
    compressed[directory + 10] = 8
    let error = #expect(throws: NpyError.self) { try NpzArchive(bytes: compressed, path: "x") }
    #expect("\(try #require(error))".contains("compressed"))
  }
}
