import Attention
import AttentionCore
import Basics
import LabTestSupport
import RankCases
import Settings
import Tensors
import Testing

@testable import Ranks

@Suite struct RankedAttentionTests {
  /// Variants that ranks take: whoever has a fixed pattern and reads q, k and v, found in the catalogue.
  static let ids: [String] = Catalog.standard.types.compactMap { type in
    type is any PatternVariant.Type ? type.card.id : nil
  }

  private func expectSmall(_ errors: [String: Double], _ what: String) {
    for (name, error) in errors { #expect(error <= 1, "\(what): \(name) is off by \(error) of its bound") }
  }

  @Test(
    "Every variant with a fixed pattern gives on 1 to 4 ranks what its definition says, at lengths that divide by nothing",
    arguments: ids)
  func everyVariant(id: String) throws {
    let type = try Catalog.standard.type(of: id)
    for (number, settings) in Conformance.samples(of: type).enumerated() {
      for (index, length) in [1, 2, 5, 63, 100, 131].enumerated() {
        let isCausal = (index + number) % 2 == 0
        let shape = try AttentionShape(queryHeads: 2, queryLength: length, headDim: 8, isCausal: isCausal)
        guard
          let variant = try? Catalog.standard.make(
            id, settings: settings, shape: shape, key: RandomKey(seed: 1)),
          variant.operandsRead == Operand.standard
        else { continue }
        let test = try RankCase(variant)
        let ranks = 1 + (index + number) % 4
        expectSmall(
          try test.errors(try test.run(ranks, .small())),
          "\(id) \(settings), \(length) tokens, \(ranks) ranks, causal \(isCausal)")
      }
    }
  }

  @Test(
    "Grouped heads, padding, queries and keys of other lengths and rows without keys are right on every number of ranks",
    arguments: 2...5)
  func shapes(ranks: Int) throws {
    let shapes = try [
      AttentionShape(
        batch: 2, queryHeads: 6, keyHeads: 2, queryLength: 101, headDim: 8, valueDim: 12, isCausal: true,
        keyLengths: [101, 37]),
      AttentionShape(
        batch: 3, queryHeads: 2, keyHeads: 1, queryLength: 70, headDim: 8, keyLengths: [0, 3, 70]),
      AttentionShape(queryLength: 33, keyLength: 90, headDim: 16),
      AttentionShape(queryLength: 33, keyLength: 90, headDim: 16, isCausal: true),
      AttentionShape(queryLength: 80, keyLength: 30, headDim: 16, isCausal: true),
      AttentionShape(queryHeads: 4, keyHeads: 2, queryLength: 1, keyLength: 100, headDim: 16, isCausal: true),
      AttentionShape(queryLength: 90, keyLength: 1, headDim: 16),
    ]
    for shape in shapes {
      for (id, settings) in [
        ("full", [:]), ("full", ["softcap": .double(1.5)]),
        ("sliding-window", ["left": .int(13), "right": .int(4)]),
        ("chunked", ["chunk": .int(24), "before": .int(1)]),
      ] as [(String, [String: ParameterValue])] {
        let test = try RankCase(id, settings, shape)
        expectSmall(try test.errors(try test.run(ranks, .small())), "\(id), \(shape.summary), \(ranks) ranks")
      }
    }
  }

  @Test("Results have the same bits whatever message arrives when, and on any number of threads")
  func sameBits() throws {
    let shape = try AttentionShape(
      queryHeads: 4, keyHeads: 2, queryLength: 150, headDim: 8, isCausal: true)
    for (id, settings) in [
      ("full", [:]), ("local-global", ["left": .int(9), "global_tokens": .int(2)]),
    ]
      as [(String, [String: ParameterValue])]
    {
      let test = try RankCase(id, settings, shape)
      let quiet = try test.run(4, .small())
      for seed in 1...4 {
        let delayed = try test.run(
          4, .small(), threads: 1 + seed % 3, delays: RandomKey(seed: UInt64(seed)))
        #expect(delayed.hasBits(of: quiet), "\(id), delays of seed \(seed)")
      }
    }
  }

  @Test(
    "One rank gives the bits of the variant itself, and rows that see no other rank's keys keep them on more ranks"
  )
  func bitsOfOneRank() throws {
    let shape = try AttentionShape(queryHeads: 2, queryLength: 512, headDim: 16, isCausal: true)
    let test = try RankCase("sliding-window", ["left": .int(20)], shape)
    let alone = try test.variant.attend(test.inputs, in: ExecutionContext(threads: 1))
    let one = try test.run(1)
    #expect(one.output.map(\.bitPattern) == alone.output.array().map(\.bitPattern))
    #expect(one.forward == [Traffic()])
    let two = try test.run(2)
    let dim = shape.valueDim
    for head in 0..<2 {
      for row in 0..<512 where row < 256 || row >= 256 + 20 {
        let place = (head * 512 + row) * dim..<(head * 512 + row + 1) * dim
        #expect(two.output[place] == one.output[place], "row \(row)")
      }
    }
  }

  @Test(
    "Scores of thousands merge without an overflow, and a row that cannot be merged ends all ranks in one line"
  )
  func largeScores() throws {
    let shape = try AttentionShape(queryLength: 90, headDim: 16, isCausal: true)
    let test = try RankCase("full", [:], shape, inputScale: 40)
    let result = try test.run(3, .small())
    #expect(result.lse.contains { $0 > 1000 }, "the case has no large LSE")
    expectSmall(try test.errors(result), "large scores")
    let vast = try RankCase("full", [:], shape, inputScale: 300)
    #expect {
      try vast.run(3, .small())
    } throws: { error in
      error is UnmergeableRow && "\(error)".contains("use one rank") && !"\(error)".contains("\n")
    }
    let overflowing = try RankCase("full", [:], shape, inputScale: 1e20)
    #expect(throws: ScoreOverflow.self) { try overflowing.run(2, .small()) }
  }

