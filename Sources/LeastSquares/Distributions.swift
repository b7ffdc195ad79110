import CGSL

/// Quantiles and tails of the distributions that intervals and tests need.
package enum Distributions {
  /// The two-sided quantile of Student's t that holds `confidence` of the mass.
  package static func tQuantile(_ confidence: Double, freedom: Double) -> Double {
    gsl_cdf_tdist_Pinv(0.5 + 0.5 * confidence, freedom)
  }
  package static func normalQuantile(_ probability: Double) -> Double { gsl_cdf_ugaussian_Pinv(probability) }
  package static func normal(_ z: Double) -> Double { gsl_cdf_ugaussian_P(z) }
  /// P(F > f).
  package static func fTail(_ f: Double, _ numerator: Double, _ denominator: Double) -> Double {
    gsl_cdf_fdist_Q(f, numerator, denominator)
  }
  package static func chiSquareQuantile(_ probability: Double, freedom: Double) -> Double {
    gsl_cdf_chisq_Pinv(probability, freedom)
  }
}
