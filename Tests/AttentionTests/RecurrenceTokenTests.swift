import AttentionCore
import Tensors
import Testing

@testable import Attention

/// A decoder's step beside the scan over all tokens.
@Suite struct RecurrenceTokenTests {
  @Test(
    "a decoder's tokens, one by one, are the rows of the whole; the state moves on where it lies, by a workspace that is counted",
    arguments: InstructionSet.available, RecurrenceTests.recurrences)
  func tokens(_ set: InstructionSet, _ id: String) throws {
    let length = 20, ledger = MemoryLedger()
    let context = ExecutionContext(threads: 2, instructionSet: set, ledger: ledger)
    func variant(_ rows: Int, _ valueDim: Int) throws -> any RecurrentVariant {
      let shape = try AttentionShape(
        batch: 2, queryHeads: 4, keyHeads: 2, queryLength: rows, headDim: 9, valueDim: valueDim,
        isCausal: true)
      return try #require(
        Catalog.standard.make(id, shape: shape, key: RecurrenceTests.key) as? any RecurrentVariant)
    }
    // Columns that fill every width of the kernel, and some more.
    for valueDim in [3, 16, 150, 275] {
      let whole = try variant(length, valueDim), one = try variant(1, valueDim),
        inputs = try RecurrenceTests.inputs(of: whole)
      let (expected, last) = try whole.forward(inputs, from: nil, in: context)
      var state = try RecurrentState.empty(of: one.shape, one.recurrence, in: context)
      let kept = state
      for token in 0..<length {
        var part = inputs
        for name in inputs.names {
          if let x = inputs[name], x.rank == 4 { part[name] = x.narrowed(axis: 2, to: token..<token + 1) }
        }
        // The first one finds the state held twice.
        let before = ledger.currentBytes
        ledger.resetPeak()
        let output = try one.advance(&state, by: part, in: context)
        if token > 0 {
          #expect(
            ledger.peakBytes - before - 4 * output.count == one.recurrentScan.tokenWorkspaceBytes(in: context)
          )
        }
        for (a, b) in zip(output.array(), expected.output.narrowed(axis: 2, to: token..<token + 1).array()) {
          #expect(abs(a - b) < 2e-5 * (1 + abs(b)), "\(token), \(valueDim)")
        }
      }
      #expect(kept.values.array().allSatisfy { $0 == 0 })
      for (a, b) in zip(state.values.array(), last.values.array()) {
        #expect(abs(a - b) < 2e-5 * (1 + abs(b)))
      }
    }
  }

  @Test(
    "a sequence that has no key keeps its state; what no single precision holds is refused",
    arguments: RecurrenceTests.recurrences)
  func tokenCorners(_ id: String) throws {
    var shape = try AttentionShape(batch: 2, queryHeads: 2, queryLength: 1, headDim: 4, isCausal: true)
    shape.keyLengths = [0, 1]
    let one = try RecurrenceTests.variant(id, shape, [:]), context = ExecutionContext(threads: 1)
    var inputs = try RecurrenceTests.inputs(of: one)
    let values = (0..<RecurrentState.byteCount(of: shape, one.recurrence) / 2).map { Float($0 % 7) / 7 }
    let given = try Tensor(values, shape: [2, 2, values.count / 4])
    var state = RecurrentState(values: given)
    _ = try one.advance(&state, by: inputs, in: context)
    #expect(Array(state.values.array().prefix(values.count / 2)) == Array(values.prefix(values.count / 2)))
    #expect(state.values.array() != values && given.array() == values)
    inputs.value = try Tensor(
      [Float](repeating: .infinity, count: inputs.value.count), shape: inputs.value.shape)
    #expect(throws: StateOverflow(batch: 1, head: 0, query: 0)) {
      try one.advance(&state, by: inputs, in: context)
    }
  }
}