  @Test(
    "Partial results of bfloat16 inputs are float32: within the bound of float32 where weights are not rounded"
  )
  func bfloat16() throws {
    let shape = try AttentionShape(
      queryHeads: 2, queryLength: 120, headDim: 16, isCausal: true, precision: .bfloat16)
    let test = try RankCase("full", [:], shape)
    let parts = try ThreadGroup.run(4) { communicator in
      let attention = try RankedAttention(test.variant, over: communicator, options: .small())
      var context = ExecutionContext(threads: 1)
      context.bfloat16Road = .upconvert
      let inputs = try attention.part(of: test.inputs)
      return (
        try attention.forward(inputs, in: context).output, attention.queries, communicator.traffic.current
      )
    }
    let output = try parts[0].1.whole(parts.map(\.0)).array()
    let exact = try test.variant.definition(of: test.inputs).forward(DefinitionInputs(test.inputs))
    let budget = ErrorBudget(
      shape: shape.with(precision: .float32), scoreMagnitude: exact.scoreMagnitude, mostKeys: exact.mostKeys)
    #expect(ErrorBudget.worst(output, exact.output, exact.outputMagnitude) <= budget.output)
    let whole = try RankCase("full", [:], shape.with(precision: .float32)).run(4, .small())
    #expect(zip(parts, whole.forward).allSatisfy { 2 * $0.2.bytesSent == $1.bytesSent })
  }

