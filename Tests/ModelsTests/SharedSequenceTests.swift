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

/// Ranks that share sequences, and groups of such ranks that share the sequences of a step.
@Suite struct SharedSequenceTests {
  /// What the model has, length, ranks, ranks of a group.
  private static let cases: [([String: ParameterValue], Int, Int, Int)] = [
    (["position": .string("rope")], 23, 2, 0),
    (["position": .string("alibi")], 31, 3, 0),
    (["position": .string("learned"), "kind": .string("encoder")], 17, 4, 0),
    (["position": .string("sinusoidal"), "attention": .string("sliding-window")], 29, 3, 0),
    (["position": .string("rope-interleaved")], 64, 4, 0),
    // Rows and sequences shared at once: three sequences over two groups, and over three.
    (["position": .string("rope")], 19, 4, 2),
    (["position": .string("rope"), "kind": .string("encoder")], 21, 6, 2),
    (["position": .string("alibi")], 9, 3, 1),
    // Recurrences pass their states on, and beside full attention go by its layout.
    (["attention": .string("gated-delta")], 29, 3, 0),
    (["attention": .string("mamba2, full")], 37, 2, 0),
    (["attention": .string("retention"), "position": .string("rope")], 19, 4, 2),
    (["attention": .string("linear"), "kind": .string("encoder")], 23, 3, 0),
    // Latents: what heads are made of stays where its rows are; heads' keys travel.
    (["latent": .int(6), "key_heads": .int(0), "rope_width": .int(4)], 23, 3, 0),
    (
      ["latent": .int(6), "key_heads": .int(0), "query_latent": .int(5), "position": .string("learned")], 25,
      4,
      2
    ),
  ]

