import Attention
import AttentionCore
import Basics
import LabTestSupport
import RankCases
import Settings
import Tensors
import Testing

@testable import Ranks

/// Messages and bytes against formulas: N tokens, P ranks, H key heads, d and e elements of a key and a value.
@Suite struct TrafficTests {
  private let d = 8, e = 12, keyHeads = 2, queryHeads = 4

  private func shape(_ length: Int, causal: Bool, keys: Int? = nil) throws -> AttentionShape {
    try AttentionShape(
      queryHeads: queryHeads, keyHeads: keyHeads, queryLength: length, keyLength: keys, headDim: d,
      valueDim: e, isCausal: causal)
  }

  /// Bytes of a key and its value over all key heads.
  private var keyBytes: Int { keyHeads * (d + e) * 4 }

  private func bytes(_ traffic: [Traffic]) -> Int { traffic.reduce(0) { $0 + $1.bytesSent } }

  @Test(
    "Full attention sends N/P keys to every other rank forward; backward they go again, and their gradients come home",
    arguments: 2...4)
  func ring(ranks: Int) throws {
    let length = 24 * ranks
    let test = try RankCase("full", [:], shape(length, causal: false))
    let result = try test.run(ranks, .small(pieces: 10))
    for rank in 0..<ranks {
      // 2·N·D_kv·(P − 1)/P elements of k and v in all, and so many messages as pieces of 10 keys.
      #expect(result.forward[rank].bytesSent == (ranks - 1) * length / ranks * keyBytes)
      #expect(result.forward[rank].messages == (ranks - 1) * 3)
      #expect(result.backward[rank].bytesSent == 2 * result.forward[rank].bytesSent)
      #expect(result.backward[rank].messages == 2 * result.forward[rank].messages)
    }
    let whole = try test.run(ranks)
    #expect(whole.forward.allSatisfy { $0.messages == ranks - 1 })
  }