  @Test("Two layers whose passes interleave get the gradients that they get one after the other")
  func interleavedLayers() throws {
    let shape = try AttentionShape(queryLength: 77, headDim: 8, isCausal: true)
    let first = try RankCase("full", [:], shape)
    let second = try RankCase("full", [:], shape, inputScale: 2)
    let alone = (try first.run(3, .small()), try second.run(3, .small()))
    let gradients = try ThreadGroup.run(3) { communicator in
      let layers = try [first, second].map {
        ($0, try RankedAttention($0.variant, over: communicator, options: .small()))
      }
      let context = ExecutionContext(threads: 1)
      let forwards = try layers.map { try $1.forward(try $1.part(of: $0.inputs), in: context) }
      let back = try zip(layers, forwards).reversed().map { layer, forward in
        try forward.backward(
          try layer.1.queries.part(of: layer.0.outputGradient, rank: communicator.rank), in: context)
      }
      return (back, layers[0].1.keys)
    }
    let keys = gradients[0].1
    #expect(try keys.whole(gradients.map { $0.0[1].key }).array() == alone.0.key)
    #expect(try keys.whole(gradients.map { $0.0[0].key }).array() == alone.1.key)
  }

  @Test(
    "Rows that are turned by their positions in the whole sequence (RoPE) give what the whole sequence gives")
  func rotaryPositions() throws {
    let shape = try AttentionShape(queryHeads: 2, queryLength: 400, headDim: 8, isCausal: true)
    let plain = try RankCase("full", [:], shape)
    @Sendable func turned(_ tensor: Tensor, first: Int) throws -> Tensor {
      // Pairs (2i, 2i + 1) of a row at position p, turned by p / 10^i.
      var values = tensor.array()
      let (rows, dim) = (tensor.shape[2], tensor.shape[3])
      for row in 0..<values.count / dim {
        let position = Double(first + row % rows)
        for pair in 0..<dim / 2 {
          let angle = Float(position / [1, 10, 100, 1000][pair % 4])
          let (x, y) = (values[row * dim + 2 * pair], values[row * dim + 2 * pair + 1])
          values[row * dim + 2 * pair] = x * cosine(angle) - y * sine(angle)
          values[row * dim + 2 * pair + 1] = x * sine(angle) + y * cosine(angle)
        }
      }
      return try Tensor(values, shape: tensor.shape)
    }
    var inputs = plain.inputs
    inputs.query = try turned(inputs.query, first: 0)
    inputs.key = try turned(inputs.key, first: 0)
    let whole = try plain.variant.attend(inputs, in: ExecutionContext(threads: 1)).output
    let parts = try ThreadGroup.run(3) { communicator in
      let attention = try RankedAttention(plain.variant, over: communicator)
      var part = try attention.part(of: plain.inputs)
      for name in [Operand.Name.query, .key] {
        guard let tensor = part[name] else { continue }
        let layout = attention.queries.rows[communicator.rank]
        let pieces = try zip(layout.runs, layout.starts).map { run, start in
          try turned(tensor.narrowed(axis: 2, to: start..<start + run.count), first: run.lowerBound)
        }
        var joined = try Tensor(zeros: tensor.shape)
        for (piece, (run, start)) in zip(pieces, zip(layout.runs, layout.starts)) {
          joined.add(piece, toRows: RowRuns([start..<start + run.count]))
        }
        part[name] = joined
      }
      return (try attention.forward(part, in: ExecutionContext(threads: 1)).output, attention.queries)
    }
    #expect(parts[0].1.rows[0].runs.count == 2, "zigzag parts have two runs of positions")
    let got = try parts[0].1.whole(parts.map(\.0)).array()
    #expect(zip(got, whole.array()).allSatisfy { ($0 - $1).magnitude < 1e-5 })
  }

  @Test(
    "Documents that end inside a rank's rows see nothing of each other, and send nothing but their own keys")
  func documents() throws {
    let shape = try AttentionShape(queryHeads: 2, queryLength: 120, headDim: 8, isCausal: true)
    let test = try RankCase(DocumentAttention(.init(), for: shape, key: RandomKey(seed: 1)))
    for ranks in [2, 3] {
      let options = RankOptions.small(layout: .contiguous(120, ranks: ranks))
      let result = try test.run(ranks, options)
      expectSmall(try test.errors(result), "documents on \(ranks) ranks")
      let layout = SequenceLayout.contiguous(120, ranks: ranks)
      let needed = try test.foreignKeys(layout, layout)
      let keys = ranks == 2 ? 10 : 40 + 30
      var total = 0
      for rank in 0..<ranks {
        for other in 0..<ranks where other != rank { total += needed[rank][other] }
      }
      #expect(total == keys)
      let bytes = result.forward.reduce(0) { $0 + $1.bytesSent }
      #expect(bytes == keys * 2 * (8 + 8) * 4)
    }
  }

