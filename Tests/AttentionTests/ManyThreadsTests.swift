import AttentionCore
import Basics
import Foundation
import LabTestSupport
import Settings
import Tensors
import Testing

@testable import Attention

/// What many threads find to do, counted; what they need; and that they change no bit.
@Suite struct ManyThreadsTests {
  /// A pattern that a table is about.
  struct Subject: Sendable {
    var name: String, id: String
    var settings: [String: ParameterValue] = [:]
    var isCausal = false
  }

  static let subjects: [Subject] = [
    .init(name: "full", id: "full"), .init(name: "full, causal", id: "full", isCausal: true),
    .init(name: "window of ±256", id: "sliding-window", settings: ["left": .int(256), "right": .int(256)]),
    .init(
      name: "±64 dilated by 4", id: "sliding-window",
      settings: ["left": .int(64), "right": .int(64), "dilation": .int(4)]),
    .init(name: "chunks of 512", id: "chunked", settings: ["chunk": .int(512)]),
    .init(name: "local-global", id: "local-global"),
    .init(
      name: "random-sparse", id: "random-sparse",
      settings: ["block_size": .int(64), "random_blocks": .int(3)]),
    .init(name: "lsh, 4 hashes", id: "lsh", settings: ["chunk": .int(64), "hashes": .int(4)]),
    .init(name: "lsh, 1 hash", id: "lsh", settings: ["chunk": .int(64), "hashes": .int(1)]),
  ]
  static let threads = [1, 2, 4, 8, 16, 32, 64, 128]

  /// The tiles of a subject: forward, and going back.
  static func patterns(_ subject: Subject, heads: Int, length: Int) throws -> (
    shape: AttentionShape, forward: TilePattern, backward: TilePattern
  ) {
    let
      shape = try AttentionShape(
        queryHeads: heads, queryLength: length, headDim: 64, isCausal: subject.isCausal),
      key = RandomKey(seed: 5)
    let made = try Catalog.standard.make(subject.id, settings: subject.settings, shape: shape, key: key)
    let variant = try #require(made as? any SoftmaxVariant)
    let inputs = Operands(
      query: try .normal(shape.queryShape, key: key("q")), key: try .normal(shape.keyShape, key: key("k")),
      value: try .normal(shape.valueShape, key: key("v")))
    let pattern = try variant.pattern(
      for: inputs, in: ExecutionContext(threads: 1, instructionSet: .portable))
    return (shape, pattern, variant.backwardPattern(of: pattern))
  }

  // MARK: - The table

  static let page = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../Sources/AttentionLab/Documentation.docc/Reference/threads.md")
    .standardizedFileURL

  /// The tables of speed-up of one head, of two and of eight.
  static func tables() throws -> String {
    try ProcessorChoices.$override.withValue(.assumed) {
      try [(1, "One head"), (2, "Two heads"), (8, "Eight heads")].map { heads, title in
        var text = "### \(title), n = 16384\n\n"
        text +=
          "| pattern, pass | pieces | longest | "
          + threads.dropFirst().map { "\($0)" }.joined(separator: " | ") + " |\n"
        text += "| --- | --- | --- |" + String(repeating: " --- |", count: threads.count - 1) + "\n"
        for subject in subjects {
          let (shape, forward, backward) = try patterns(subject, heads: heads, length: 16384)
          for isBackward in [false, true] {
            let models = threads.map {
              isBackward
                ? WorkModel.backward(backward, shape, threads: $0)
                : WorkModel.forward(forward, shape, threads: $0)
            }
            let last = models[models.count - 1]
            let share = String(format: "%.1f", 100 * last.longest / last.total)
            text +=
              "| \(subject.name), \(isBackward ? "backward" : "forward") | \(last.itemCount) | \(share) % | "
              + models.dropFirst().map { String(format: $0.speedUp < 9.95 ? "%.1f" : "%.0f", $0.speedUp) }
              .joined(separator: " | ") + " |\n"
          }
        }
        return text
      }.joined(separator: "\n")
    }
  }

