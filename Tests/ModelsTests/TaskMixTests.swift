import ArrayFiles
import Attention
import AttentionCore
import Basics
import Foundation
import LabTestSupport
import Settings
import Tasks
import Tensors
import Testing

@testable import Layers
@testable import Models
@testable import Training

/// Several tasks at once: one body, a head a task, and gradients that are the weighted sum of those of the tasks.
@Suite struct TaskMixTests {
  static func task(_ id: String, _ settings: [String: ParameterValue]) throws -> any SequenceTask {
    try TaskCatalog.sequences.make(id, settings: settings, key: RandomKey(seed: 5))
  }

  static let main: (String, [String: ParameterValue]) = (
    "induction", ["length": .int(8), "vocabulary": .int(6)]
  )
  static let other: (String, [String: ParameterValue]) = (
    "echo", ["length": .int(6), "vocabulary": .int(4), "distance": .int(2)]
  )

  /// A trainer of induction with echo, and what else is asked for, beside it.
  static func trainer(
    _ part: AuxiliaryTask.Part?, _ training: [String: ParameterValue] = [:],
    model: [String: ParameterValue] = [:]
  ) throws -> Trainer {
    let task = try task(main.0, main.1)
    let auxiliary = try part.map {
      [AuxiliaryTask(name: "copy", task: try Self.task(other.0, other.1), part: $0)]
    }
    let base: [String: ParameterValue] = [
      "width": .int(16), "layers": .int(1), "heads": .int(2), "hidden": .int(16),
    ]
    let own = Trainer.fit(
      try ModelConfiguration(settings: base.merging(model) { $1 }, in: .standard), to: task)
    return try Trainer(
      model: TransformerModel(
        Trainer.fit(own, to: auxiliary ?? [], beside: task), catalog: .standard,
        context: .recycling(threads: 1)),
      task: task, auxiliary: auxiliary ?? [],
      configuration: TrainingConfiguration(
        settings: [
          "batch": .int(4), "steps": .int(12), "warmup": .int(2), "evaluate_every": .int(4),
          "evaluation_batches": .int(2),
        ].merging(training) { $1 }))
  }

  private static func settings(
    _ kind: String, tied: Bool, classes: Int, heads: String
  ) -> [String: ParameterValue] {
    [
      "kind": .string(kind), "vocabulary": .int(11), "width": .int(12), "layers": .int(2), "heads": .int(2),
      "hidden": .int(10), "maximum_length": .int(8), "seed": .int(3), "tied": .bool(tied),
      "classes": .int(classes), "task_heads": .string(heads),
    ]
  }

  private static func input(_ outputs: Int, ofClasses: Bool, vocabulary: Int, seed: UInt64) -> ModelInput {
    var random = RandomKey(seed: seed).generator()
    var input = ModelInput(
      batch: 3, tokens: (0..<21).map { _ in Int32(random.integer(below: vocabulary)) })
    input.targets = (0..<(ofClasses ? 3 : 21)).map { _ in Int32(random.integer(below: outputs)) }
    input.lengths = [7, 4, 6]
    return input
  }

  /// Weights by name into a model that has them.
  private static func store(_ weights: [String: Tensor], in model: TransformerModel) throws {
    for slot in model.layout.slots {
      let values = try #require(weights[slot.name], "\(slot.name)")
      #expect(values.shape == slot.shape, "\(slot.name)")
      model.state.weights.replace(from: slot.offset, with: values)
    }
  }

