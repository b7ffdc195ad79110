import Attention
import AttentionCore
import Basics
import Layers
import Settings
import Tensors
import Testing
import Vision

@testable import Models
@testable import Training

/// Transformers over patches: meaning, gradients, and what is refused.
@Suite struct VisionTransformerTests {
  static let settings: [String: ParameterValue] = [
    "kind": .string("vit"), "tied": .bool(false), "position": .string("learned"), "width": .int(8),
    "heads": .int(2), "layers": .int(2), "hidden": .int(12), "features": .int(2), "classes": .int(3),
    "patch": .int(2), "image_height": .int(4), "image_width": .int(6), "epsilon": .double(1e-6),
  ]

  private func model(_ more: [String: ParameterValue] = [:]) throws -> TransformerModel {
    let configuration = try ModelConfiguration(settings: Self.settings.merging(more) { $1 }, in: .standard)
    return try TransformerModel(configuration, catalog: .standard, context: .recycling(threads: 1))
  }

  private func input(_ batch: Int, height: Int = 4, width: Int = 6) throws -> ModelInput {
    let pixels = try Tensor.normal([batch, height, width, 2], key: RandomKey(seed: 7)("pixels"))
    return ModelInput(images: pixels, targets: (0..<batch).map { Int32($0 % 3) })
  }