  @Test(
    "Heads that change places with rows give the definition's results for every number of ranks, and the formula's bytes",
    arguments: 2...5)
  func heads(ranks: Int) throws {
    var options = RankOptions()
    options.road = .heads
    for (queryHeads, keyHeads, length) in [(4, 4, 120), (6, 2, 77), (3, 1, 5), (4, 2, 1)] {
      let shape = try AttentionShape(
        batch: 2, queryHeads: queryHeads, keyHeads: keyHeads, queryLength: length, headDim: 8, valueDim: 12,
        isCausal: true, keyLengths: [length, (length + 1) / 2])
      let settings: [String: ParameterValue] = ["block_size": .int(16)]
      for test in try [
        RankCase("full", [:], shape), RankCase("full", ["softcap": .double(1.5)], shape),
        RankCase("random-sparse", settings, shape),
      ] {
        let result = try test.run(ranks, options)
        expectSmall(try test.errors(result), "\(test.variant.card.id), \(shape.summary), \(ranks) ranks")
        guard queryHeads % ranks == 0, keyHeads % ranks == 0, length % ranks == 0 else { continue }
        let perRow = queryHeads * (8 + 12 + 1) + keyHeads * (8 + 12)
        let bytes = 2 * (ranks - 1) * length / ranks * perRow / ranks * 4
        #expect(result.forward.allSatisfy { $0.bytesSent == bytes })
      }
    }
  }

  @Test("A variant that ranks cannot share is refused in one line")
  func refused() throws {
    let shape = try AttentionShape(queryLength: 64, headDim: 8)
    for (id, settings) in [
      ("lsh", [:]), ("full-materialized", [:]), ("local-global", ["projections": .string("separate")]),
    ] as [(String, [String: ParameterValue])] {
      let variant = try Catalog.standard.make(id, settings: settings, shape: shape, key: RandomKey(seed: 1))
      #expect(throws: ConfigurationError.self) {
        try ThreadGroup.run(2) { try RankedAttention(variant, over: $0).shape }
      }
    }
  }
}

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif
private func sine(_ x: Float) -> Float { sin(x) }
private func cosine(_ x: Float) -> Float { cos(x) }

/// Causal attention inside documents that end after 50, 90 and 120 tokens: a pattern that no variant of ours has.
private struct DocumentAttention: PatternVariant {
  struct Configuration: VariantConfiguration {
    init() {}
    static let parameters: [Parameter<Self>] = []
    func evictableKeys(of count: Int) -> Range<Int>? { 0..<0 }
  }
  static let card = VariantCard(
    id: "documents", title: "Documents", paper: "", idea: "Documents side by side.", equation: "")
  static let documents = [0..<50, 50..<90, 90..<120]

  let configuration: Configuration
  let shape: AttentionShape
  let pattern: TilePattern

  init(_ configuration: Configuration, for shape: AttentionShape, key: RandomKey) throws(ConfigurationError) {
    self.configuration = configuration
    self.shape = shape
    var list = TileList()
    for document in Self.documents {
      for start in stride(from: document.lowerBound, to: document.upperBound, by: 64) {
        let end = min(start + 64, document.upperBound)
        list.addTile(
          start: start, count: end - start,
          segments: [
            .init(
              start: document.lowerBound, count: end - document.lowerBound, mask: .band(low: 0, high: 1 << 20)
            )
          ])
      }
    }
    pattern = TilePattern(shared: list)
  }

  func multiplicity(batch: Int, head: Int, query: Int, key: Int) -> Int {
    Self.documents.contains { $0.contains(query) && $0.contains(key) } && key <= query ? 1 : 0
  }
}