  @Test(
    "Causal attention is laid out in zigzag, every rank has as many pairs, and 3/4 of N (P − 1) keys move in all",
    arguments: 2...4)
  func zigzag(ranks: Int) throws {
    let length = 256 * ranks
    let test = try RankCase("full", [:], shape(length, causal: true))
    let layout = SequenceLayout.zigzag(length, ranks: ranks)
    #expect(
      try SequenceLayout.fitting(test.fixed.pattern, test.variant.shape, ranks: ranks).queries == layout)
    let pairs = layout.rows.map { rows in
      rows.runs.flatMap { Array($0) }.reduce(0) { $0 + $1 + 1 }
    }
    #expect(Set(pairs).count == 1, "\(pairs)")
    let result = try test.run(ranks)
    for rank in 0..<ranks {
      // Chunk r goes to all others, chunk 2P − 1 − r to those whose last chunk is behind it: ranks below r.
      #expect(result.forward[rank].bytesSent == (ranks - 1 + rank) * length / (2 * ranks) * keyBytes)
      #expect(result.forward[rank].messages == ranks - 1)
    }
    #expect(4 * bytes(result.forward) == 3 * length * (ranks - 1) * keyBytes)
    #expect(bytes(result.backward) == 2 * bytes(result.forward))
  }

  @Test(
    "A window sends the keys before and after each border that it sees across it, whatever N",
    arguments: [200, 301, 1000])
  func halo(length: Int) throws {
    for ranks in 2...4 {
      let causal = try RankCase("sliding-window", ["left": .int(20)], shape(length, causal: true))
      let result = try causal.run(ranks)
      // A window of w = left + 1 keys needs the w − 1 before the border.
      #expect(bytes(result.forward) == (ranks - 1) * 20 * keyBytes)
      #expect(result.forward.reduce(0) { $0 + $1.messages } == ranks - 1)
      let both = try RankCase(
        "sliding-window", ["left": .int(11), "right": .int(5)], shape(length, causal: false))
      #expect(bytes(try both.run(ranks).forward) == (ranks - 1) * (11 + 5) * keyBytes)
    }
  }

  @Test("A dilated window sends only the keys that its rows see")
  func dilated() throws {
    let test = try RankCase(
      "sliding-window", ["left": .int(3), "dilation": .int(5)], shape(120, causal: true))
    // Rows 60 … 74 see keys 45 … 59: all residues, three steps back.
    #expect(bytes(try test.run(2).forward) == 15 * keyBytes)
  }

  @Test("Chunks send nothing: borders move to theirs", arguments: [2, 3])
  func chunks(ranks: Int) throws {
    let test = try RankCase("chunked", ["chunk": .int(32)], shape(300, causal: true))
    let result = try test.run(ranks)
    #expect(result.forward.allSatisfy { $0.messages == 0 && $0.bytesSent == 0 })
    #expect(result.backward.allSatisfy { $0.messages == 0 })
    let layout = try SequenceLayout.fitting(test.fixed.pattern, test.variant.shape, ranks: ranks).queries
    #expect(layout.rows.dropFirst().allSatisfy { $0.runs[0].lowerBound % 32 == 0 })
  }

  @Test(
    "Global keys go to all, and global rows go to the keys: bytes do not grow with N", arguments: [240, 480])
  func globals(length: Int) throws {
    let test = try RankCase(
      "local-global", ["left": .int(6), "right": .int(6), "global_tokens": .int(2)],
      shape(length, causal: false))
    let result = try test.run(3)
    let queryBytes = queryHeads * (d + e + 1) * 4
    // Windows across two borders, 6 keys each way; keys 0 and 1 to two ranks; rows 0 and 1 to two ranks and back.
    #expect(bytes(result.forward) == (2 * 2 * 6 + 2 * 2) * keyBytes + 2 * 2 * queryBytes)
    for (_, error) in try test.errors(result) { #expect(error <= 1) }
  }

  @Test("One query against keys on all ranks sends the query, not the keys")
  func decoding() throws {
    let test = try RankCase("full", [:], shape(1, causal: true, keys: 400))
    let result = try test.run(4)
    // The one row is on the last rank: three queries out, three results back.
    #expect(bytes(result.forward) == 3 * queryHeads * (d + e + 1) * 4)
    #expect(result.forward.reduce(0) { $0 + $1.messages } == 6)
  }

  @Test("Random blocks send each rank the keys that the definition lets some row of it see, each once")
  func randomBlocks() throws {
    let test = try RankCase(
      "random-sparse", ["block_size": .int(16), "random_blocks": .int(1)], shape(320, causal: true))
    let result = try test.run(3, .small(pieces: 7))
    let layouts = try SequenceLayout.fitting(test.fixed.pattern, test.variant.shape, ranks: 3)
    let needed = try test.foreignKeys(layouts.queries, layouts.keys)
    for rank in 0..<3 {
      let keys = (0..<3).reduce(0) { $0 + ($1 == rank ? 0 : needed[$1][rank]) }
      #expect(result.forward[rank].bytesSent == keys * keyBytes, "rank \(rank)")
      let messages = (0..<3).reduce(0) { $0 + ($1 == rank ? 0 : (needed[$1][rank] + 6) / 7) }
      #expect(result.forward[rank].messages == messages, "rank \(rank)")
    }
  }

  @Test("Keys that every sequence masks do not move")
  func paddedKeys() throws {
    var padded = try shape(120, causal: false)
    padded.keyLengths = [70]
    let result = try RankCase("full", [:], padded).run(2)
    #expect(bytes(result.forward) == (60 + 10) * keyBytes)
  }

  @Test("A rank of two holds half of what one process does, and pieces and blocks beside")
  func memory() throws {
    let length = 4096
    let test = try RankCase("full", [:], AttentionShape(queryLength: length, headDim: 32, isCausal: true))
    func peak(_ ranks: Int) throws -> Int {
      try ThreadGroup.run(ranks) { communicator in
        let attention = try RankedAttention(
          test.variant, over: communicator, options: .small(pieces: 64, rows: 64))
        let ledger = MemoryLedger()
        let inputs = try attention.part(of: test.inputs, ledger: ledger)
        _ = try attention.forward(inputs, in: ExecutionContext(threads: 1, ledger: ledger))
        return ledger.peakBytes
      }.max() ?? 0
    }
    let one = try peak(1), two = try peak(2)
    #expect(Double(two) < 0.58 * Double(one), "\(two) of \(one) bytes")
  }
}
