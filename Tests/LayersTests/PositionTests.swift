import Foundation
import Testing

@testable import Layers

@Suite struct PositionTests {
  @Test("slopes of ALiBi are those of the paper, for numbers of heads that are no power of two too")
  func alibiSlopes() {
    #expect(AttentionLayer.slopes(heads: 1) == [Float(1.0 / 256)])
    #expect(AttentionLayer.slopes(heads: 8) == (1...8).map { Float(pow(2, -Double($0))) })
    // The rule for 3 heads: those of 2, then the first of 4.
    #expect(AttentionLayer.slopes(heads: 3) == [0.0625, 0.00390625, 0.25])
  }
}