  @Test(
    "the gradient of the joint loss is the weighted sum of those of two models of one task each",
    arguments: [
      ("decoder", true, 0, "copy(tokens=7)"), ("decoder", false, 0, "copy(tokens=11)"),
      ("encoder", true, 5, "copy(classes=3)"), ("encoder", false, 5, "copy(tokens=9)"),
    ])
  func sums(_ kind: String, _ tied: Bool, _ classes: Int, _ line: String) throws {
    let isClass = line.contains("classes")
    let joint = try TransformerModel(
      ModelConfiguration(settings: Self.settings(kind, tied: tied, classes: classes, heads: line)),
      catalog: .standard, context: .recycling(threads: 1))
    let head = try #require(try joint.configuration.taskHeads().first)
    let outputs = isClass ? head.classes : head.tokens
    // The same bodies with the one head and with the other, as they were before there were several.
    let first = try TransformerModel(
      ModelConfiguration(settings: Self.settings(kind, tied: tied, classes: classes, heads: "")),
      catalog: .standard, context: .recycling(threads: 1))
    var alone = Self.settings(kind, tied: false, classes: head.classes, heads: "")
    if !isClass { alone["output_vocabulary"] = .int(outputs) }
    let second = try TransformerModel(
      ModelConfiguration(settings: alone), catalog: .standard, context: .recycling(threads: 1))
    let weights = joint.namedWeights()
    try Self.store(weights, in: first)
    let heads = weights.filter { $0.key.hasPrefix("heads.") }.map { name, values in
      (name.replacing("heads.copy.", with: isClass ? "classifier." : "output."), values)
    }
    try Self.store(weights.merging(heads) { $1 }, in: second)
    let a = Self.input(
      classes > 0 ? classes : 11, ofClasses: classes > 0, vocabulary: 11, seed: 1)
    let b = Self.input(outputs, ofClasses: isClass, vocabulary: 11, seed: 2)
    var named = b
    named.task = "copy"
    let key = RandomKey(seed: 4)
    for model in [joint, first, second] { model.clearGradients() }
    let joined = (
      try joint.accumulateGradients(a, key: key), try joint.accumulateGradients(named, factor: 0.3, key: key)
    )
    #expect(try first.accumulateGradients(a, key: key) == joined.0)
    #expect(try second.accumulateGradients(b, factor: 0.3, key: key) == joined.1)
    #expect(try second.logits(b).array() == joint.logits(named).array())
    let sums = joint.namedGradients(), one = first.namedGradients(), two = second.namedGradients()
    for (name, found) in sums {
      let own = name.replacing("heads.copy.", with: isClass ? "classifier." : "output.")
      let isHead = name.hasPrefix("heads."), isMainHead = !isHead && one[name] != nil && !isBody(name)
      let parts = [isHead ? nil : one[name], isMainHead ? nil : two[own]].compactMap(\.self)
      #expect(!parts.isEmpty, "\(name)")
      var gap = 0.0, size = 0.0
      let arrays = parts.map { $0.array() }
      for (place, value) in found.array().enumerated() {
        let sum = arrays.reduce(0.0) { $0 + Double($1[place]) }
        gap += (Double(value) - sum) * (Double(value) - sum)
        size += sum * sum
      }
      #expect(
        gap.squareRoot() <= 1e-6 * size.squareRoot(), "\(name): \(gap.squareRoot()) of \(size.squareRoot())")
    }
    func isBody(_ name: String) -> Bool {
      !["classifier.", "output.", "pooling"].contains { name.hasPrefix($0) }
    }
  }

  @Test(
    "a decoder that tells a class from the mean, or by attention, has the gradients that differences have",
    arguments: ["mean", "attention"])
  func differences(_ pooling: String) throws {
    var settings = Self.settings("decoder", tied: true, classes: 0, heads: "topic(classes=4)")
    settings["pooling"] = .string(pooling)
    let model = try TransformerModel(
      ModelConfiguration(settings: settings), catalog: .standard, context: .recycling(threads: 1))
    let text = Self.input(11, ofClasses: false, vocabulary: 11, seed: 1)
    var topics = Self.input(4, ofClasses: true, vocabulary: 11, seed: 2)
    topics.task = "topic"
    let key = RandomKey(seed: 21)
    func loss() throws -> Double {
      try model.accumulateGradients(text, key: key).mean
        + 0.5 * model.accumulateGradients(topics, factor: 0.5, key: key).mean
    }
    let noise = try Tensor.normal([model.layout.count], key: key("noise"), standardDeviation: 0.1)
    model.context.accumulate(noise, into: &model.state.weights)
    model.clearGradients()
    _ = try loss()
    let gradients = model.state.gradients.array(), weights = model.state.weights.array()
    for slot in model.layout.slots {
      let part = gradients[slot.range].map(Double.init)
      let norm = part.map { $0 * $0 }.reduce(0, +).squareRoot()
      #expect(norm > 0, "\(slot.name)")
      func moved(_ step: Double) throws -> Double {
        var changed = weights
        for (place, index) in slot.range.enumerated() { changed[index] += Float(step * part[place] / norm) }
        model.state.weights = try Tensor(changed, shape: [changed.count])
        return try loss()
      }
      let step = 4e-3
      let numeric =
        (8 * (try moved(step) - moved(-step)) - (try moved(2 * step) - moved(-2 * step))) / (12 * step)
      #expect(
        abs(numeric - norm) <= 0.01 * norm + 6e-4,
        "\(slot.name): \(norm) by backward, \(numeric) by differences")
      model.state.weights = try Tensor(weights, shape: [weights.count])
    }
  }

  @Test(
    "an auxiliary task of weight 0 leaves the bits of the main training as they are",
    arguments: ["adamw", "sgd"], [1, 2])
  func nothing(_ optimizer: String, _ accumulation: Int) throws {
    let settings: [String: ParameterValue] = [
      "optimizer": .string(optimizer), "accumulation": .int(accumulation), "clip": .double(0.2),
    ]
    let model: [String: ParameterValue] = ["dropout": .double(0.1), "tied": .bool(false)]
    let alone = try Self.trainer(nil, settings, model: model)
    let beside = try Self.trainer(.weight(0), settings, model: model)
    var norms: [[Double]] = [[], []]
    while !alone.isFinished { norms[0].append(try alone.advance().gradientNorm) }
    while !beside.isFinished { norms[1].append(try beside.advance().gradientNorm) }
    #expect(norms[0] == norms[1] && norms[0].contains { $0 > 0.2 })
    let before = alone.model.namedWeights(), after = beside.model.namedWeights()
    #expect(after.count == before.count + 1)
    for (name, values) in before { #expect(after[name]?.array() == values.array(), "\(name)") }
    #expect(beside.evaluations == alone.evaluations && beside.tokens == alone.tokens)
    #expect(beside.progress.map(\.steps) == [12, 0])
    #expect(beside.progress[1].evaluations.count == 3)
  }

  @Test(
    "a training on two tasks goes on from a checkpoint to the bits of one that was never stopped",
    arguments: [AuxiliaryTask.Part.weight(0.5), .share(0.4)])
  func resumed(_ part: AuxiliaryTask.Part) throws {
    let run = try ResumedTraining {
      try Self.trainer(part, ["accumulation": .int(2)], model: ["dropout": .double(0.1)])
    }
    #expect(run.second.progress == run.first.progress && run.second.step == 5)
    try run.finish()
    #expect(run.second.evaluations == run.whole.evaluations)
    #expect(run.second.progress == run.whole.progress)
    #expect(run.second.tokens == run.whole.tokens)
    #expect(run.whole.progress.map(\.steps).reduce(0, +) == (part == .share(0.4) ? 12 : 24))
    #expect(run.whole.progress.map(\.tokens).reduce(0, +) == run.whole.tokens)
    // Both heads are in the file, and so is what the other task has been.
    let loaded = try TransformerModel(contentsOf: run.path, catalog: .standard)
    #expect(loaded.configuration == run.first.model.configuration)
    for other in [AuxiliaryTask.Part.weight(0.25), nil] {
      let trainer = try Self.trainer(other, ["accumulation": .int(2)], model: ["dropout": .double(0.1)])
      #expect(throws: SafetensorsError.self) { try trainer.resume(from: run.path) }
    }
  }

  @Test("shares are what they say, and are those of the seed")
  func shares() throws {
    let trainer = try Self.trainer(.share(0.3))
    let drawn = (1...4000).map { trainer.tasks(ofStep: $0) }
    #expect(drawn.allSatisfy { $0.count == 1 })
    let share = Double(drawn.count { $0 == [1] }) / 4000
    // Three standard deviations.
    #expect(abs(share - 0.3) < 3 * (0.3 * 0.7 / 4000).squareRoot(), "\(share)")
    let other = try Self.trainer(.share(0.3), ["seed": .int(2)])
    #expect((1...4000).map { other.tasks(ofStep: $0) } != drawn)
    #expect(try Self.trainer(.weight(0.3)).tasks(ofStep: 7) == [0, 1])
  }

  @Test("both tasks are learned, and each step says what each has lost")
  func learns() throws {
    let trainer = try Self.trainer(
      .weight(1),
      ["steps": .int(80), "learning_rate": .double(0.01), "batch": .int(8), "evaluate_every": .int(0)])
    let start = (
      try trainer.evaluate(.validation, batches: 2).mean,
      try trainer.evaluate(.validation, batches: 2, ofAuxiliary: 0).mean
    )
    var report = try trainer.advance()
    #expect(report.losses.map(\.task) == [nil, "copy"] && report.losses[0].loss == report.loss)
    while !trainer.isFinished { report = try trainer.advance() }
    #expect(trainer.bestLoss < 0.9 * start.0, "\(start.0), \(trainer.bestLoss)")
    let end = try #require(report.auxiliary.first?.validationLoss)
    #expect(end < 0.9 * start.1, "\(start.1), \(end)")
  }

  @Test("a larger vocabulary of the other task leaves the main one's logits as many as they were")
  func vocabularies() throws {
    let task = try Self.task("copying", ["tokens": .int(2), "blanks": .int(2), "vocabulary": .int(30)])
    let own = Trainer.fit(
      try ModelConfiguration(settings: ["width": .int(8), "layers": .int(1), "heads": .int(2)]),
      to: try Self.task(Self.main.0, Self.main.1))
    let configuration = Trainer.fit(
      own, to: [AuxiliaryTask(name: "copy", task: task, part: .weight(1))],
      beside: try Self.task(Self.main.0, Self.main.1))
    #expect(configuration.vocabulary == task.vocabularySize && configuration.vocabulary > own.vocabulary)
    // The main head has no logits for the other task's tokens.
    let wrong = #expect(throws: ConfigurationError.self) { try Trainer.check(configuration, for: task) }
    #expect(wrong?.field == "output_vocabulary")
    let model = try TransformerModel(configuration, catalog: .standard, context: .recycling(threads: 1))
    let alone = try TransformerModel(own, catalog: .standard, context: .recycling(threads: 1))
    var input = ModelInput(batch: 1, tokens: [1, 2, 3])
    // Parameters draw from keys of their names, and rows of the table in turn.
    #expect(try model.logits(input).array() == alone.logits(input).array())
    input.task = "copy"
    #expect(try model.logits(input).shape == [1, 3, task.vocabularySize])
    let tokens = try model.generate(prompt: [1, 2], count: 5, task: "copy").tokens
    #expect(try tokens == model.generate(prompt: [1, 2], count: 5, useCache: false, task: "copy").tokens)
    input.task = "cop"
    let error = #expect(throws: ConfigurationError.self) { try model.logits(input) }
    #expect(error?.allowed == "an auxiliary task of this model: copy")
  }

  @Test(
    "what cannot be combined is refused in one line",
    arguments: [
      (["task_heads": ParameterValue.string("a(classes=2)"), "kind": .string("encoder-decoder")], "kind"),
      (["task_heads": .string("a(classes=2)"), "pooling": .string("first")], "pooling"),
      (["task_heads": .string("a(tokens=400)")], "task_heads"),
      (["task_heads": .string("a(tokens=4)"), "memory": .int(4)], "memory"),
      (["output_vocabulary": .int(400)], "output_vocabulary"),
    ])
  func refused(_ settings: [String: ParameterValue], _ field: String) throws {
    var all = Self.settings("decoder", tied: true, classes: 0, heads: "")
    all.merge(settings) { $1 }
    let error = #expect(throws: ConfigurationError.self) {
      try TransformerModel(ModelConfiguration(settings: all), catalog: .standard)
    }
    #expect(error?.field == field, "\(error.map { "\($0)" } ?? "")")
  }

  @Test(
    "names, numbers and kinds of heads that are none are refused",
    arguments: [
      "a", "a(classes=0)", "a(tokens=2, classes=3)", "a.b(tokens=2)", "a(tokens=2), a(tokens=3)", "(",
    ])
  func lines(_ line: String) throws {
    #expect(throws: ConfigurationError.self) {
      try ModelConfiguration(settings: ["task_heads": .string(line)])
    }
  }

  @Test("shares beside weights, shares of 1 and ranks of rows are refused")
  func parts() throws {
    func allowed(_ parts: [AuxiliaryTask.Part], _ training: TrainingConfiguration = TrainingConfiguration())
      throws -> String?
    {
      let main = try Self.task(Self.main.0, Self.main.1), other = try Self.task(Self.other.0, Self.other.1)
      let auxiliary = parts.enumerated().map { AuxiliaryTask(name: "t\($0)", task: other, part: $1) }
      let model = Trainer.fit(
        Trainer.fit(ModelConfiguration(), to: main), to: auxiliary, beside: main)
      do throws(ConfigurationError) { try Trainer.check(model, for: auxiliary, beside: main, training) } catch
      {
        return "\(error.field): \(error.allowed)"
      }
      return nil
    }
    #expect(try allowed([.weight(1), .weight(0)]) == nil)
    #expect(try allowed([.weight(1), .share(0.2)])?.hasPrefix("share: weights for all") == true)
    #expect(try allowed([.share(0.5), .share(0.5)])?.hasPrefix("share: less than 1") == true)
    #expect(try allowed([.share(0)])?.hasPrefix("share: a number between") == true)
    #expect(try allowed([.weight(-1)])?.hasPrefix("weight: a number from 0") == true)
    var rows = TrainingConfiguration()
    rows.gradientSum = .rows
    #expect(try allowed([.weight(1)], rows)?.hasPrefix("auxiliary: none with gradient_sum") == true)
    let reversal = try Self.task("reversal", [:])
    #expect(throws: ConfigurationError.self) {
      try Trainer.check(
        ModelConfiguration(), for: [AuxiliaryTask(name: "r", task: reversal, part: .weight(1))],
        beside: try Self.task(Self.main.0, Self.main.1), TrainingConfiguration())
    }
  }
}