  @Test(
    "gradients are difference quotients of the loss",
    arguments: [
      [:], ["pooling": "first"], ["position": "sinusoidal", "pooling": "first"],
      ["attention": "window-2d(width=3, rows=1, columns=1, leading=1)", "pooling": "first"],
      ["frames": "2", "pooling": "first"], ["frames": "2", "video": "divided", "pooling": "first"],
      ["frames": "2", "video": "divided", "position": "none"],
      ["residual": "reversible"], ["pretext": "masked", "pooling": "first"],
      ["pretext": "contrastive", "view_noise": "0"], ["pretext": "frozen"],
    ] as [[String: String]])
  func gradients(settings: [String: String]) throws {
    let model = try model(settings.mapValues { ParameterValue(parsing: $0) }), input = try input(2)
    model.clearGradients()
    _ = try model.accumulateGradients(input, key: RandomKey(seed: 0), training: false)
    let gradients = model.state.gradients.array()
    let isProbed = settings["pretext"] != nil && settings["pretext"] != "frozen"
    for slot in model.layout.slots {
      // A probe's loss is not in the loss that is reported, and a frozen trunk hears nothing of it.
      if isProbed && slot.name.hasPrefix("classifier") { continue }
      if settings["pretext"] == "frozen" && !slot.name.hasPrefix("classifier") {
        #expect(gradients[slot.range].allSatisfy { $0 == 0 }, "\(slot.name)")
        continue
      }
      let drawn = try Tensor.normal([slot.count], key: RandomKey(seed: 2)(slot.name)).array()
      let length = drawn.reduce(0) { $0 + $1 * $1 }.squareRoot()
      let direction = drawn.map { $0 / length }
      let expected = zip(direction, gradients[slot.range]).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
      func loss(_ step: Float) throws -> Double {
        let before = model.state.weights
        defer { model.state.weights = before }
        for (index, d) in zip(slot.range, direction) { model.state.weights[index] += step * d }
        return try model.loss(input).mean
      }
      // A smaller step crosses fewer kinks of the projection's max(x, 0).
      let isKinked = settings["pretext"] == "contrastive"
      let step: Float = isKinked ? 1e-3 : 4e-3
      let near = try loss(step) - loss(-step), far = try loss(2 * step) - loss(-2 * step)
      let found = (8 * near - far) / Double(12 * step)
      #expect(
        abs(found - expected) < (isKinked ? 0.03 : 0.01) * abs(expected) + (isKinked ? 2e-3 : 4e-4),
        "\(slot.name): \(found), \(expected)")
    }
  }

  @Test("a patch is its pixels row by row, and a class token stands before all")
  func patches() throws {
    let model = try model(["pooling": .string("first")])
    let trunk = try #require(model.trunk as? VisionTransformer)
    var run = model.evaluationRun
    run.batch = 1
    let pixels = try Tensor((0..<48).map { Float($0) }, shape: [24, 2])
    let patches = try trunk.embedding.patches(of: pixels, run)
    // Pixel (y, x) has the numbers 2(6y + x) and one more: the second patch begins at column 2.
    #expect(patches.shape == [6, 8] && patches.row(1) == [4, 5, 6, 7, 16, 17, 18, 19])
    #expect(
      trunk.embedding.length == 7 && trunk.embedding.places(batch: 2).prefix(7) == [1, 2, 3, 4, 5, 6, 8])
    let (rows, _) = try trunk.embedding.forward(pixels, run)
    let weights = model.namedWeights()
    let token = try #require(weights["encoder.class"]).array()
    let table = try #require(weights["encoder.positions.weight"])
    #expect(rows.row(0) == zip(token, table.row(0)).map { $0 + $1 })
  }

  @Test("divided attention is the equation, row by row, in double precision")
  func divided() throws {
    // One head of width 4 and no feed-forward to speak of: what is left is the two attentions.
    let model = try model([
      "frames": .int(2), "video": .string("divided"), "pooling": .string("first"), "layers": .int(1),
    ])
    let trunk = try #require(model.trunk as? VisionTransformer)
    let block = try #require(trunk.divided?.blocks.first)
    var run = model.evaluationRun
    run.batch = 2
    let length = 1 + 2 * 3
    let x = try Tensor.normal([2 * length, 8], key: RandomKey(seed: 3))
    let found = try block.forward(x, run).output
    // The parts by the layers of one sequence each.
    func branch(_ sublayer: Sublayer, _ rows: [[Float]]) throws -> [[Float]] {
      var one = run
      one.batch = 1
      let y = try sublayer.branch(Tensor(rows.flatMap { $0 }, shape: [rows.count, 8]), adding: nil, one)
        .output
      return (0..<rows.count).map { y.row($0) }
    }
    func sum(_ a: [Float], _ b: [Float]) -> [Float] { zip(a, b).map { $0 + $1 } }
    for image in 0..<2 {
      var rows = (0..<length).map { x.row(image * length + $0) }
      for place in 0..<3 {
        let over = try branch(block.time, [rows[1 + place], rows[4 + place]])
        let dense = try block.timeOutput.product(Tensor(over.flatMap { $0 }, shape: [2, 8]), run)
        for frame in 0..<2 {
          rows[1 + 3 * frame + place] = sum(rows[1 + 3 * frame + place], dense.row(frame))
        }
      }
      let seen = try (0..<2).map { frame in
        try branch(block.space, [rows[0]] + rows[1 + 3 * frame..<4 + 3 * frame])
      }
      for frame in 0..<2 {
        for place in 0..<3 {
          rows[1 + 3 * frame + place] = sum(rows[1 + 3 * frame + place], seen[frame][1 + place])
        }
      }
      rows[0] = zip(rows[0], zip(seen[0][0], seen[1][0])).map { $0 + ($1.0 + $1.1) / 2 }
      let after = try branch(block.feedForward, rows)
      for row in 0..<length {
        let expected = sum(rows[row], after[row])
        for (a, b) in zip(found.row(image * length + row), expected) { #expect(abs(a - b) < 1e-4) }
      }
    }
  }

  @Test(
    "what does not fit is refused in one line that names it",
    arguments: [
      (["patch": "4"], "patch"), (["image_height": "0"], "image_height"), (["frames": "3"], "frames"),
      (["video": "divided"], "frames"), (["classes": "0"], "kind"), (["features": "0"], "kind"),
      (["position": "sinusoidal", "width": "6", "heads": "2"], "width"),
      (["kind": "encoder", "pretext": "masked"], "pretext"),
      (["pretext": "masked", "pooling": "attention"], "pooling"),
    ] as [([String: String], String)])
  func refusals(settings: [String: String], field: String) throws {
    let error = #expect(throws: ConfigurationError.self) {
      try self.model(settings.mapValues { ParameterValue(parsing: $0) })
    }
    #expect(try #require(error).field == field)
  }

  @Test("images of another size are refused; one pixel and one channel are legal")
  func sizes() throws {
    let model = try model()
    #expect(throws: ConfigurationError.self) { try model.logits(self.input(2, height: 6, width: 4)) }
    let small = try self.model([
      "patch": .int(1), "image_height": .int(1), "image_width": .int(1), "features": .int(1),
    ])
    let pixels = try Tensor([0.5, -1], shape: [2, 1, 1, 1])
    #expect(try small.logits(ModelInput(images: pixels)).shape == [2, 3])
  }

  @Test(
    "counted operations of divided attention are fewer than those of joint, and a pretext's are its passes'")
  func operations() throws {
    let input = try input(2)
    func count(_ more: [String: ParameterValue]) throws -> Double {
      try model(more).trainingOperations(input)
    }
    let plain = try count([:])
    // 2 images of 6 patches of 8 numbers, made 8 wide: one of the products that are counted three times.
    #expect(plain > 3 * 2 * 2 * 6 * 8 * 8)
    #expect(try count(["pretext": .string("frozen")]) < plain)
    #expect(try count(["pretext": .string("contrastive")]) > 2 * plain)
  }

  @Test(
    "a model starts from the trunk of another; what makes predictions is taken where it fits, and a probe is drawn"
  )
  func start() throws {
    func values(_ model: TransformerModel, _ isKept: (String) -> Bool) -> [String: [Float]] {
      model.namedWeights().filter { isKept($0.key) }.mapValues { $0.array() }
    }
    let isTrunk = { (name: String) in name.hasPrefix("encoder.") },
      isHead = { (name: String) in !isTrunk(name) }
    let other = try model(["pretext": .string("masked"), "seed": .int(2)])
    for pretext in ["none", "masked", "contrastive", "frozen"] {
      let drawn = try model(["pretext": .string(pretext)])
      let fresh = values(drawn, isHead)
      try drawn.start(from: other, at: "m")
      #expect(values(drawn, isTrunk) == values(other, isTrunk), "\(pretext)")
      let mine = values(drawn, isHead), theirs = values(other, isHead)
      for (name, numbers) in mine {
        let isTaken = theirs[name]?.count == numbers.count && pretext != "frozen"
        #expect(numbers == (isTaken ? theirs[name] : fresh[name]), "\(pretext), \(name)")
      }
    }
    // Another number of classes leaves the classifier as it was drawn.
    let more = try model(["classes": .int(5)]), classifier = values(more) { $0.hasPrefix("classifier.") }
    try more.start(from: other, at: "m")
    #expect(values(more) { $0.hasPrefix("classifier.") } == classifier)
  }

  @Test(
    "a model that has other layers is named by the first parameter that does not fit, and nothing is changed")
  func startRefused() throws {
    let other = try model(["seed": .int(2)])
    for (settings, words) in [
      (["layers": .int(3)], "encoder.layers.2.attention.query.weight is missing there"),
      (["patch": .int(1)], "encoder.patches.weight is [8, 2], as here; there it is [8, 8]"),
    ] as [([String: ParameterValue], String)] {
      let mine = try model(settings), before = mine.state.weights.array()
      let error = #expect(throws: ConfigurationError.self) { try mine.start(from: other, at: "folder") }
      let text = "\(try #require(error))"
      #expect(text.contains(words) && text.contains("folder"), "\(text)")
      #expect(mine.state.weights.array() == before)
    }
  }
}
