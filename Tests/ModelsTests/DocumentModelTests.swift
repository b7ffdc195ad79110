import Attention
import AttentionCore
import Basics
import LabTestSupport
import Settings
import Tasks
import Tensors
import Testing

@testable import Layers
@testable import Models
@testable import Training

/// Models of documents and pairs: trained, saved, continued, and refused where settings do not fit.
@Suite struct DocumentModelTests {
  static func trainer(_ task: String, _ changes: [String: ParameterValue], steps: Int) throws -> Trainer {
    let taskSettings: [String: ParameterValue] =
      task == "facts"
      ? ["facts": .int(3), "length": .int(3), "entities": .int(4), "attributes": .int(2)]
      : [
        "sentences": .int(3), "words": .int(4), "classes": .int(3), "distractors": .int(1),
        "vocabulary": .int(9),
      ]
    let task = try TaskCatalog.sequences.make(task, settings: taskSettings, key: RandomKey(seed: 1))
    var settings: [String: ParameterValue] = [
      "kind": .string("encoder"), "width": .int(16), "layers": .int(1), "heads": .int(2), "hidden": .int(16),
    ]
    settings.merge(changes) { $1 }
    let model = Trainer.fit(try ModelConfiguration(settings: settings), to: task)
    let training = try TrainingConfiguration(settings: [
      "steps": .int(steps), "batch": .int(16), "learning_rate": .double(0.01), "evaluate_every": .int(0),
      "schedule": .string("constant"), "evaluation_batches": .int(4),
    ])
    return try Trainer(
      model: TransformerModel(model, catalog: .standard, context: .recycling(threads: 1)), task: task,
      configuration: training)
  }

  static let cases: [(task: String, settings: [String: ParameterValue])] = [
    ("evidence", ["hierarchy": .string("han"), "separator": .int(1)]),
    ("evidence", ["hierarchy": .string("hat"), "separator": .int(1), "pooling": .string("segments")]),
    ("facts", ["kind": .string("pair"), "co_attention": .string("parallel")]),
    ("facts", ["kind": .string("pair"), "co_attention": .string("alternating")]),
  ]

  @Test("each learns its task", arguments: cases.indices)
  func learns(index: Int) throws {
    let trainer = try Self.trainer(Self.cases[index].task, Self.cases[index].settings, steps: 120)
    let start = try trainer.evaluate(.validation, batches: 4).mean
    while !trainer.isFinished { _ = try trainer.advance() }
    #expect(trainer.bestLoss < 0.7 * start, "from \(start) to \(trainer.bestLoss)")
  }

  @Test("each is saved and continued to the same bits", arguments: cases.indices)
  func resumes(index: Int) throws {
    let run = try ResumedTraining(after: 3) {
      try Self.trainer(Self.cases[index].task, Self.cases[index].settings, steps: 6)
    }
    try run.finish()
    #expect(
      try TransformerModel(contentsOf: run.path, catalog: .standard).layout.slots
        == run.whole.model.layout.slots)
  }

  @Test("padding changes no bit of a class", arguments: cases.indices)
  func padding(index: Int) throws {
    let trainer = try Self.trainer(Self.cases[index].task, Self.cases[index].settings, steps: 1)
    var input = ModelInput(try trainer.task.batch(split: .test, index: 0, batchSize: 4))
    input.lengths = input.lengths.map { $0.map { max(1, $0 - 1) } } ?? [2, 3, 1, 2]
    let before = try trainer.model.logits(input).array()
    let length = input.length
    for (row, count) in (input.lengths ?? []).enumerated() {
      for place in count..<length { input.tokens[row * length + place] = 1 }
    }
    #expect(try trainer.model.logits(input).array() == before)
  }

  @Test(
    "settings that do not fit are one clear line",
    arguments: [
      (
        ["hierarchy": .string("han"), "kind": .string("encoder"), "classes": .int(2)],
        "segment_length: 0 is not allowed; it takes at least 1 with hierarchy han, or a separator"
      ),
      (
        ["hierarchy": .string("hat"), "separator": .int(1)],
        "hierarchy: hat is not allowed; it takes none unless kind is encoder"
      ),
      (
        ["hierarchy": .string("han"), "separator": .int(1), "kind": .string("encoder")],
        "hierarchy: han is not allowed; it takes hat or none for a task that is no classification"
      ),
      (
        [
          "hierarchy": .string("hat"), "separator": .int(1), "kind": .string("encoder"),
          "residual": .string("reversible"),
        ], "residual: reversible is not allowed; it takes pre or post with hierarchy hat"
      ),
      (
        ["pooling": .string("segments"), "kind": .string("encoder"), "classes": .int(2)],
        "pooling: segments is not allowed; it takes mean, attention or first without a hierarchy"
      ),
      (
        ["kind": .string("pair")],
        "kind: pair is not allowed; it takes another for a task that is no classification"
      ),
    ] as [([String: ParameterValue], String)])
  func refusals(settings: [String: ParameterValue], line: String) throws {
    let error = #expect(throws: ConfigurationError.self) {
      try ModelConfiguration(settings: settings).validate(in: .standard)
    }
    #expect(error?.description == line)
  }
}
