import Testing

@testable import Measuring

/// How far sampled rows of a result are from their definition.
@Suite struct SampledRowsTests {
  @Test("the error is that of all rows together")
  func together() {
    #expect(SampledRows.relativeError([[3, 4], [0, 5.5]], [[3, 4], [0, 5]]) == 0.5 / 50.0.squareRoot())
    #expect(SampledRows.relativeError([[2]], [[1]]) == 1)
    #expect(SampledRows.relativeError([], []) == 0)
    #expect(SampledRows.relativeError([[0, 0]], [[0, 0]]) == 0)
    #expect(SampledRows.relativeError([[0.25]], [[0]]) == 0.25)
  }

  @Test("a row that is left of terms that cancel counts only where it is wrong by more than rounding")
  func cancelled() {
    // A first row sees one key: its gradient is 0, and float32 leaves 3e-7 of terms of the size of 1.
    let exact = [[1e-12], [1e-3], [2e-3], [1.5e-3]]
    #expect(SampledRows.relativeError([[3e-7], [1e-3], [2e-3], [1.5e-3]], exact) == 0)
    #expect(SampledRows.relativeError([[3e-6], [1e-3], [2e-3], [1.5e-3]], exact) > 1e-3)
    #expect(SampledRows.relativeError([[.nan], [1e-3], [2e-3], [1.5e-3]], exact) == .infinity)
    // Other rows do not hide behind it.
    #expect(SampledRows.relativeError([[3e-7], [1.1e-3], [2e-3], [1.5e-3]], exact) > 0.03)
  }
}
