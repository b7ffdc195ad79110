import Testing

@testable import LeastSquares
@testable import ScalingLaws

/// Data without noise: what they determine is known exactly, what they do not determine is not known at all.
@Suite struct ExactDataTests {
  private func fit(_ form: PowerLawOffset, _ y: (Double) -> Double) throws -> Fit {
    let x = [10.0, 20, 33, 47, 50, 61, 77, 80]
    return try Fitter(form).fit(FitData(x: x, y: x.map(y)))
  }

  @Test("a constant does not determine the term above it", arguments: [0.001, 0.37, 1, 4000], [false, true])
  func constants(value: Double, decays: Bool) throws {
    let found = try fit(PowerLawOffset(decays: decays)) { _ in value }
    #expect(found.warnings.contains { $0.code == "not-identified" })
    let lost = Set(found.parameters.estimates.filter { $0.interval == "not-identified" }.map(\.name))
    // c alone fits, whatever a and b; or a·x⁰ does, together with any c.
    #expect(lost == ["a", "b"] || lost == ["a", "c"], "\(lost)")
    #expect(found.parameters.estimates.allSatisfy { lost.contains($0.name) == ($0.value == nil) })
  }

  @Test("a law without noise is found, and so is a term of a millionth", arguments: [2, 1e-6])
  func laws(a: Double) throws {
    let found = try fit(PowerLawOffset()) { 1 + a * $0.squareRoot() }
    #expect(!found.warnings.contains { $0.code == "not-identified" })
    for (name, value) in [("a", a), ("b", 0.5), ("c", 1)] {
      let estimate = try #require(found.parameters.estimates.first { $0.name == name })
      #expect(
        estimate.value.map { abs($0 / value - 1) < 1e-6 } == true,
        "\(name): \(String(describing: estimate.value))")
    }
  }
}
