import Basics
import LeastSquares

/// L(N, D) = [(Nc/N)^(αN/αD) + Dc/D]^αD
///
/// Source: Kaplan et al. 2020, equation 1.5 (αN 0.076, αD 0.103, Nc 6.4e13, Dc 1.8e13). With u and v the two
/// terms, S = u + v and k = αN/αD: ∂ ln L in ln Nc is αN u/S, in ln Dc αD v/S, in αN u ln(Nc/N)/S, and in αD
/// ln S − k u ln(Nc/N)/S.
public struct KaplanJoint: ScalingForm {
  /// The joint law of parameters and tokens.
  public init() {}
  /// `kaplan`
  public let name = "kaplan"
  /// The law as text.
  public let formula = "((Nc/N)^(alphaN/alphaD) + Dc/D)^alphaD"
  /// Parameters, tokens.
  public let variables = ["N", "D"]
  /// All positive.
  public let parameters: [FormParameter] = [
    .nonlinear("Nc", .positive, grid: []), .nonlinear("Dc", .positive, grid: []),
    .nonlinear("alphaN", .positive, grid: KaplanJoint.exponents),
    .nonlinear("alphaD", .positive, grid: KaplanJoint.exponents),
  ]
  private static let exponents = [0.03, 0.05, 0.08, 0.12, 0.2, 0.35, 0.6]

  /// One row.
  public func evaluate(_ theta: [Double], at x: [Double], gradient: inout [Double]) -> Double {
    let (nc, dc, alphaN, alphaD) = (theta[0], theta[1], theta[2], theta[3])
    let ratio = logarithm(nc) - logarithm(x[0])
    // ln S by log-sum-exp: Nc/N is 1e5 and more, and the power can be large.
    let (lu, lv) = (alphaN / alphaD * ratio, logarithm(dc) - logarithm(x[1]))
    let top = max(lu, lv)
    let logS = top + logarithm(exponential(lu - top) + exponential(lv - top))
    let (u, v) = (exponential(lu - logS), exponential(lv - logS))
    let value = exponential(alphaD * logS)
    gradient[0] = value * alphaN * u / nc
    gradient[1] = value * alphaD * v / dc
    gradient[2] = value * u * ratio
    gradient[3] = value * (logS - alphaN / alphaD * u * ratio)
    return value
  }

  /// For given exponents L^(1/αD) is linear in Nc^(αN/αD) and Dc, which are solved for.
  public func starts(for data: FitData, space: FitSpace) -> [[Double]] {
    let sample = data.thinned(to: 300)
    var starts: [[Double]] = []
    for pair in combinations([KaplanJoint.exponents, KaplanJoint.exponents], limit: 3000) {
      let (alphaN, alphaD) = (pair[0], pair[1])
      let k = alphaN / alphaD
      var matrix: [Double] = []
      var rhs: [Double] = []
      for i in 0..<sample.count {
        let target = power(sample.response[i], 1 / alphaD)
        // Relative errors of L are αD times those of L^(1/αD).
        matrix += [power(sample.columns[0][i], -k) / target, 1 / sample.columns[1][i] / target]
        rhs.append(1)
      }
      guard (matrix + rhs).allSatisfy(\.isFinite) else { continue }
      let solution = TallFactor(matrix, rows: sample.count, p: 2, rhs: rhs).solve()
      let nc = power(max(solution[0], 1e-300), 1 / k)
      let dc = solution[1] > 0 ? solution[1] : 1e-3 * Quantiles.median(sample.columns[1])
      if nc.isFinite, nc > 0 { starts.append([nc, dc, alphaN, alphaD]) }
    }
    return starts
  }

  /// Sizes must be positive.
  public func domainError(on data: FitData) -> String? { domainErrorOfNonPositive(data, law: formula) }
}
