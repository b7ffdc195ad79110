import ArrayFiles
import Basics
import ImageTasks
import LabTestSupport
import Settings
import Tasks
import Tensors
import Testing

/// A user's images: `.npy` and IDX.
@Suite struct ImageFilesTests {
  /// 20 images of 2 × 3 and their labels; image k has k at its first pixel.
  private func write(_ scratch: Scratch, count: Int = 20) throws -> [String: ParameterValue] {
    let pixels = (0..<count * 6).map { $0 % 6 == 0 ? $0 / 6 : 255 }
    try NpyArray(pixels, shape: [count, 2, 3], as: .uint8).write(to: scratch("images.npy"))
    try NpyArray((0..<count).map { $0 % 3 }, shape: [count], as: .int64).write(
      to: scratch("labels.npy"))
    return [
      "images": .string(scratch("images.npy")), "labels": .string(scratch("labels.npy")),
    ]
  }

  private func make(_ settings: [String: ParameterValue]) throws -> any SequenceTask {
    try TaskCatalog.standard.make("images", settings: settings, key: RandomKey(seed: 1))
  }

  @Test("a set of bytes: every image is in one split, with its own label, divided by 255")
  func bytes() throws {
    let scratch = try Scratch()
    let task = try make(write(scratch))
    #expect(task.length == 6 && task.featureWidth == 1 && task.classCount == 3)
    #expect(task.grid == Grid(height: 2, width: 3))
    var seen: [Split: Set<Int>] = [:]
    for split in Split.allCases {
      let batch = try task.batch(split: split, index: 0, batchSize: 60)
      let values = try #require(batch.features).values.array()
      for row in 0..<60 {
        let number = Int((values[row * 6] * 255).rounded())
        #expect(Int(batch.labels[row]) == number % 3 && values[row * 6 + 1] == 1)
        seen[split, default: []].insert(number)
      }
    }
    let all = Split.allCases.map { seen[$0] ?? [] }
    #expect(all[0].isDisjoint(with: all[1]) && all[0].isDisjoint(with: all[2]))
    #expect(all[1].isDisjoint(with: all[2]) && all[1].count == 3 && all[2].count == 2)
  }

  @Test("the same set as IDX; a test of its own loses what is among the others")
  func idx() throws {
    let scratch = try Scratch()
    var settings = try write(scratch)
    let images: [UInt8] =
      [0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 2, 0, 0, 0, 3]
      + (0..<120).map { UInt8($0 % 6 == 0 ? $0 / 6 : 255) }
    try AtomicFile.write(images, to: scratch("images.idx"))
    try AtomicFile.write(
      [0, 0, 8, 1, 0, 0, 0, 20] + (0..<20).map { UInt8($0 % 3) }, to: scratch("labels.idx"))
    let npy = try make(settings)
    settings["images"] = .string(scratch("images.idx"))
    settings["labels"] = .string(scratch("labels.idx"))
    let idx = try make(settings)
    let batch = try idx.batch(split: .train, index: 0, batchSize: 8)
    #expect(try npy.batch(split: .train, index: 0, batchSize: 8).features == batch.features)
    #expect(idx.text != npy.text)
    // Two images for the test, of which one is known.
    try NpyArray([0, 255, 255, 255, 255, 255, 7, 7, 7, 7, 7, 7], shape: [2, 2, 3], as: .uint8).write(
      to: scratch("test.npy"))
    try NpyArray([0, 4], shape: [2], as: .uint8).write(to: scratch("test_labels.npy"))
    settings["test_images"] = .string(scratch("test.npy"))
    settings["test_labels"] = .string(scratch("test_labels.npy"))
    let tested = try make(settings)
    #expect(tested.classCount == 5)
    #expect(try tested.batch(split: .test, index: 0, batchSize: 4).labels == [4, 4, 4, 4])
  }

  @Test("pixels of a user's images, with channels averaged")
  func pixels() throws {
    let scratch = try Scratch()
    try NpyArray((0..<16 * 2).map { Float($0) / 31 }, shape: [16, 1, 1, 2]).write(to: scratch("i.npy"))
    try NpyArray([Int](repeating: 0, count: 16), shape: [16], as: .uint8).write(to: scratch("l.npy"))
    let task = try TaskCatalog.standard.make(
      "pixels",
      settings: [
        "of": .string("files"), "images": .string(scratch("i.npy")),
        "labels": .string(scratch("l.npy")), "levels": .int(31),
      ], key: RandomKey(seed: 1))
    let tokens = try task.batch(split: .train, index: 0, batchSize: 20).inputs
    // Image k has the greys 2k/31 and (2k + 1)/31.
    #expect(tokens.allSatisfy { $0 % 2 == 0 } && Set(tokens).count > 4)
  }

  @Test("bad files are refused in one line that names them")
  func refusals() throws {
    let scratch = try Scratch()
    let good = try write(scratch)
    func refused(_ words: String, _ change: [String: ParameterValue]) {
      #expect {
        try make(good.merging(change) { $1 })
      } throws: {
        "\($0)".contains(words) && !"\($0)".contains("\n")
      }
    }
    func file(_ name: String, _ array: NpyArray) throws -> ParameterValue {
      try array.write(to: scratch(name))
      return .string(scratch(name))
    }
    refused("task.images: no file is named", ["images": .string("")])
    refused("No such file", ["images": .string(scratch("nothing.npy"))])
    refused("[count, height, width]", ["images": good["labels"] ?? .int(0)])
    refused("labels take [count]", ["labels": good["images"] ?? .int(0)])
    refused("give both or neither", ["test_images": good["images"] ?? .int(0)])
    refused(
      "20 images", ["labels": try file("short.npy", NpyArray([1, 2], shape: [2], as: .uint8))])
    refused(
      "label 1 is -1",
      [
        "labels": try file(
          "negative.npy", NpyArray([1, -1] + [Int](repeating: 0, count: 18), shape: [20], as: .int8))
      ]
    )
    refused(
      "image 1 has nan at number 2",
      [
        "images": try file(
          "nan.npy",
          NpyArray((0..<120).map { $0 == 8 ? Float.nan : Float($0) }, shape: [20, 2, 3]))
      ])
    refused(
      "at least 8 different ones",
      [
        "images": try file("equal.npy", NpyArray([Float](repeating: 1, count: 120), shape: [20, 2, 3]))
      ])
    try AtomicFile.write([0x1F, 0x8B, 8, 0], to: scratch("images.gz"))
    refused("gunzip", ["images": .string(scratch("images.gz"))])
    try AtomicFile.write([0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 2, 0, 0, 0, 3, 1], to: scratch("cut.idx"))
    refused("1 bytes of elements", ["images": .string(scratch("cut.idx"))])
  }
}
