import ArrayFiles
import Attention
import AttentionCore
import Basics
import Foundation
import LabTestSupport
import Ranks
import Settings
import Tasks
import Tensors
import Testing

@testable import Layers
@testable import Models
@testable import Training

/// A training over ranks has the bits of one process, whatever the number of ranks.
@Suite struct RankedTrainingTests {
  /// Where a training ends.
  struct End: Equatable {
    let weights: [UInt32]
    let moments: [UInt32]
    let evaluations: [Trainer.Evaluation]
    let losses: [Double]
    let norms: [Double]

    init(_ trainer: Trainer, _ reports: [Trainer.StepReport]) {
      weights = trainer.model.state.weights.array().map(\.bitPattern)
      moments = trainer.optimizer.first.array().map(\.bitPattern)
      (evaluations, losses, norms) = (trainer.evaluations, reports.map(\.loss), reports.map(\.gradientNorm))
    }
  }

  static func trainer(
    _ settings: [String: ParameterValue], _ model: [String: ParameterValue] = [:], task: String = "induction",
    over ranks: (any Communicator)? = nil
  ) throws -> Trainer {
    let base: [String: ParameterValue] = [
      "gradient_sum": .string("rows"), "steps": .int(4), "evaluate_every": .int(2),
    ]
    let plain = try TrainerTests.trainer(base.merging(settings) { $1 }, model: model, task: task)
    return try Trainer(
      model: plain.model, task: plain.task, configuration: plain.configuration, communicator: ranks)
  }

  static func run(_ trainer: Trainer, until step: Int = .max) throws -> End {
    var reports: [Trainer.StepReport] = []
    while !trainer.isFinished, trainer.step < step { reports.append(try trainer.advance()) }
    return End(trainer, reports)
  }

  /// Rows of a pass, passes, ranks.
  @Test(
    "any number of ranks ends with the weights, moments, losses and norms of one process, bit for bit",
    arguments: [(4, 1, 2), (4, 1, 4), (5, 1, 3), (3, 2, 4), (7, 1, 7), (6, 3, 5)])
  func equalBits(batch: Int, passes: Int, ranks: Int) throws {
    let settings: [String: ParameterValue] = [
      "batch": .int(batch), "accumulation": .int(passes), "evaluation_batches": .int(3),
    ]
    let model: [String: ParameterValue] = ["dropout": .double(0.1)]
    let one = try Self.run(Self.trainer(settings, model))
    let ends = try ThreadGroup.run(ranks, delays: RandomKey(seed: 3)) { rank -> End in
      try Self.run(Self.trainer(settings, model, over: rank))
    }
    #expect(ends.count == ranks && ends.allSatisfy { $0 == one })
    #expect(one.losses.allSatisfy(\.isFinite) && Set(one.losses).count == one.losses.count)
  }

  @Test("the sum over rows is the sum over a pass, up to rounding")
  func agreesWithPasses() throws {
    // Without AdamW's division, which makes a rounding error of a gradient near 0 a step.
    let settings: [String: ParameterValue] = [
      "optimizer": .string("sgd"), "batch": .int(6), "steps": .int(3),
    ]
    let rows = try Self.trainer(settings),
      passes = try TrainerTests.trainer(settings.merging(["evaluate_every": .int(2)]) { $1 })
    let end = try Self.run(rows)
    var losses: [Double] = []
    while !passes.isFinished { losses.append(try passes.advance().loss) }
    #expect(zip(end.losses, losses).allSatisfy { abs($0 - $1) < 1e-5 * abs($1) })
    let worst = zip(rows.model.state.weights.array(), passes.model.state.weights.array()).map { abs($0 - $1) }
      .max()
    #expect((worst ?? 1) < 1e-5)
  }

  @Test(
    "tasks whose rows have different lengths, or no label, are shared as well",
    arguments: ["listops", "mqar"])
  func otherTasks(task: String) throws {
    let settings: [String: ParameterValue] = ["batch": .int(5), "steps": .int(2), "evaluate_every": .int(0)]
    @Sendable func make(_ ranks: (any Communicator)?) throws -> Trainer {
      let source = try TaskCatalog.sequences.make(
        task,
        settings: task == "mqar" ? ["length": .int(16), "vocabulary": .int(16), "pairs": .int(2)] : [:],
        key: RandomKey(seed: 5))
      let configuration = Trainer.fit(
        try ModelConfiguration(
          settings: [
            "width": .int(16), "layers": .int(1), "heads": .int(2), "hidden": .int(16),
            "kind": .string(task == "listops" ? "encoder" : "decoder"),
          ], in: .standard), to: source)
      return try Trainer(
        model: TransformerModel(configuration, catalog: .standard, context: .recycling(threads: 1)),
        task: source,
        configuration: TrainingConfiguration(
          settings: settings.merging(["gradient_sum": .string("rows"), "evaluation_batches": .int(2)]) { $1 }),
        communicator: ranks)
    }
    let one = try Self.run(make(nil))
    let ends = try ThreadGroup.run(2) { rank -> End in try Self.run(make(rank)) }
    #expect(ends.allSatisfy { $0 == one })
  }

