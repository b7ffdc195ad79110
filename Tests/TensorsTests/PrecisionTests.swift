import Basics
import Foundation
import Testing

@testable import Tensors

/// bfloat16 storage: one rounding in, none out, two bytes an element.
@Suite struct PrecisionTests {
  private func rounded(_ values: [Float]) throws -> [Float] {
    try Tensor(values, shape: [values.count]).converted(to: .bfloat16).array()
  }

  @Test("rounding is to nearest, ties to even, whatever the length")
  func rounding() throws {
    let ulp = Float(0x1p-7)
    let cases: [(Float, Float)] = [
      (1, 1), (1 + ulp / 2, 1), (1 + 3 * ulp / 2, 1 + 2 * ulp), ((1 + ulp / 2).nextUp, 1 + ulp),
      ((1 + ulp / 2).nextDown, 1), (-1 - 3 * ulp / 2, -1 - 2 * ulp), (0, 0), (0x1p-133, 0x1p-133),
      (0x1p-134, 0), (0x1.8p-133, 0x1p-132), (.infinity, .infinity), (-.infinity, -.infinity),
      (.greatestFiniteMagnitude, .infinity), (0x1.FEp127, 0x1.FEp127),
    ]
    for count in [1, 2, 7, 16, 33, 100] {
      let values = (0..<count).map { cases[$0 % cases.count] }
      #expect(try rounded(values.map(\.0)) == values.map(\.1))
    }
    #expect(try rounded([-0.0])[0].sign == .minus)
  }

  @Test("the kernels round as the definition does")
  func againstDefinition() throws {
    var generator = RandomKey(seed: 3).generator()
    let values = (0..<999).map { _ in Float(bitPattern: UInt32(truncatingIfNeeded: generator.next())) }
    let patterns = try Tensor(values, shape: [999]).converted(to: .bfloat16).pinnedPatterns().array(
      count: 999)
    let expected = values.map { BrainPrecision.bits($0) }
    #expect(patterns == expected)
  }

  @Test("NaN stays NaN, also one whose payload is in the lower half")
  func nan() throws {
    let values = [Float.nan, -.nan, Float(bitPattern: 0x7F80_0001), Float(bitPattern: 0xFFFF_FFFF)]
    let result = try rounded(values)
    #expect(!result.contains { !$0.isNaN })
    #expect(result.map(\.sign) == [.plus, .minus, .plus, .minus])
  }

  @Test("every bfloat16 number comes back as it is")
  func roundTrip() throws {
    let values = (0..<UInt32(1 << 16)).map { Float(bitPattern: $0 << 16) }.filter { !$0.isNaN }
    #expect(try rounded(values).map(\.bitPattern) == values.map(\.bitPattern))
  }

  @Test("views: transposed, narrowed, of one axis, of one element, empty")
  func views() throws {
    let wide = try Tensor((0..<120).map { Float($0) }, shape: [2, 3, 4, 5])
    let stored = try wide.converted(to: .bfloat16)
    for change in [
      { (t: Tensor) in t }, { $0.transposed(1, 2) }, { $0.transposed(2, 3) },
      { $0.narrowed(axis: 3, to: 1..<4) },
      { $0.transposed(1, 2).narrowed(axis: 1, to: 2..<3) }, { $0.narrowed(axis: 0, to: 1..<1) },
    ] {
      let (seen, expected) = (change(stored), change(wide))
      #expect(seen.precision == .bfloat16 && seen.shape == expected.shape)
      #expect(seen.array() == expected.array())
      #expect(try expected.converted(to: .bfloat16).array() == expected.array())
      #expect(seen.contiguous().precision == .bfloat16)
      #expect(try seen.converted(to: .float32).contiguous().array() == expected.array())
    }
    #expect(stored[1, 2, 3, 4] == 119)
    #expect(try Tensor([3], shape: []).converted(to: .bfloat16).array() == [3])
    #expect(stored.reshaped([120]).array() == wide.array())
  }

  @Test("the ledger counts two bytes an element, and refuses")
  func ledger() throws {
    let ledger = MemoryLedger(limitBytes: 300)
    let wide = try Tensor(zeros: [100])
    let stored = try wide.converted(to: .bfloat16, ledger: ledger)
    #expect(ledger.currentBytes == 200)
    #expect(throws: MemoryLimitExceeded.self) { try wide.converted(to: .bfloat16, ledger: ledger) }
    #expect(stored.count == 100)
  }
}
