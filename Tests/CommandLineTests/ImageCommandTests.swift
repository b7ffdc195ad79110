import ArrayFiles
import Foundation
import LabTestSupport
import Testing

/// What commands do with models of images: attention maps, swaps, linear probes, and units of losses.
@Suite struct ImageCommandTests {
  private static func train(_ folder: String, _ more: String...) throws -> BuiltProgram.Result {
    let small = [
      "task.height=8", "task.width=8", "model.width=8", "model.layers=2", "model.heads=2", "model.hidden=8",
      "training.batch=4", "training.evaluation_batches=1",
    ]
    return try BuiltProgram.attnlab.run(
      ["train", "digits", "--steps", "2", "--threads", "1", "--checkpoint", folder]
        + (small + more).flatMap { ["--set", $0] })
  }

  private static func images(_ shape: [Int], to path: String) throws {
    let count = shape.reduce(1, *)
    try NpyArray((0..<count).map { Float($0 % 7) / 7 }, shape: shape).write(to: path)
  }

  private static func json(_ arguments: String...) throws -> [String: Any] {
    let run = try BuiltProgram.attnlab.run(arguments + ["--json"])
    #expect(run.code == 0, "\(run.errors)")
    return try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
  }

  /// The one line of a call that is refused.
  private static func refusal(_ arguments: String...) throws -> String {
    let run = try BuiltProgram.attnlab.run(arguments)
    #expect(run.code == 2 && run.errorLines.count == 1, "\(arguments): \(run.errors)")
    return run.errors
  }

  @Test(
    "maps of a ViT are [layers, batch, heads, rows, rows], the class token first, and a row's weights sum to 1"
  )
  func maps() throws {
    let scratch = try Scratch(), folder = scratch("vit"), images = scratch("x.npy"), maps = scratch("a.npy")
    #expect(try Self.train(folder, "model.kind=vit", "model.patch=4", "model.pooling=first").code == 0)
    try Self.images([3, 8, 8, 1], to: images)
    let run = try BuiltProgram.attnlab.run([
      "forward", "--checkpoint", folder, "--images", images, "--attention", maps,
    ])
    #expect(run.code == 0, "\(run.errors)")
    let found = try NpyArray(contentsOf: maps)
    #expect(found.shape == [2, 3, 2, 5, 5])
    let weights = found.floats
    for row in stride(from: 0, to: weights.count, by: 5) {
      #expect(abs(weights[row..<row + 5].reduce(0, +) - 1) < 1e-5)
    }
    for picture in ["a.svg", "a.png"] {
      let drawn = try BuiltProgram.attnlab.run([
        "forward", "--checkpoint", folder, "--images", images, "--attention", scratch(picture),
      ])
      #expect(drawn.code == 0, "\(drawn.errors)")
    }
  }

  @Test("a window over the patches of another grid is refused, in a training and in a swap")
  func gridOfAnother() throws {
    let scratch = try Scratch(), folder = scratch("vit"), images = scratch("x.npy")
    #expect(try Self.train(folder, "model.kind=vit", "model.patch=2", "model.pooling=first").code == 0)
    try Self.images([3, 8, 8, 1], to: images)
    for line in ["window-2d", "window-2d(width=4)", "window-2d(width=5, leading=1)"] {
      let swap = try BuiltProgram.attnlab.run(
        "swap", "--checkpoint", folder, "--images", images, "--attention", line)
      let trained = try Self.train(
        scratch("other"), "model.kind=vit", "model.patch=2", "model.pooling=first", "model.attention=\(line)")
      for run in [swap, trained] {
        #expect(run.code == 2 && run.errors.contains("width=4 and leading=1 here"), "\(run.errors)")
      }
    }
  }

