import ArrayFiles
import Basics
import LabTestSupport
import Settings
import Tasks
import Tensors
import Testing

@testable import ImageTasks

/// Small settings under which every task runs in a moment.
let smallSettings: [String: [String: ParameterValue]] = [
  "digits": ["height": .int(10), "width": .int(8)],
  "shapes": ["height": .int(9), "width": .int(12), "channels": .int(3)],
  "pathfinder": ["side": .int(24), "dashes": .int(3), "distractors": .int(1)],
  "pixels": ["side": .int(12), "levels": .int(16), "noise": .double(0)],
  "moving-digits": ["height": .int(10), "width": .int(10), "frames": .int(3)],
  "series": ["steps": .int(12), "lags": .int(3)],
]

/// All but the user's.
let drawnTasks = TaskCatalog.images.ids.filter { $0 != "images" }

func smallTask(_ id: String, seed: UInt64 = 1) throws -> any SequenceTask {
  try TaskCatalog.standard.make(id, settings: smallSettings[id] ?? [:], key: RandomKey(seed: seed))
}

@Suite struct ImageTaskTests {
  @Test(arguments: drawnTasks)
  func batchesAreRandomAccess(id: String) throws {
    let task = try smallTask(id), again = try smallTask(id), other = try smallTask(id, seed: 2)
    let third = try task.batch(split: .train, index: 3, batchSize: 4)
    _ = try again.batch(split: .test, index: 0, batchSize: 3)
    #expect(try again.batch(split: .train, index: 3, batchSize: 4) == third)
    #expect(try task.batch(split: .train, index: 2, batchSize: 4) != third)
    #expect(try other.batch(split: .train, index: 3, batchSize: 4) != third)
    // The rows of a split do not depend on how they are batched.
    let halves = try (6..<8).map { try task.batch(split: .train, index: $0, batchSize: 2) }
    #expect(halves.flatMap(\.inputs) == third.inputs && halves.flatMap(\.labels) == third.labels)
    #expect(halves.flatMap { $0.features?.values.array() ?? [] } == third.features?.values.array() ?? [])
  }

  @Test(arguments: drawnTasks)
  func batchesKeepTheirPromises(id: String) throws {
    let task = try smallTask(id)
    for split in Split.allCases {
      let batch = try task.batch(split: split, index: 1, batchSize: 5)
      #expect(batch.batchSize == 5 && batch.length == task.length && batch.kind == .classification)
      #expect(batch.inputs.allSatisfy { $0 >= 0 && $0 < task.vocabularySize })
      #expect(batch.labels.count == 5 && batch.labels.allSatisfy { $0 >= 0 && $0 < task.classCount })
      #expect(batch.grid == task.grid && task.grid.map { $0.count == task.length } ?? true)
      #expect((task.grid?.height ?? 0) % task.frames == 0)
      if task.featureWidth > 0 {
        #expect(batch.features?.values.shape == [5 * task.length, task.featureWidth])
        #expect(batch.features?.values.isFinite == true)
      } else {
        #expect(batch.features == nil)
      }
    }
  }

  /// What is drawn decides the split, and noise does not: without noise no image is in two splits.
  @Test(arguments: ["digits", "shapes", "pathfinder", "moving-digits", "pixels"])
  func splitsAreApart(id: String) throws {
    var settings = smallSettings[id] ?? [:]
    settings["noise"] = .double(0)
    let task = try TaskCatalog.standard.make(id, settings: settings, key: RandomKey(seed: 1))
    var owner: [[Float]: Split] = [:]
    for split in Split.allCases {
      let batch = try task.batch(split: split, index: 0, batchSize: 40)
      let values = batch.features?.values.array() ?? batch.inputs.map { Float($0) }
      for row in 0..<40 {
        let size = values.count / 40
        let image = Array(values[row * size..<(row + 1) * size])
        #expect(owner[image, default: split] == split)
        owner[image] = split
      }
    }
  }

  @Test("every class is drawn about as often as any other", arguments: drawnTasks)
  func classesAreBalanced(id: String) throws {
    let task = try smallTask(id)
    let count = id == "pathfinder" ? 120 : 300
    let labels = try task.batch(split: .train, index: 0, batchSize: count).labels
    let expected = Double(count) / Double(task.classCount)
    for label in 0..<task.classCount {
      let found = Double(labels.count { $0 == Int32(label) })
      // Five standard deviations of a binomial count.
      #expect(abs(found - expected) < 5 * expected.squareRoot(), "\(label): \(found)")
    }
  }

