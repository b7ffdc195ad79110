import Basics
import LeastSquares

/// Compares candidate laws on the same rows with the same error model.
///
/// ```swift
/// let selection = try FormSelector().select(data)
/// selection.verdict                       // .chosen("quadratic") or .cannotDistinguish(["linear", "nlogn"])
/// selection.predict(at: [65536])          // covers every law that cannot be ruled out
/// ```
public struct FormSelector: Sendable {
  /// The laws to compare; nil for those that `FormCatalog` keeps for the number of variables.
  public let candidates: [any ScalingForm]?
  /// The error model, the same for all.
  public let options: FitOptions

  /// A comparison of candidates under one error model.
  public init(_ candidates: [any ScalingForm]? = nil, options: FitOptions = FitOptions()) {
    self.candidates = candidates
    self.options = options
  }

  /// Fits every candidate and ranks them by AICc.
  ///
  /// Candidates that cannot be fitted are kept with the reason.
  /// - Throws: `FitError` when none can.
  public func select(_ data: FitData) throws(FitError) -> Selection {
    let forms = candidates ?? FormCatalog.candidates(variables: data.names)
    var fits: [Fit] = []
    var refusals: [Selection.Refusal] = []
    for form in forms {
      var own = options
      // Starts and bounds name parameters that not every candidate has.
      let names = Set(form.parameters.map(\.name))
      own.start = own.start.filter { names.contains($0.key) }
      own.domains = own.domains.filter { names.contains($0.key) }
      own.fixed = own.fixed.filter { names.contains($0.key) }
      do {
        let fit = try Fitter(form, options: own).fit(data)
        if !fit.converged {
          refusals.append(.init(form: form.name, reason: "no optimum was reached"))
        } else if fit.aicc == nil {
          refusals.append(.init(form: form.name, reason: "too few rows for AICc"))
        } else {
          fits.append(fit)
        }
      } catch {
        refusals.append(.init(form: form.name, reason: error.description))
      }
    }
    guard !fits.isEmpty else {
      let reasons = refusals.map { "\($0.form): \($0.reason)" }.joined(separator: "; ")
      throw FitError(.noSolution, "no candidate could be fitted: \(reasons)")
    }
    return Selection(fits, refusals: refusals)
  }

  /// Comparisons on many independent sets of rows, on all cores, in order.
  public func selectAll(_ groups: [FitData]) -> [Result<Selection, FitError>] {
    var own = options
    if groups.count > 1 { own.threads = 1 }
    let selector = FormSelector(candidates, options: own)
    return Parallel.map(count: groups.count, threads: options.workers) { k -> Result<Selection, FitError>? in
      do throws(FitError) { return .success(try selector.select(groups[k])) } catch { return .failure(error) }
    }.compactMap { $0 }
  }
}

/// What a comparison of laws found.
public struct Selection: Sendable {
  /// One law in the comparison.
  public struct Candidate: Sendable {
    /// Its fit.
    public let fit: Fit
    /// AICc above the least.
    public let deltaAICc: Double
    /// BIC above the least.
    public let deltaBIC: Double
    /// Akaike's weight among the candidates.
    public let weight: Double
    /// Root mean square error of rows left out one at a time, in the chosen space; nil when a refit failed.
    public let leaveOneOutError: Double?
    /// Root mean square error of the next row predicted from the smaller ones, in the chosen space.
    public let extrapolationError: Double?
  }
  /// A law that could not be compared.
  public struct Refusal: Sendable, Equatable {
    /// Its name.
    public let form: String
    /// Why not.
    public let reason: String
  }
  /// What can be said.
  public enum Verdict: Sendable, Equatable {
    /// One law is better than all others by 2 or more, by AICc and by BIC.
    case chosen(String)
    /// These laws lie within 2 of the best, by AICc or by BIC.
    case cannotDistinguish([String])
  }
  /// The laws compared, best AICc first.
  public let candidates: [Candidate]
  /// The laws that could not be compared.
  public let refusals: [Refusal]
  /// What can be said.
  public let verdict: Verdict
  /// F-tests of laws that contain each other.
  public let nestedTests: [NestedTest]

  /// The law with the least AICc.
  public var best: Fit { candidates[0].fit }

  /// Laws whose AICc or BIC lies above the best by less than this take part in predictions: an evidence ratio of 30.
  public static let plausible = 7.0

