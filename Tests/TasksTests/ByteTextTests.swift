import Basics
import Foundation
import LabTestSupport
import Settings
import Tensors
import Testing

@testable import Tasks

@Suite struct ByteTextTests {
  /// A folder that is removed at the end.
  func inFolder(_ body: (String) throws -> Void) throws {
    let scratch = try Scratch()
    try body(scratch.path)
  }

  func write(_ bytes: [UInt8], _ path: String) throws {
    try FileManager.default.createDirectory(
      atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    try Data(bytes).write(to: URL(fileURLWithPath: path))
  }

  func make(_ bytes: [UInt8], length: Int) throws -> ByteText {
    var c = ByteText.Configuration()
    c.length = length
    return try ByteText(c, corpus: TextCorpus(bytes: bytes, named: "memory"), key: RandomKey(seed: 3))
  }

  /// A corpus whose place can be read off any two bytes.
  func places(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 % 2 == 0 ? $0 / 2 : $0 >> 9) }
  }

  @Test(arguments: [40, 41, 399, 400, 100_000, 10_486_000, 30_000_001])
  func stretchesPartTheText(byteCount: Int) {
    let stretches = ByteText.stretches(of: byteCount)
    let sorted = stretches.values.joined().sorted { $0.lowerBound < $1.lowerBound }
    #expect(sorted.first?.lowerBound == 0 && sorted.last?.upperBound == byteCount)
    for (a, b) in zip(sorted, sorted.dropFirst()) { #expect(a.upperBound == b.lowerBound) }
    let train = stretches[.train]?.reduce(0) { $0 + $1.count } ?? 0
    #expect(abs(Double(train) - 0.9 * Double(byteCount)) <= 2 * Double(sorted.count))
  }

  @Test("a device that never ends is refused; a text that just fits a limit is whole")
  func readsNoMoreThanItNeeds() throws {
    let error = #expect(throws: TextError.self) { try TextCorpus(path: "/dev/zero") }
    #expect(error?.description.contains("it is a device") == true)
    try inFolder { folder in
      let bytes = (0..<300_000).map { UInt8(33 + $0 % 90) }
      try write(bytes, folder + "/a.txt")
      #expect(try TextCorpus(path: folder + "/a.txt").bytes == bytes)
      #expect(try TextCorpus(path: folder + "/a.txt", limit: 300_000).bytes == bytes)
      #expect(try TextCorpus(path: folder + "/a.txt", limit: 200_001).bytes == Array(bytes.prefix(200_001)))
      #expect(try TextCorpus(path: folder, limit: 70_000).bytes == Array(bytes.prefix(70_000)))
    }
  }

  @Test func targetsAreTheNextBytesAndWindowsStayInTheirSplit() throws {
    let bytes = places(60_000), task = try make(bytes, length: 50)
    let stretches = ByteText.stretches(of: bytes.count)
    for split in Split.allCases {
      let batch = try task.batch(split: split, index: 2, batchSize: 30)
      for row in 0..<30 {
        let inputs = Array(batch.inputs[row * 50..<row * 50 + 50]),
          targets = batch.targets[row * 50..<row * 50 + 50]
        #expect(Array(inputs.dropFirst()) == Array(targets.dropLast()))
        let matches = (stretches[split] ?? []).filter { range in
          (range.lowerBound..<(range.upperBound - 50)).contains { start in
            (0..<50).allSatisfy { bytes[start + $0] == UInt8(inputs[$0]) }
          }
        }
        #expect(!matches.isEmpty, "row \(row) of \(split) is a window of its split")
      }
    }
  }

  @Test func evaluationVisitsEveryWindowOnce() throws {
    let task = try make(places(60_000), length: 50)
    let count = task.windowCount(of: .validation)
    #expect(count == 2999 / 50)
    let first = try task.batch(split: .validation, index: 0, batchSize: count)
    let rows = Set((0..<count).map { Array(first.inputs[$0 * 50..<$0 * 50 + 50]) })
    #expect(rows.count == count)
    #expect(try task.batch(split: .validation, index: 1, batchSize: count) == first, "then it starts again")
  }

  @Test func aFolderIsReadInOrderWithoutHiddenAndBinaryFiles() throws {
    try inFolder { folder in
      try write(Array("beta".utf8), folder + "/b/x.txt")
      try write(Array("alpha".utf8), folder + "/a.txt")
      try write(Array("hidden".utf8), folder + "/.git/config")
      try write([1, 0, 2], folder + "/image")
      try write([], folder + "/empty")
      let corpus = try TextCorpus(path: folder)
      #expect(String(decoding: corpus.bytes, as: UTF8.self) == "alpha\nbeta")
      #expect(corpus.fileCount == 2)
      #expect(corpus.fingerprint != TextCorpus(bytes: Array("alpha\nbeto".utf8), named: "").fingerprint)
    }
  }

  @Test("an unchanged text is read once, a changed one again")
  func readOnce() throws {
    try inFolder { folder in
      func place(_ text: TextCorpus) -> Int {
        text.bytes.withUnsafeBufferPointer { Int(bitPattern: $0.baseAddress) }
      }
      func age(_ file: String) throws {
        try FileManager.default.setAttributes(
          [.modificationDate: Date(timeIntervalSinceNow: -60)], ofItemAtPath: file)
      }
      let file = folder + "/a.txt"
      for path in [folder, file] {
        try write(Array("alpha".utf8), file)
        // What has just been written may be written again within a tick of the clock.
        let fresh = try TextCorpus(path: path)
        #expect(place(try TextCorpus(path: path)) != place(fresh))
        try age(file)
        // Other tests read other texts meanwhile.
        let isShared = try (0..<1000).contains { _ in
          let first = try TextCorpus(path: path)
          return place(try TextCorpus(path: path)) == place(first)
        }
        #expect(isShared)
        #expect(try TextCorpus(path: path, limit: 2).bytes == Array("al".utf8))
        try write(Array("gamma".utf8), file)
        #expect(try TextCorpus(path: path).bytes == Array("gamma".utf8))
        try write(Array("delta".utf8), file)
        #expect(try TextCorpus(path: path).bytes == Array("delta".utf8))
      }
      try write(Array("more".utf8), folder + "/b.txt")
      #expect(try TextCorpus(path: folder).fileCount == 2)
    }
  }

  @Test func whatCannotBeReadIsOneClearLine() throws {
    try inFolder { folder in
      try write([0, 1, 2], folder + "/binary/file")
      try write([], folder + "/empty")
      try write(Array("short".utf8), folder + "/short")
      try FileManager.default.createDirectory(atPath: folder + "/nothing", withIntermediateDirectories: true)
      let cases = [
        ("/none", "no such file or folder"), ("/binary", "1 binary"), ("/binary/file", "a binary file"),
        ("/empty", "the file is empty"), ("/nothing", "no text in this folder"),
        ("/short", "has only 5 bytes"),
      ]
      for (name, part) in cases {
        #expect {
          try TaskCatalog.sequences.make(
            "text", settings: ["path": .string(folder + name)], key: RandomKey(seed: 0))
        } throws: {
          let line = "\($0)"
          return line.contains(part) && line.contains(folder + name) && !line.contains("\n")
        }
      }
    }
  }

  @Test func aTextTooShortForTheLengthSaysHowLongItMayBe() throws {
    _ = try make(places(400), length: 19)
    #expect {
      try make(places(400), length: 20)
    } throws: {
      "\($0)".contains("at most 19")
    }
  }

  @Test func theProjectsOwnSourcesAreTheDefault() throws {
    let corpus = try TextCorpus.projectSources()
    #expect(corpus.fileCount > 40)
    #expect(corpus.bytes.count > 100_000)
  }
}
