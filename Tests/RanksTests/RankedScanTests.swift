import Attention
import AttentionCore
import Basics
import LabTestSupport
import RankCases
import Settings
import Tensors
import Testing

@testable import Ranks

/// Recurrences over ranks: states move, rows stay.
@Suite struct RankedScanTests {
  /// Recurrences, found in the catalogue.
  static let ids: [String] = Catalog.standard.types.compactMap { type in
    type is any RecurrentVariant.Type ? type.card.id : nil
  }

  private func make(_ id: String, _ settings: [String: ParameterValue] = [:], _ shape: AttentionShape) throws
    -> RankCase
  {
    try RankCase(
      Catalog.standard.make(id, settings: settings, shape: shape, key: RandomKey(seed: 1)))
  }

  private func expectSmall(_ errors: [String: Double], _ what: String) {
    for (name, error) in errors { #expect(error <= 1, "\(what): \(name) is off by \(error) of its bound") }
  }

  @Test(
    "every recurrence gives on 1 to 4 ranks what its definition says, all gradients too, at lengths that divide by nothing",
    arguments: ids)
  func everyRecurrence(id: String) throws {
    for (number, settings) in Conformance.samples(of: try Catalog.standard.type(of: id)).enumerated() {
      for (index, length) in [1, 2, 5, 63, 131, 257].enumerated() {
        for isCausal in [true, false] {
          let shape = try AttentionShape(
            batch: 2, queryHeads: 4, keyHeads: 2, queryLength: length, headDim: 8, valueDim: 12,
            isCausal: isCausal)
          guard let test = try? make(id, settings, shape) else { continue }
          let ranks = 2 + (index + number) % 3
          expectSmall(
            try test.errors(try test.run(ranks, threads: 1 + index % 2)),
            "\(id) \(settings), \(length) tokens, \(ranks) ranks, causal \(isCausal)")
        }
      }
    }
  }

  @Test(
    "padding, a prefix of queries without keys, more keys than queries and ranks without rows are right",
    arguments: ids)
  func shapes(id: String) throws {
    let shapes = try [
      AttentionShape(
        batch: 3, queryHeads: 4, keyHeads: 2, queryLength: 101, headDim: 8, valueDim: 12, isCausal: true,
        keyLengths: [101, 37, 0]),
      AttentionShape(queryHeads: 2, queryLength: 33, keyLength: 190, headDim: 8, isCausal: true),
      AttentionShape(queryHeads: 2, queryLength: 80, keyLength: 30, headDim: 8, isCausal: true),
      AttentionShape(queryHeads: 2, queryLength: 90, keyLength: 1, headDim: 8, isCausal: true),
      AttentionShape(queryHeads: 4, keyHeads: 2, queryLength: 1, keyLength: 100, headDim: 8, isCausal: true),
      AttentionShape(queryLength: 33, keyLength: 2, headDim: 8, keyLengths: [1]),
      AttentionShape(batch: 2, queryLength: 70, headDim: 8, keyLengths: [70, 20]),
    ]
    for shape in shapes {
      let isOne = shape.queryLength == shape.keyLength
      guard let test = try? make(id, isOne || id != "mamba2" ? [:] : ["skip": .bool(false)], shape) else {
        #expect(!shape.isCausal)
        continue
      }
      for ranks in 2...4 {
        expectSmall(try test.errors(try test.run(ranks)), "\(id), \(shape.summary), \(ranks) ranks")
      }
    }
  }

  @Test("rows dealt in zigzag, as those of other layers of a stack are, give the same", arguments: ids)
  func zigzag(id: String) throws {
    let shape = try AttentionShape(
      batch: 2, queryHeads: 2, queryLength: 141, headDim: 8, valueDim: 40, isCausal: true,
      keyLengths: [141, 60])
    let test = try make(id, [:], shape)
    for ranks in 2...4 {
      let layout = SequenceLayout.zigzag(141, ranks: ranks)
      let result = try test.run(ranks, .small(layout: layout), delays: RandomKey(seed: 4))
      expectSmall(try test.errors(result), "\(id), zigzag on \(ranks) ranks")
    }
  }

  @Test(
    "results have the same bits whatever message arrives when, and on any number of threads", arguments: ids)
  func sameBits(id: String) throws {
    let shape = try AttentionShape(
      queryHeads: 4, keyHeads: 2, queryLength: 150, headDim: 8, valueDim: 70, isCausal: true)
    let test = try make(id, [:], shape)
    let quiet = try test.run(4)
    for seed in 1...2 {
      let delayed = try test.run(4, threads: 1 + seed, delays: RandomKey(seed: UInt64(seed)))
      #expect(delayed.hasBits(of: quiet), "\(id), delays of seed \(seed)")
    }
  }

  @Test("P − 1 ranks send their states, whatever the length; without causality all send theirs to all")
  func traffic() throws {
    let (batch, keyHeads, d, v) = (2, 3, 8, 40)
    for id in Self.ids {
      for (length, ranks) in [(100, 2), (333, 2), (100, 4), (333, 4)] {
        for isCausal in [true, false] {
          let shape = try AttentionShape(
            batch: batch, queryHeads: 2 * keyHeads, keyHeads: keyHeads, queryLength: length, headDim: d,
            valueDim: v, isCausal: isCausal)
          guard let test = try? make(id, [:], shape) else { continue }
          let recurrence = try #require(test.variant as? any RecurrentVariant).recurrence
          let result = try test.run(ranks)
          let normalizer = recurrence.normalizer == nil ? 0 : d
          let bytes = 4 * batch * keyHeads * (d * v + normalizer)
          // Under the delta rule 32 columns of a head are a message, else all states are.
          let messages = recurrence.isDelta ? batch * keyHeads * 2 : 1
          for rank in 0..<ranks {
            let forward = isCausal ? (rank < ranks - 1 ? 1 : 0) : ranks - 1
            let backward = isCausal ? (rank > 0 ? 1 : 0) : ranks - 1
            #expect(result.forward[rank].bytesSent == forward * bytes, "\(id), rank \(rank)")
            #expect(result.forward[rank].messages == forward * messages)
            #expect(result.backward[rank].bytesSent == backward * bytes)
            #expect(result.backward[rank].messages == backward * messages)
          }
        }
      }
    }
  }

  @Test("a state that fades to nothing, and one that does not fade, pass on without an overflow")
  func extremes() throws {
    let shape = try AttentionShape(
      batch: 1, queryHeads: 2, queryLength: 200, headDim: 8, isCausal: true)
    for rate: Float in [-30, 0, 6] {
      for id in ["mamba2", "gated-delta"] {
        let test = try make(id, [:], shape)
        var inputs = test.inputs
        inputs[.decayRate] = try Tensor([rate, -rate], shape: [2])
        let changed = test.reading(inputs)
        expectSmall(try changed.errors(try changed.run(3)), "\(id), A = ±\(rate)")
      }
    }
  }

  @Test("an output beyond single precision ends all ranks in one line that names its row; in padding it is 0")
  func overflow() throws {
    let shape = try AttentionShape(queryLength: 90, headDim: 8, isCausal: true)
    let test = try make("linear", [:], shape)
    var inputs = test.inputs
    for t in 0..<8 { inputs.value[0, 0, 70, t] = .infinity }
    #expect {
      try test.reading(inputs).run(3)
    } throws: { ($0 as? StateOverflow)?.query == 70 }
    var padded = shape
    padded.keyLengths = [75]
    for id in ["linear", "retention"] {
      let whole = try make(id, [:], padded)
      inputs = whole.inputs
      for t in 0..<8 { inputs.query[0, 0, 80, t] = .infinity }
      let clean = try whole.run(3), spoiled = try whole.reading(inputs).run(3)
      #expect(spoiled.output[80 * 8..<81 * 8].allSatisfy { $0 == 0 })
      #expect(spoiled.output[..<(75 * 8)] == clean.output[..<(75 * 8)])
      #expect(spoiled.gradients.values.allSatisfy { $0.allSatisfy(\.isFinite) })
    }
  }

  @Test("what ranks cannot share is refused in one line")
  func refused() throws {
    let shape = try AttentionShape(queryLength: 20, keyLength: 60, headDim: 8, isCausal: true)
    var heads = RankOptions()
    heads.road = .heads
    for (id, options, text) in [
      ("linear", heads, "of a recurrence states move"), ("mamba2", RankOptions(), "as many queries as keys"),
    ] {
      let variant = try make(id, [:], shape).variant
      #expect {
        try ThreadGroup.run(2) { try RankedAttention(variant, over: $0, options: options).shape }
      } throws: { "\($0)".contains(text) && !"\($0)".contains("\n") }
    }
  }
}