  init(_ fits: [Fit], refusals: [Refusal]) {
    let ranked = fits.sorted { ($0.aicc ?? .infinity) < ($1.aicc ?? .infinity) }
    let least = ranked[0].aicc ?? 0
    let leastBIC = ranked.map(\.bic).min() ?? 0
    let deltas = ranked.map { ($0.aicc ?? .infinity) - least }
    let total = deltas.map { exponential(-0.5 * $0) }.sum()
    candidates = zip(ranked, deltas).map { fit, delta in
      let validation = CrossValidation(fit)
      return Candidate(
        fit: fit, deltaAICc: delta, deltaBIC: fit.bic - leastBIC, weight: exponential(-0.5 * delta) / total,
        leaveOneOutError: validation.leaveOneOut(), extrapolationError: validation.expandingWindow())
    }
    self.refusals = refusals
    // With few rows AICc's correction alone can exclude the larger law, so BIC must agree; and of two laws of one
    // size the better must be so on the rows as a whole, not thanks to one or two of them.
    let close = candidates.filter { candidate -> Bool in
      candidate.deltaAICc < 2 || candidate.deltaBIC < 2
        || Selection.isLevel(ranked[0], candidate.fit)
    }.map(\.fit.form.name)
    verdict = close.count == 1 ? .chosen(close[0]) : .cannotDistinguish(close)
    nestedTests = NestedTest.all(among: ranked)
  }

  /// Vuong's test for two laws with equally many parameters: whether the mean difference of their rows'
  /// log-likelihoods is within the 95 % t-quantile of its standard errors. With fewer than three rows a parameter
  /// there is nothing to test it on: the two count as level up to an AICc of 20 apart.
  private static func isLevel(_ a: Fit, _ b: Fit) -> Bool {
    guard a.free.count == b.free.count, a.form.name != b.form.name else { return a.form.name == b.form.name }
    let gap = abs((a.aicc ?? 0) - (b.aicc ?? 0))
    if a.data.count < 3 * a.free.count { return gap < 20 }
    guard gap < Selection.plausible else { return false }
    func terms(_ fit: Fit) -> [Double] {
      let variance = max(fit.rss / Double(fit.data.count), 1e-300)
      return fit.residuals.map { -0.5 * $0 * $0 / variance - 0.5 * logarithm(variance) }
    }
    let differences = zip(terms(a), terms(b)).map { $0 - $1 }
    let n = Double(differences.count)
    let mean = differences.sum() / n
    let t = Distributions.tQuantile(0.95, freedom: max(n - 1, 1))
    return mean < t * standardDeviation(differences) / n.squareRoot()
  }

  /// The best law's value, with an interval that holds those of all laws that are still plausible.
  public func predict(at x: [Double]) -> Prediction {
    var close: [String] = []
    if case .cannotDistinguish(let names) = verdict { close = names }
    let all = candidates.filter {
      min($0.deltaAICc, $0.deltaBIC) < Selection.plausible || close.contains($0.fit.form.name)
    }
    .map { $0.fit.predict(at: x) }
    let best = candidates[0].fit.predict(at: x)
    func least(_ values: [Double?]) -> Double? {
      values.contains { $0 == nil } ? nil : values.compactMap { $0 }.min()
    }
    func most(_ values: [Double?]) -> Double? {
      values.contains { $0 == nil } ? nil : values.compactMap { $0 }.max()
    }
    return best.between(
      least(all.map(\.low)), most(all.map(\.high)),
      curve: (least(all.map(\.curveLow)), most(all.map(\.curveHigh))))
  }
}

/// An F-test of a law against a larger one that contains it.
public struct NestedTest: Sendable, Equatable {
  /// The smaller law.
  public let smaller: String
  /// The larger law.
  public let larger: String
  /// ((RSS₁ − RSS₂)/(p₂ − p₁)) / (RSS₂/(n − p₂)).
  public let statistic: Double
  /// The probability of a larger one when the smaller law is true.
  public let probability: Double

  private static let pairs = [
    ("constant", "linear"), ("constant", "nlogn"), ("constant", "quadratic"), ("linear", "quadratic"),
    ("linear", "power-offset"), ("power", "power-offset"), ("constant", "power"),
  ]

  static func all(among fits: [Fit]) -> [NestedTest] {
    pairs.compactMap { small, large in
      guard let one = fits.first(where: { $0.form.name == small }),
        let two = fits.first(where: { $0.form.name == large })
      else { return nil }
      return NestedTest(one, inside: two)
    }
  }

  /// Tests a fit against one of a larger law that contains its law, on the same rows.
  ///
  /// `nil` when they were not fitted by least squares, or the larger one has no more parameters or no rows to spare.
  public init?(_ small: Fit, inside large: Fit) {
    guard small.options.loss == .squares, large.options.loss == .squares,
      small.free.count < large.free.count, large.degreesOfFreedom > 0
    else { return nil }
    let extra = Double(large.free.count - small.free.count)
    let freedom = Double(large.degreesOfFreedom)
    let excess = max(0, small.rss - large.rss)
    (smaller, larger) = (small.form.name, large.form.name)
    statistic = excess == 0 ? 0 : excess / extra / (large.rss / freedom)
    probability = statistic.isFinite ? Distributions.fTail(statistic, extra, freedom) : 0
  }
}