  @Test("a checkpoint of some ranks is gone on from by others, and by one process, to the same bits")
  func resumes() throws {
    let settings: [String: ParameterValue] = ["batch": .int(4), "steps": .int(6)]
    let scratch = try Scratch(), whole = try Self.run(Self.trainer(settings))
    let files = try [1, 2, 4].map { ranks -> String in
      let file = scratch("\(ranks).safetensors")
      _ = try ThreadGroup.run(ranks) { rank in
        let trainer = try Self.trainer(settings, over: rank)
        _ = try Self.run(trainer, until: 3)
        if rank.rank == 0 { try trainer.save(to: file) }
      }
      return file
    }
    let bytes = try files.map { try Data(contentsOf: URL(fileURLWithPath: $0)) }
    #expect(bytes.allSatisfy { $0 == bytes[0] })
    for ranks in [1, 3] {
      let ends = try ThreadGroup.run(ranks) { rank -> End in
        let trainer = try Self.trainer(settings, over: rank)
        try trainer.resume(from: files[1])
        try trainer.checkAgreement()
        return try Self.run(trainer)
      }
      #expect(ends.allSatisfy { $0.weights == whole.weights && $0.evaluations == whole.evaluations })
    }
  }

  @Test("a rank that did not find the checkpoint is named, on every rank")
  func disagreement() throws {
    let scratch = try Scratch(), file = scratch("c.safetensors")
    let first = try Self.trainer([:])
    _ = try Self.run(first, until: 2)
    try first.save(to: file)
    #expect {
      try ThreadGroup.run(3) { rank in
        let trainer = try Self.trainer([:], over: rank)
        if rank.rank != 2 { try trainer.resume(from: file) }
        try trainer.checkAgreement()
      }
    } throws: { "\($0)".contains("step 0 on rank 2, step 2 on rank 0") }
  }

  private struct Given: Error, CustomStringConvertible { let description = "the disk is full" }

  @Test("a rank that fails ends the training of all others, with its reason in one line")
  func failure() throws {
    let time = BodyTime()
    #expect {
      try ThreadGroup.run(4) { rank in
        let trainer = try Self.trainer(["steps": .int(1000), "evaluate_every": .int(0)], over: rank)
        do {
          while !trainer.isFinished {
            if rank.rank == 1, trainer.step == 1 { throw Given() }
            _ = try trainer.advance()
          }
        } catch let error as RankFailure {
          #expect("\(error)" == "rank 1 ended: the disk is full")
          throw error
        }
      }
    } throws: { $0 is Given }
    #expect(time.seconds < 10)
  }

  @Test("what ranks cannot share is refused in one line before any time is spent")
  func refusals() throws {
    func refusal(_ settings: [String: ParameterValue], _ model: [String: ParameterValue] = [:]) throws
      -> String
    {
      do {
        _ = try ThreadGroup.run(3) { rank in _ = try Self.trainer(settings, model, over: rank) }
        return ""
      } catch { return "\(error)" }
    }
    #expect(try refusal(["batch": .int(2)]).contains("at most 2 here"))
    #expect(try refusal([:], ["norm": .string("batch")]).contains("gradients are summed row by row"))
    #expect(try refusal(["gradient_sum": .string("passes")]).contains("rows where ranks share them"))
    #expect(try refusal(["sequence_ranks": .int(3)]).contains("0 where ranks share no sequences"))
  }

  @Test("a stop that one rank asks for is one of all")
  func stops() throws {
    let asked = try ThreadGroup.run(3) { rank in
      try Self.trainer([:], over: rank).anyRank(rank.rank == 1)
    }
    #expect(asked == [true, true, true])
  }

  @Test(
    "every rank but the first sends its rows' sum once, and the total reaches each once",
    arguments: [2, 4, 8])
  func traffic(ranks: Int) throws {
    let count = 10
    let sent = try ThreadGroup.run(ranks) { rank -> Traffic in
      let tree = GradientTree(rows: 8, communicator: rank)
      let total = try tree.sum(count, .recycling(threads: 1)) { row in
        try Tensor([Float](repeating: Float(row), count: count), shape: [count])
      }
      #expect(total.array() == [Float](repeating: 28, count: count))
      return rank.traffic.current
    }
    #expect(sent.reduce(0) { $0 + $1.messages } == 2 * (ranks - 1))
    #expect(sent.reduce(0) { $0 + $1.bytesSent } == 2 * (ranks - 1) * count * 4)
  }
}