  @Test("a swap in a ViT tells how far the rows of patches and the class of an image move")
  func swap() throws {
    let scratch = try Scratch(), folder = scratch("vit"), images = scratch("x.npy")
    #expect(try Self.train(folder, "model.kind=vit", "model.patch=2", "model.pooling=first").code == 0)
    try Self.images([3, 8, 8, 1], to: images)
    let same = try Self.json("swap", "--checkpoint", folder, "--images", images, "--variant", "full")
    #expect(same["final_error"] as? Double == 0 && same["logits_error"] as? Double == 0)
    #expect(same["top1_agreement"] as? Double == 1 && same["batch"] as? Int == 3)
    let logits = scratch("l.npy"), hidden = scratch("h.npy"), direct = scratch("d.npy")
    let other = try Self.json(
      "swap", "--checkpoint", folder, "--images", images, "--attention",
      "window-2d(width=4, rows=1, columns=1, leading=1)", "--logits", logits, "--hidden", hidden, "--stats")
    let layers = try #require(other["layers"] as? [[String: Any]])
    #expect(layers.count == 2 && layers.allSatisfy { ($0["attention_error"] as? Double ?? 0) > 0 })
    #expect(layers.allSatisfy { (0.1..<1).contains($0["kept_mass"] as? Double ?? 0) })
    #expect((other["logits_error"] as? Double ?? 0) > 0)
    #expect(try NpyArray(contentsOf: hidden).shape == [3, 3, 17, 8])
    // What is swapped for itself predicts what forward does.
    _ = try Self.json(
      "swap", "--checkpoint", folder, "--images", images, "--variant", "full", "--logits", logits)
    #expect(
      try BuiltProgram.attnlab.run([
        "forward", "--checkpoint", folder, "--images", images, "--logits", direct,
      ]).code == 0)
    #expect(try NpyArray(contentsOf: logits).shape == [3, 10])
    #expect(try NpyArray(contentsOf: logits).floats == NpyArray(contentsOf: direct).floats)
    let text = try BuiltProgram.attnlab.run([
      "swap", "--checkpoint", folder, "--variant", "linear", "--batch", "2",
    ])
    #expect(text.output.contains("2 images of 8 × 8 pixels (random, seed 1)"), "\(text.output)\(text.errors)")
    #expect(text.output.contains("of images"))
    for (arguments, words) in [
      (["--n", "4"], "reads images"), (["--tokens", images], "reads images"),
      (["--images", images, "--batch", "3"], "leave out --batch"), (["--batch", "0"], "at least 1"),
    ] {
      let run = try BuiltProgram.attnlab.run(
        ["swap", "--checkpoint", folder, "--variant", "full"] + arguments)
      #expect(run.code == 2 && run.errorLines.count == 1 && run.errors.contains(words), "\(run.errors)")
    }
    try Self.images([3, 4, 8, 1], to: images)
    #expect(
      try Self.refusal("swap", "--checkpoint", folder, "--images", images, "--variant", "full").contains(
        "8 × 8 for this model"))
  }

  @Test("models without a single stack of attention refuse a swap in one line")
  func swapRefused() throws {
    let scratch = try Scratch(), folder = scratch("cnn")
    #expect(
      try Self.train(folder, "model.kind=cnn", "model.channels=4", "model.stages=1", "model.blocks=1").code
        == 0)
    #expect(try Self.refusal("swap", "--checkpoint", folder, "--variant", "linear").contains("kind cnn"))
    let video = scratch("video")
    let run = try BuiltProgram.attnlab.run(
      ["train", "moving-digits", "--steps", "1", "--threads", "1", "--checkpoint", video]
        + [
          "model.kind=vit", "model.video=divided", "model.patch=8", "model.width=8", "model.layers=1",
          "model.heads=2",
          "training.batch=2", "training.evaluation_batches=1",
        ].flatMap { ["--set", $0] })
    #expect(run.code == 0, "\(run.errors)")
    #expect(
      try Self.refusal("swap", "--checkpoint", video, "--variant", "linear").contains("time and space apart"))
  }

  @Test("a linear probe reads a saved trunk, which stays as it is, and learns a classifier of its own")
  func probe() throws {
    let scratch = try Scratch(), first = scratch("masked"), second = scratch("probe")
    let model = ["model.kind=vit", "model.patch=4"]
    #expect(try Self.train(first, model[0], model[1], "model.pretext=masked").code == 0)
    let probe = try Self.train(second, model[0], model[1], "model.pretext=frozen", "training.start=\(first)")
    #expect(probe.code == 0, "\(probe.errors)")
    let before = try Safetensors(contentsOf: first + "/model.safetensors").tensors
    let after = try Safetensors(contentsOf: second + "/model.safetensors").tensors
    for (name, tensor) in after {
      let isSame = tensor.array() == before[name]?.array()
      #expect(isSame == name.hasPrefix("encoder."), "\(name)")
    }
    #expect(after["classifier.weight"] != nil)
    let other = try Self.train(scratch("other"), model[0], "model.patch=2", "training.start=\(first)")
    #expect(other.code == 2 && other.errorLines.count == 1, "\(other.errors)")
    #expect(other.errors.contains("encoder.patches.weight"), "\(other.errors)")
    let missing = try Self.train(scratch("third"), model[0], model[1], "training.start=\(scratch("none"))")
    #expect(missing.code == 2 && missing.errorLines.count == 1 && missing.errors.contains("no such file"))
  }

  @Test("the loss of hidden patches is a mean squared error wherever its unit stands")
  func units() throws {
    let scratch = try Scratch(), folder = scratch("masked")
    let run = try Self.train(folder, "model.kind=vit", "model.patch=4", "model.pretext=masked")
    #expect(
      run.code == 0 && run.output.contains("(mean squared error)") && !run.output.contains("nats"),
      "\(run.output)")
    let compared = try BuiltProgram.attnlab.run(["compare", folder]).output
    #expect(
      compared.contains("losses are mean squared errors of pixels") && !compared.contains("nats"),
      "\(compared)")
    let page = try String(contentsOfFile: folder + "/report.html", encoding: .utf8)
    #expect(page.contains("Losses are mean squared errors of pixels") && !page.contains("nats)"))
    // Beside a classifier both are said.
    let other = scratch("labels")
    #expect(try Self.train(other, "model.kind=vit", "model.patch=4").output.contains("nats"))
    let both = try BuiltProgram.attnlab.run(["compare", folder, other]).output
    #expect(both.contains("losses in nats, with pretext masked mean squared errors"), "\(both)")
  }
}