  @Test("ink and noise have their sizes")
  func greys() throws {
    let clean = try TaskCatalog.standard.make(
      "digits", settings: ["noise": .double(0)], key: RandomKey(seed: 1))
    let noisy = try TaskCatalog.standard.make(
      "digits", settings: ["noise": .double(0.5)], key: RandomKey(seed: 1))
    let a = try #require(clean.batch(split: .test, index: 0, batchSize: 8).features).values.array()
    let b = try #require(noisy.batch(split: .test, index: 0, batchSize: 8).features).values.array()
    #expect(a.allSatisfy { $0 >= 0 && $0 <= 1 } && a.contains(1) && a.contains(0))
    let squares = zip(a, b).map { Double(($0 - $1) * ($0 - $1)) }
    // The first image is the same drawing; later draws differ.
    let first = squares.prefix(256).reduce(0, +) / 256
    #expect(abs(first - 0.25) < 0.08, "\(first)")
  }

  @Test("a series shows its lag: channel 1 now is channel 0 later")
  func series() throws {
    let task = try TaskCatalog.standard.make(
      "series", settings: ["noise": .double(0), "steps": .int(40)], key: RandomKey(seed: 1))
    let batch = try task.batch(split: .validation, index: 0, batchSize: 6)
    let values = try #require(batch.features).values.array()
    for row in 0..<6 {
      let lag = Int(batch.labels[row]) + 1
      for step in 0..<40 - lag {
        #expect(values[(row * 40 + step) * 3 + 1] == values[(row * 40 + step + lag) * 3])
      }
    }
  }

  @Test("a moving digit is the same in all frames, at another place")
  func movingDigits() throws {
    let task = try TaskCatalog.standard.make(
      "moving-digits",
      settings: ["noise": .double(0), "speed": .double(1), "height": .int(24), "width": .int(24)],
      key: RandomKey(seed: 1))
    let batch = try task.batch(split: .train, index: 0, batchSize: 4)
    let values = try #require(batch.features).values.array()
    for row in 0..<4 {
      let frames = (0..<4).map { frame in
        Array(values[(row * 4 + frame) * 576..<(row * 4 + frame + 1) * 576])
      }
      let ink = frames.map { $0.reduce(0, +) }
      #expect(frames[0] != frames[1])
      for other in ink { #expect(abs(other / ink[0] - 1) < 0.1, "\(ink)") }
    }
  }

  @Test("examples leave as images [examples, height, width, channels], and not as lines")
  func export() throws {
    let examples = try TaskExamples(of: smallTask("shapes"), split: .test, count: 3)
    #expect(examples.archive["features"]?.shape == [3, 9, 12, 3])
    #expect(examples.archive["labels"]?.shape == [3] && examples.archive["inputs"] == nil)
    #expect(
      try TaskExamples(of: smallTask("series"), split: .test, count: 2).archive["features"]?.shape
        == [2, 12, 3])
    #expect(throws: ConfigurationError.self) { try examples.lines() }
  }

  @Test("circles of Pathfinder are as far apart on one path as on two, and each is the end of a path")
  func circles() throws {
    let source = PathImages(
      grid: Grid(height: 32, width: 32), dashes: 4, distractors: 2, turn: 0.8, dash: 3, gap: 2, clearance: 3,
      radius: 1.8)
    var generator = RandomKey(seed: 1).generator()
    var counts = [0, 0]
    for _ in 0..<60 {
      let drawing = try source.drawing(&generator), dashes = drawing.dashes
      counts[drawing.isConnected ? 1 : 0] += 1
      let first = [dashes[0].start, dashes[3].end], second = [dashes[4].start, dashes[7].end]
      let length = (first[0] - first[1]).length
      let distance = (drawing.circles[0] - drawing.circles[1]).length
      #expect(abs(distance - length) <= PathImages.slack)
      #expect(drawing.circles[0] == first[0] || drawing.circles[0] == first[1])
      #expect((drawing.isConnected ? first : second).contains(drawing.circles[1]))
    }
    #expect(counts.allSatisfy { $0 > 15 }, "\(counts)")
  }

  @Test("paths that do not fit are refused in one line")
  func tooManyDashes() throws {
    let task = try TaskCatalog.standard.make(
      "pathfinder", settings: ["side": .int(12), "dashes": .int(40)], key: RandomKey(seed: 1))
    #expect { try task.batch(split: .train, index: 0, batchSize: 1) } throws: {
      "\($0)".contains("dashes") && "\($0)".contains("larger side")
    }
  }
}
