import AttentionCore
import Basics
import Tensors
import Testing

@testable import Attention

/// Plans have owners: a pass that was planned plans nothing, and what is kept is counted.
@Suite struct PlanningTests {
  struct Example: Sendable, CustomTestStringConvertible {
    var id: String
    var isCausal = false
    var rows = 700
    var keys = 700
    var testDescription: String { "\(id), \(rows) × \(keys)\(isCausal ? ", causal" : "")" }

    func variant() throws -> any PatternVariant {
      let shape = try AttentionShape(
        batch: 2, queryHeads: 4, keyHeads: 2, queryLength: rows, keyLength: keys, headDim: 16,
        isCausal: isCausal)
      let variant = try Catalog.standard.make(id, shape: shape, key: RandomKey(seed: 1))
      return try #require(variant as? any PatternVariant)
    }
  }

  static let examples =
    ["full", "sliding-window", "local-global", "random-sparse", "chunked"].flatMap { id in
      [Example(id: id), Example(id: id, isCausal: true)]
    } + [Example(id: "full", isCausal: true, rows: 1, keys: 5000)]

  /// How often anything was worked out about the patterns of a variant.
  static func plannings(_ variant: any PatternVariant) -> Int {
    let patterns = [variant.pattern, variant.backwardPattern]
    let decode = Engine.forwardSchedule(
      of: variant.pattern, for: variant.shape, in: ExecutionContext(threads: 1)
    ).decode
    return (patterns + (decode.map { [$0.pattern] } ?? [])).reduce(0) { $0 + $1.schedules.madeCount }
  }

  private func run(_ variant: any AttentionVariant, _ context: ExecutionContext) throws {
    let shape = variant.shape
    let inputs = Operands(
      query: try Tensor(zeros: shape.queryShape, ledger: context.ledger),
      key: try Tensor(zeros: shape.keyShape, ledger: context.ledger),
      value: try Tensor(zeros: shape.valueShape, ledger: context.ledger))
    // No plan depends on numbers, and none are drawn.
    let gradient = try Tensor(zeros: shape.outputShape, ledger: context.ledger)
    _ = try variant.attend(inputs, in: context).backward(gradient, in: context)
  }

  @Test(
    "a planned pass plans nothing, holds nothing more and asks the system for nothing", arguments: examples)
  func planned(_ example: Example) throws {
    let variant = try example.variant()
    for threads in [1, 3] {
      let ledger = MemoryLedger(recycles: true)
      let context = ExecutionContext(threads: threads, ledger: ledger)
      for pass in PassKind.allCases { try variant.prepare(for: pass, in: context) }
      let (before, held) = (Self.plannings(variant), ledger.currentBytes)
      try run(variant, context)
      #expect(Self.plannings(variant) == before, "\(threads) threads: planned in a pass")
      #expect(ledger.currentBytes == held, "\(threads) threads")
      let blocks = ledger.systemAllocations
      try run(variant, context)
      #expect(ledger.systemAllocations == blocks, "\(threads) threads: a second pass needs no new block")
    }
  }

  @Test("a pass that nobody planned does it once", arguments: examples)
  func unplanned(_ example: Example) throws {
    let variant = try example.variant()
    let context = ExecutionContext(threads: 3)
    try run(variant, context)
    let before = Self.plannings(variant)
    try run(variant, context)
    #expect(before > 0 && Self.plannings(variant) == before)
  }

  @Test("plans are counted in the ledger of the context as long as the variant lives", arguments: examples)
  func counted(_ example: Example) throws {
    let ledger = MemoryLedger()
    let context = ExecutionContext(threads: 2, ledger: ledger)
    do {
      let variant = try example.variant()
      #expect(ledger.currentBytes == 0)
      try variant.prepare(for: .forward, in: context)
      let forward = ledger.currentBytes
      #expect(forward >= variant.pattern.byteCount)
      try variant.prepare(for: .backward, in: context)
      #expect(ledger.currentBytes >= max(forward, variant.planBytes))
    }
    #expect(ledger.currentBytes == 0)
    let small = ExecutionContext(threads: 2, ledger: MemoryLedger(limitBytes: 16))
    #expect(throws: MemoryLimitExceeded.self) { try example.variant().prepare(for: .forward, in: small) }
  }

  @Test("variants share patterns through the cache of one owner alone, and keep those that no cache holds")
  func owners() throws {
    let shape = try AttentionShape(queryLength: 900, headDim: 8, isCausal: true)
    func make(_ id: String, _ cache: PatternCache?) throws -> any PatternVariant {
      let variant = try Catalog.standard.make(id, shape: shape, key: RandomKey(seed: 1), sharing: cache)
      return try #require(variant as? any PatternVariant)
    }
    for id in ["sliding-window", "local-global", "random-sparse", "chunked"] {
      let cache = PatternCache()
      let (first, second, own) = (try make(id, cache), try make(id, cache), try make(id, nil))
      #expect(first.pattern.schedules === second.pattern.schedules, "\(id): one cache, one pattern")
      #expect(first.backwardPattern.schedules === second.backwardPattern.schedules, "\(id)")
      #expect(first.pattern.schedules !== own.pattern.schedules, "\(id): no cache but an owner's")
      let full = try make(id, PatternCache(limitBytes: 16))
      #expect(full.pattern.schedules === full.pattern.schedules, "\(id): made once")
      #expect(full.backwardPattern.schedules === full.backwardPattern.schedules, "\(id): made once")
    }
  }
}
