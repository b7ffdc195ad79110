import AttentionCore
import Settings
import Tensors
import Testing

/// What a decoder keeps of its keys: rows that no later query sees leave in place, the others stay in order.
@Suite struct KeyValueStateTests {
  @Test func rowsLeaveInPlaceAndInOrder() throws {
    struct Window: VariantConfiguration {
      static let parameters: [Parameter<Self>] = []
      func evictableKeys(of count: Int) -> Range<Int>? { 1..<max(1, count - 2) }
      func lastReader(of operand: Operand.Name) -> Int? { operand == "short" ? 4 : nil }
    }
    func rows(_ values: [Float]) throws -> Tensor { try Tensor(values, shape: [1, 1, values.count, 1]) }
    let context = ExecutionContext(threads: 1)
    var state = KeyValueState(Window())
    for position in 0..<7 {
      for name: Operand.Name in ["key", "value", "long", "short"] where name != "short" || position <= 4 {
        try state.append(rows([Float(position)]), to: name, in: context)
      }
      try state.advance(by: 1)
      let held = (0...position).filter { $0 == 0 || $0 >= position - 1 }.map { Float($0) }
      for name: Operand.Name in ["key", "value", "long"] { #expect(state[name]?.array() == held) }
      let short = position < 4 ? (0...position).map { Float($0) } : nil
      #expect(state["short"]?.array() == short)
      #expect(state.byteCount == 4 * (3 * held.count + (short?.count ?? 0)))
    }
    #expect(state.count == 7)
  }

  @Test func operandsWithoutHeadsComeBackWithoutThem() throws {
    struct Plain: VariantConfiguration {
      static let parameters: [Parameter<Self>] = []
      func evictableKeys(of count: Int) -> Range<Int>? { 0..<0 }
    }
    var state = KeyValueState(Plain())
    let context = ExecutionContext(threads: 1)
    for _ in 0..<2 {
      try state.append(Tensor([1, 2, 3, 4], shape: [1, 2, 2]), to: "index", in: context)
      try state.advance(by: 2)
    }
    #expect(state["index"]?.shape == [1, 4, 2])
    #expect(state["index"]?.array() == [1, 2, 3, 4, 1, 2, 3, 4])
  }
}