  @Test(
    "ranks that share sequences end where one process does, up to rounding, and all at the same bits",
    arguments: cases)
  func sequences(changes: [String: ParameterValue], length: Int, ranks: Int, size: Int) throws {
    let settings: [String: ParameterValue] = [
      "optimizer": .string("sgd"), "batch": .int(3), "accumulation": .int(2), "steps": .int(3),
      "gradient_sum": .string("parts"), "evaluation_batches": .int(2), "label_smoothing": .double(0.1),
      "sequence_ranks": .int(size),
    ]
    let model = ["layers": .int(2), "key_heads": .int(1)].merging(changes) { $1 }
    let one = try RankedTrainingTests.run(Self.long(settings, model, length))
    let ends = try ThreadGroup.run(ranks, delays: RandomKey(seed: 3)) {
      rank -> (RankedTrainingTests.End, Traffic) in
      (try RankedTrainingTests.run(Self.long(settings, model, length, over: rank)), rank.traffic.current)
    }
    #expect(ends.allSatisfy { $0.0 == ends[0].0 && $0.1.bytesSent > 0 })
    let end = ends[0].0
    #expect(zip(end.losses, one.losses).allSatisfy { abs($0 - $1) < 1e-5 * abs($1) })
    #expect(
      zip(end.evaluations, one.evaluations).allSatisfy {
        abs($0.validationLoss - $1.validationLoss) < 1e-5 && $0.validationAccuracy == $1.validationAccuracy
      })
    func values(_ bits: [UInt32]) -> [Float] { bits.map { Float(bitPattern: $0) } }
    let worst = zip(values(end.weights), values(one.weights)).map { abs($0 - $1) }.max()
    #expect((worst ?? 1) < 2e-5)
    #expect(one.losses.count == 3 && one.losses[0] != one.losses[2])
  }

  /// A trainer over sequences whose length divides by nothing.
  private static func long(
    _ settings: [String: ParameterValue], _ model: [String: ParameterValue], _ length: Int,
    over ranks: (any Communicator)? = nil
  ) throws -> Trainer {
    let base: [String: ParameterValue] = ["steps": .int(4), "evaluate_every": .int(2)]
    let plain = try TrainerTests.trainer(
      base.merging(settings) { $1 }, model: model,
      settings: ["length": .int(length), "vocabulary": .int(6)])
    return try Trainer(
      model: plain.model, task: plain.task, configuration: plain.configuration, communicator: ranks)
  }

  @Test("a rank none of whose rows is labelled walks back for the others", arguments: ["pre", "reversible"])
  func unlabelled(residual: String) throws {
    let settings: [String: ParameterValue] = [
      "optimizer": .string("sgd"), "batch": .int(1), "steps": .int(3), "gradient_sum": .string("parts"),
      "evaluate_every": .int(0),
    ]
    @Sendable func run(_ ranks: (any Communicator)?) throws -> [Double] {
      let plain = try TrainerTests.trainer(
        settings, model: ["residual": .string(residual), "layers": .int(2)], task: "mqar",
        settings: ["length": .int(24), "vocabulary": .int(16), "pairs": .int(2)])
      let trainer = try Trainer(
        model: plain.model, task: plain.task, configuration: plain.configuration, communicator: ranks)
      // Two labels, six ranks.
      #expect(try trainer.input(.train, index: 0).scoredTargets.count { $0 >= 0 } < 6)
      return try RankedTrainingTests.run(trainer).losses
    }
    let one = try run(nil), six = try ThreadGroup.run(6) { try run($0) }
    for losses in six {
      #expect(losses.count == 3 && zip(losses, one).allSatisfy { abs($0 - $1) < 1e-5 * abs($1) })
    }
  }

  @Test("a checkpoint of ranks that share sequences is gone on from by any number of ranks")
  func sequencesResume() throws {
    let settings: [String: ParameterValue] = ["gradient_sum": .string("parts"), "batch": .int(2)]
    let scratch = try Scratch(), file = scratch("c.safetensors")
    _ = try ThreadGroup.run(3) { rank in
      let trainer = try Self.long(settings, [:], 21, over: rank)
      _ = try RankedTrainingTests.run(trainer, until: 2)
      if rank.rank == 0 { try trainer.save(to: file) }
    }
    let losses = try [1, 2, 4].map { ranks -> [Double] in
      try ThreadGroup.run(ranks) { rank -> [Double] in
        let trainer = try Self.long(settings, [:], 21, over: rank)
        try trainer.resume(from: file)
        try trainer.checkAgreement()
        return try RankedTrainingTests.run(trainer).losses
      }[0]
    }
    #expect(losses.allSatisfy { $0.count == 2 && zip($0, losses[0]).allSatisfy { abs($0 - $1) < 1e-4 } })
  }

  @Test("what a rank holds of sequences that are shared falls with the number of ranks")
  func sequencesMemory() throws {
    func peak(_ ranks: Int) throws -> Int {
      try ThreadGroup.run(ranks) { rank -> Int in
        let ledger = MemoryLedger(), length = 512
        let source = try TaskCatalog.sequences.make(
          "induction", settings: ["length": .int(length), "vocabulary": .int(6)], key: RandomKey(seed: 5))
        let configuration = Trainer.fit(
          try ModelConfiguration(
            settings: ["width": .int(16), "layers": .int(2), "heads": .int(2), "hidden": .int(32)],
            in: .standard),
          to: source)
        let trainer = try Trainer(
          model: TransformerModel(
            configuration, catalog: .standard, context: ExecutionContext(threads: 1, ledger: ledger)),
          task: source,
          configuration: TrainingConfiguration(settings: [
            "gradient_sum": .string("parts"), "batch": .int(1), "steps": .int(1), "evaluate_every": .int(0),
          ]), communicator: rank)
        let before = ledger.currentBytes
        _ = try trainer.advance()
        return ledger.peakBytes - before
      }.max() ?? 0
    }
    let (one, two, four) = (try peak(1), try peak(2), try peak(4))
    #expect(Double(two) < 0.7 * Double(one) && Double(four) < 0.7 * Double(two), "\(one), \(two), \(four)")
  }

  /// Task, pooling, residual, length, ranks, ranks of a group.
  @Test(
    "the class of a shared sequence is one rank's, and learnt by all",
    arguments: [
      ("listops", "mean", "pre", 3, 0), ("listops", "first", "post", 4, 2),
      ("listops", "mean", "reversible", 2, 0),
    ])
  func classes(task: String, pooling: String, residual: String, ranks: Int, size: Int) throws {
    let settings: [String: ParameterValue] = [
      "optimizer": .string("sgd"), "batch": .int(5), "steps": .int(3), "evaluate_every": .int(2),
      "evaluation_batches": .int(2), "gradient_sum": .string("parts"), "sequence_ranks": .int(size),
    ]
    @Sendable func make(_ over: (any Communicator)?) throws -> Trainer {
      // Lines of several lengths: the mean is over real rows, which one rank may have none of.
      let plain = try TrainerTests.trainer(
        settings,
        model: [
          "kind": .string("encoder"), "pooling": .string(pooling), "residual": .string(residual),
          "layers": .int(2),
        ], task: task,
        settings: ["minimum": .int(4), "maximum": .int(40), "depth": .int(3), "arguments": .int(5)])
      return try Trainer(
        model: plain.model, task: plain.task, configuration: plain.configuration, communicator: over)
    }
    #expect(try make(nil).input(.train, index: 0).lengths != nil)
    let one = try RankedTrainingTests.run(make(nil))
    let ends = try ThreadGroup.run(ranks) { try RankedTrainingTests.run(make($0)) }
    #expect(ends.allSatisfy { $0 == ends[0] } && one.losses.count == 3)
    #expect(zip(ends[0].losses, one.losses).allSatisfy { abs($0 - $1) < 1e-5 * abs($1) })
    #expect(
      zip(ends[0].evaluations, one.evaluations).allSatisfy {
        abs($0.validationLoss - $1.validationLoss) < 1e-5 && $0.validationAccuracy == $1.validationAccuracy
      })
    let worst = zip(ends[0].weights, one.weights).map {
      abs(Float(bitPattern: $0) - Float(bitPattern: $1))
    }.max()
    #expect((worst ?? 1) < 2e-5)
  }

  @Test(
    "ranks of a group send each other keys, and all ranks one sum of gradients: groups do not hear each other's"
  )
  func groupTraffic() throws {
    let settings: [String: ParameterValue] = [
      "batch": .int(4), "steps": .int(2), "evaluate_every": .int(0), "gradient_sum": .string("parts"),
    ]
    // Chunks of whole tiles: of a part of a tile all keys move that the tile sees.
    let length = 512
    @Sendable func sent(_ ranks: Int, _ size: Int) throws -> (bytes: Int, parameters: Int) {
      let own = try ThreadGroup.run(ranks) { rank -> (Int, Int) in
        let trainer = try Self.long(
          settings.merging(["sequence_ranks": .int(size)]) { $1 }, [:], length, over: rank)
        let before = rank.traffic.current
        _ = try trainer.advance()
        return ((rank.traffic.current - before).bytesSent, trainer.model.layout.count)
      }
      return (own.reduce(0) { $0 + $1.0 }, own[0].1)
    }
    // Without keys: the sums of gradients, 2 (P − 1)·4n bytes, and some numbers of the loss.
    func gradients(_ ranks: Int, _ parameters: Int) -> Int { 2 * (ranks - 1) * 4 * parameters }
    let alone = try sent(2, 1), pairs = try sent(4, 2), four = try sent(4, 4)
    func keys(_ sent: (bytes: Int, parameters: Int), _ ranks: Int) -> Int {
      sent.bytes - gradients(ranks, sent.parameters)
    }
    let numbers = keys(alone, 2)
    #expect(numbers < 2000, "the losses of two ranks are \(numbers) bytes")
    // 3/4 N (P − 1) keys forward, and twice as much backward; 16 elements each of k and v, one layer, four sequences.
    func formula(_ ranks: Int) -> Int { 3 * 4 * length * 3 * (ranks - 1) / 4 * 2 * 16 * 4 }
    #expect((0..<5000).contains(keys(pairs, 4) - formula(2)), "\(keys(pairs, 4)), \(formula(2))")
    #expect((0..<5000).contains(keys(four, 4) - formula(4)), "\(keys(four, 4)), \(formula(4))")
  }

  @Test("what cannot be shared is refused in one line before any time is spent, or at the first step")
  func refusals() throws {
    func refusal(
      _ settings: [String: ParameterValue], _ model: [String: ParameterValue] = [:], ranks: Int = 3
    )
      throws -> String
    {
      let parts: [String: ParameterValue] = ["gradient_sum": .string("parts")]
      do {
        _ = try ThreadGroup.run(ranks) { rank in
          let trainer = try RankedTrainingTests.trainer(parts.merging(settings) { $1 }, model, over: rank)
          _ = try trainer.advance()
        }
        return ""
      } catch { return "\(error)" }
    }
    let encoder: [String: ParameterValue] = ["kind": .string("encoder")]
    for (settings, model, ranks, text) in [
      ([:], ["norm": .string("batch")], 3, "any other norm where ranks share sequences"),
      ([:], encoder.merging(["hierarchy": .string("hat")]) { $1 }, 3, "hierarchy"),
      ([:], ["memory": .int(4)], 3, "memory"),
      ([:], ["attention": .string("lsh")], 3, "pattern does not depend on their inputs"),
      ([:], ["attention": .string("full(score=additive)")], 3, "read q, k and v alone"),
      ([:], [:], 5, "at most 4 here: every rank needs rows at two places of 8 tokens"),
      (["sequence_ranks": .int(2)], [:], 3, "a multiple of sequence_ranks = 2"),
      (["sequence_ranks": .int(1), "batch": .int(2)], [:], 3, "at most 2 here: every group needs one of 2"),
    ] as [([String: ParameterValue], [String: ParameterValue], Int, String)] {
      let line = try refusal(settings, model, ranks: ranks)
      #expect(line.contains(text) && !line.contains("\n"), "\(model) \(settings): \(line)")
    }
  }
}
