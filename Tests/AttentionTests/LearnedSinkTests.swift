import AttentionCore
import Basics
import Foundation
import Tensors
import Testing

@testable import Attention

/// A learned sink is where the rows of a pass start: the same as a key that is put in afterwards.
@Suite struct LearnedSinkTests {
  /// Rows in one tile, in several, in none; a cache in pieces; query heads as rows of one tile.
  static let cases: [EngineCase] = {
    func shape(_ heads: Int, _ keyHeads: Int, _ rows: Int, _ keys: Int, _ precision: Precision = .float32)
      -> AttentionShape?
    {
      (try? AttentionShape(
        batch: 2, queryHeads: heads, keyHeads: keyHeads, queryLength: rows, keyLength: keys, headDim: 24,
        valueDim: 20, keyLengths: [keys, keys / 2]))?.with(precision: precision)
    }
    func whole(_ shape: AttentionShape) -> EngineCase {
      var list = TileList()
      for start in stride(from: 0, to: shape.queryLength, by: 64) {
        list.addTile(
          start: start, count: min(64, shape.queryLength - start),
          segments: [.init(start: 0, count: shape.keyLength)])
      }
      return EngineCase(shape: shape, list: list)
    }
    return [
      shape(2, 1, 100, 130).map { EngineCase(seed: 3, shape: $0, tiles: 5) },
      shape(2, 2, 100, 130).map { EngineCase(seed: 4, shape: $0, tiles: 1, perHead: true) },
      shape(2, 2, 70, 130).map(whole), shape(2, 2, 70, 130, .bfloat16).map(whole),
      shape(6, 2, 1, 300).map(whole), shape(1, 1, 5, 5000).map(whole),
    ].compactMap(\.self)
  }()

  @Test("equals the key put in afterwards", arguments: cases.indices, InstructionSet.available)
  func equals(number: Int, isa: InstructionSet) throws {
    let own = Self.cases[number], shape = own.shape
    let context = ExecutionContext(threads: 2, instructionSet: isa)
    // Logits far below the scores, like them, and so large that a row's LSE no longer tells its weights.
    for logits in [[-90, 0.5, 3, 1, 2, -1], [70000, -70000, 0, 1, 1e9, 4]] as [[Float]] {
      let logits = Array(logits.prefix(shape.queryHeads))
      let drawn = try EngineInputs(shape, seed: own.seed)
      let inputs = try Operands(query: drawn.query, key: drawn.key, value: drawn.value)
        .converted(to: shape.precision, ledger: nil)
      let plain = try Engine.attend(inputs, shape: shape, scale: 0.4, pattern: own.pattern, in: context)
      let begun = try Engine.attend(
        inputs, startingWith: logits, shape: shape, scale: 0.4, pattern: own.pattern,
        backwardPattern: { own.pattern }, in: context)
      let (old, new) = (try #require(plain.lse).array(), try #require(begun.lse).array())
      let (o, output) = (plain.output.array(), begun.output.array())
      for row in new.indices {
        let logit = Double(logits[row / shape.queryLength % shape.queryHeads])
        let before = Double(old[row]), high = max(before, logit)
        let sum = exp(before - high) + exp(logit - high)
        #expect(abs(Double(new[row]) - high - log(sum)) <= 2e-6 * max(1, abs(high)), "row \(row)")
        let share = exp(before - high) / sum
        for t in 0..<shape.valueDim {
          let expected = share * Double(o[row * shape.valueDim + t])
          #expect(abs(Double(output[row * shape.valueDim + t]) - expected) <= 4e-6, "row \(row)")
        }
      }
    }
  }
}