  @Test("the page's speed-ups are those that are counted")
  func table() throws {
    let block = /<!-- counted -->\n.*?<!-- end -->/.dotMatchesNewlines()
    let text = try String(contentsOf: Self.page, encoding: .utf8)
    let renewed = text.replacing(block, with: "<!-- counted -->\n\(try Self.tables())<!-- end -->")
    if ProcessInfo.processInfo.environment["ATTNLAB_WRITE_PAGES"] == "1" {
      try renewed.write(to: Self.page, atomically: true, encoding: .utf8)
    }
    #expect(
      try String(contentsOf: Self.page, encoding: .utf8) == renewed,
      "make pages writes \(Self.page.path) anew")
  }

  /// What is assumed of a processor, but for the rows of tiles over narrow bands.
  static func choices(bandRows rows: Int) -> ProcessorChoices {
    var choices = ProcessorChoices.assumed
    (choices.bandRows, choices.bandBackwardRows) = (rows, rows)
    return choices
  }

  @Test(
    "one head has work for more than eight threads, both ways, but for dilated windows going back",
    arguments: [16, 64])
  func noLimit(rows: Int) throws {
    try ProcessorChoices.$override.withValue(Self.choices(bandRows: rows)) {
      for subject in Self.subjects {
        let (shape, forward, backward) = try Self.patterns(subject, heads: 1, length: 16384)
        #expect(WorkModel.forward(forward, shape, threads: 32).speedUp > 8, "\(subject.name), forward")
        let least = subject.settings["dilation"] != nil ? 7.5 : rows < 64 ? 10 : 12
        #expect(WorkModel.backward(backward, shape, threads: 32).speedUp > least, "\(subject.name), backward")
      }
    }
  }

  @Test("windows and random blocks of several heads: work for over eight threads", arguments: [2, 4, 7, 8])
  func severalHeads(heads: Int) throws {
    for subject in Self.subjects where subject.name == "random-sparse" || subject.name == "window of ±256" {
      let (shape, _, backward) = try Self.patterns(subject, heads: heads, length: 16384)
      let speedUp = WorkModel.backward(backward, shape, threads: 64).speedUp
      #expect(speedUp > max(9, 1.5 * Double(heads)), "\(subject.name): \(speedUp)")
    }
  }

  @Test("colours of random blocks give threads more to do than eight units, or there are none")
  func breadth() throws {
    let subject = try #require(Self.subjects.first { $0.id == "random-sparse" })
    for length in [2048, 4096, 8192, 16384] {
      let (shape, _, pattern) = try Self.patterns(subject, heads: 2, length: length)
      let plan = BackwardPlan(pattern: pattern, shape: shape, choices: .assumed)
      if let colours = plan.colours {
        #expect(BackwardColours.breadth(colours.groups) >= BackwardColours.leastBreadth)
      } else {
        #expect(plan.units.count == 8)
      }
      #expect((plan.colours != nil) == (length >= 16384))
    }
  }

  // MARK: - Windows

  @Test(
    "a window's stripes wait for nobody on 16 threads, and no gradient is privatised, however low tiles are",
    arguments: [1, 3], [16, 32, 64])
  func windows(heads: Int, rows: Int) throws {
    let subject = try #require(Self.subjects.first { $0.name == "window of ±256" })
    let choices = Self.choices(bandRows: rows)
    try ProcessorChoices.$override.withValue(choices) {
      for length in [4096, 16384] {
        let (shape, _, pattern) = try Self.patterns(subject, heads: heads, length: length)
        let plan = BackwardPlan(pattern: pattern, shape: shape, choices: choices)
        #expect(plan.pipeline?.isWindow == true && plan.accumulatorCount == 0)
        let speedUp = WorkModel.backward(pattern, shape, threads: 16).speedUp
        // Stripes of low tiles have 192 rows: 86 of them on 16 threads end less evenly than 128.
        #expect(speedUp > (rows < 64 ? 0.85 : 0.9) * 16, "n = \(length): \(speedUp)")
      }
    }
  }

  @Test("keys that come from elsewhere, chunks and short windows are no window")
  func noWindows() throws {
    for subject in Self.subjects where !subject.name.hasPrefix("window") {
      let (shape, _, pattern) = try Self.patterns(subject, heads: 1, length: 8192)
      #expect(
        BackwardWindow(pattern: pattern, shape: shape, choices: .assumed) == nil, "\(subject.name)")
    }
    let window = try #require(Self.subjects.first { $0.name == "window of ±256" })
    let (shape, _, pattern) = try Self.patterns(window, heads: 1, length: 1024)
    #expect(BackwardWindow(pattern: pattern, shape: shape, choices: .assumed) == nil)
  }

  // MARK: - Colours

  @Test(
    "runs of a colour share no key, and all tiles are there once",
    arguments: [("lsh", 1), ("lsh", 2), ("random-sparse", 1), ("random-sparse", 2), ("random-sparse", 8)])
  func colours(id: String, heads: Int) throws {
    let subject = try #require(Self.subjects.first { $0.id == id })
    let (shape, _, pattern) = try Self.patterns(subject, heads: heads, length: id == "lsh" ? 4096 : 16384)
    let plan = BackwardPlan(pattern: pattern, shape: shape, choices: .assumed)
    let colours = try #require(plan.colours)
    #expect(colours.isGathered == (id == "lsh"))
    for group in colours.groups {
      let list = pattern.list(batch: group.batch, head: group.keyHead)
      let copies = Dictionary(uniqueKeysWithValues: group.hot.map { ($0.block, $0.copies) })
      var seenTiles: [Int32: Int] = [:]
      for colour in group.colours {
        var owners: [Int: Int] = [:]
        for (place, element) in colour.elements.enumerated() {
          // What may share a key is one run, which one worker takes.
          let number = colour.runs.lastIndex { $0 <= place } ?? 0
          seenTiles[element.tile, default: 0] += 1
          let tile = list.tiles[Int(element.tile)]
          let all: [Int] = keys(of: tile, in: list)
          let split = Int(element.split), splits = Int(element.splits)
          let own: ArraySlice<Int> = all[all.count * split / splits..<all.count * (split + 1) / splits]
          for key in own {
            // Where keys are not gathered, what may not be shared is a block, or the copy of a hot one.
            let block = key / BackwardPlan.blockKeys
            let copy = copies[block].map { Int(element.slot) % $0 } ?? 0
            let place = colours.isGathered ? key : copy + 1000 * block
            #expect(owners[place].map { $0 == number } ?? true, "key \(key)")
            owners[place] = number
          }
        }
      }
      var splits: [Int32: Int] = [:]
      for colour in group.colours {
        for element in colour.elements { splits[element.tile] = Int(element.splits) }
      }
      #expect(seenTiles.count == list.tiles.count && seenTiles == splits)
    }
    // Copies: at most a quarter of the gradients.
    let blocks = BackwardPlan.blockCount(keyLength: shape.keyLength)
    #expect(colours.accumulatorCount * BackwardColours.copyShare <= blocks * colours.groups.count)
  }

  private func keys(of tile: TileList.QueryTile, in list: TileList) -> [Int] {
    var keys: [Int] = []
    for segment in list.segments(of: tile) {
      for t in 0..<Int(segment.count) {
        keys.append(
          segment.stride == 0
            ? Int(list.keyIndices[Int(segment.start) + t]) : Int(segment.start) + t * Int(segment.stride))
      }
    }
    return keys
  }

  // MARK: - Bits and memory

  @Test(
    "the same bits on one thread, on two and on sixteen, which are more than there are",
    arguments: Catalog.standard.ids)
  func bits(id: String) throws {
    let shape = try AttentionShape(queryHeads: 2, queryLength: 1100, headDim: 8, isCausal: true)
    let one = try ChosenBitsTests.results(id, shape, .assumed, .default, threads: 1)
    for threads in [2, 16] {
      let many = try ChosenBitsTests.results(id, shape, .assumed, .default, threads: threads)
      #expect(many == one, "\(id), \(threads) threads")
    }
  }

  @Test("the same bits on any number of threads, where several share a head", arguments: subjects.indices)
  func sharedBits(index: Int) throws {
    let subject = Self.subjects[index], key = RandomKey(seed: 9)
    // Random blocks of several heads have colours where there are many.
    let isLong = subject.id == "random-sparse"
    let shape = try AttentionShape(
      queryHeads: isLong ? 8 : 3, queryLength: isLong ? 8100 : 2300, headDim: 8, isCausal: subject.isCausal)
    let variant = try Catalog.standard.make(subject.id, settings: subject.settings, shape: shape, key: key)
    let inputs = Operands(
      query: try .normal(shape.queryShape, key: key("q")), key: try .normal(shape.keyShape, key: key("k")),
      value: try .normal(shape.valueShape, key: key("v")))
    let gradient = try Tensor.normal(shape.outputShape, key: key("do"))
    func gradients(_ threads: Int) throws -> [[Float]] {
      let context = ExecutionContext(threads: threads)
      let own = try variant.forward(inputs, in: context).backward(gradient, in: context)
      return [own.query, own.key, own.value].map { $0.array() }
    }
    let one = try gradients(1)
    for threads in [2, 3, 16] {
      #expect(try gradients(threads) == one, "\(subject.name), \(threads) threads")
    }
  }

  @Test(
    "the definition, where threads share a head", arguments: ["lsh", "random-sparse", "sliding-window"],
    [1, 2])
  func meaning(id: String, heads: Int) throws {
    let subject = try #require(Self.subjects.first { $0.id == id })
    let length = id == "sliding-window" ? 2100 : 1100
    let shape = try AttentionShape(queryHeads: heads, queryLength: length, headDim: 8)
    let key = RandomKey(seed: 8)
    let variant = try Catalog.standard.make(id, settings: subject.settings, shape: shape, key: key)
    let inputs = Operands(
      query: try .normal(shape.queryShape, key: key("q")), key: try .normal(shape.keyShape, key: key("k")),
      value: try .normal(shape.valueShape, key: key("v")))
    let gradient = try Tensor.normal(shape.outputShape, key: key("do"))
    let definition = try variant.definition(of: inputs)
    let own = try variant.forward(inputs, in: ExecutionContext(threads: 3)).backward(
      gradient, in: ExecutionContext(threads: 3))
    let expected = definition.backward(gradient.array().map { Double($0) }, DefinitionInputs(inputs))
    for (found, wanted) in [
      (own.query, expected.query), (own.key, expected.key), (own.value, expected.value),
    ] {
      #expect(relativeError(found, wanted) < 2e-6)
    }
  }

  @Test("a thread more takes a bounded scratch, whatever the length", arguments: subjects.indices)
  func scratch(index: Int) throws {
    let subject = Self.subjects[index]
    for length in [2048, 8192] {
      let (shape, forward, backward) = try Self.patterns(subject, heads: 1, length: length)
      func bytes(_ pass: PassKind, _ threads: Int) -> Int {
        Engine.workspaceBytes(
          of: pass, shape: shape, pattern: pass == .backward ? backward : forward,
          in: ExecutionContext(threads: threads))
      }
      let context = ExecutionContext(threads: 1)
      let choices = context.choices
      // Forward: the tiles of a group.
      let forwardBound = choices.forwardTiles * (Engine.forwardScratchBytes(shape, in: context) + 64)
      // Backward: the tiles of a group or stripe, and with colours a table of the blocks of keys for each; counters of a step or stripe.
      let blocks = BackwardPlan.blockCount(keyLength: length)
      let tile = Engine.backwardScratchBytes(shape, in: context) + 64 + 16 * blocks + 8
      let follows = ProgressCounters.bytesEach * max(256, 2 * blocks)
      // A window's stripe has 192 rows at most where tiles are low.
      let low = 3 * TileList.lanes / min(choices.bandBackwardRows, TileList.lanes)
      let backwardBound = max(choices.backwardTiles, low) * tile + follows
      for threads in [2, 16, 128] {
        #expect(
          bytes(.forward, threads) - bytes(.forward, 1) <= (threads - 1) * forwardBound, "\(subject.name)")
        #expect(
          bytes(.backward, threads) - bytes(.backward, 1) <= (threads - 1) * backwardBound, "\(subject.name)")
      }
    }
  }
}
