/// How far a float32 implementation may be from the Double reference, derived from the arithmetic, not chosen.
///
/// With `u = 2⁻²⁴`, head dim `d`, value dim `d_v`, at most `m` keys a row, `r` rows a key, and the score magnitude
/// `A = max scale·Σ|q_t k_t|`, a sum of `n` terms is off by at most `√n·u·Σ|terms|` (the probabilistic bound of Higham and
/// Mary, 2019), and so:
/// - a score by `ε_s = u(√d + 4)A` (absolute);
/// - the LSE by `ε_l = ε_s + u(√m + 8 + L)`, `L = A + log m` (absolute);
/// - a weight `exp(s − lse)` by `ε_w = ε_s + ε_l + u(8 + L)` (relative), `exp` itself being good to a few units;
/// - the output by `ε_o = ε_w + u(√m + 8)`, relative to `Σ p|v|`;
/// - `dS = p(dP − D)` by `ε_d = ε_w + ε_o + u(2√d_v + 8)`, relative to `p(Σ|dO||v| + D̃)`;
/// - `dQ` by `ε_d + u(√m + 8)`, `dK` by `ε_d + u(√r + 8)`, `dV` by `ε_w + u(√r + 8)`, each relative to the sum of absolute
///   terms, which the reference computes beside the value.
///
/// A soft cap c adds `8u·min(c, A)` to a score, for its tanh is good to seven units, and to `ε_d` the relative error of its
/// derivative, `2ε_s/c + 8u`.
///
/// bfloat16 inputs change none of this, for the reference computes from the same rounded values. Where weights are rounded
/// too, each is off by at most `w = 2⁻⁸` of itself and so is their sum, by which the output is divided: `ε_o` grows by `2w`,
/// and with it what the gradients take from the output, `D`. Weights that backward recomputes are not rounded, so that
/// `dV` keeps its bound. Processors without bfloat16 products up-convert, leave weights in float32 and
/// stay below the float32 bound.
///
/// All are multiplied by `safety`, for the tail of the probabilistic bound.
public struct ErrorBudget: Hashable, Sendable {
  /// The unit roundoff of float32.
  public static let unit = 0x1p-24
  /// The factor on every bound.
  public static let safety = 1.0

  /// Of a score: absolute.
  public let score: Double
  /// Of the LSE: absolute.
  public let lse: Double
  /// Of the output: relative to its magnitude.
  public let output: Double
  /// Of ∂L/∂q: relative to its magnitude.
  public let queryGradient: Double
  /// Of ∂L/∂k: relative to its magnitude.
  public let keyGradient: Double
  /// Of ∂L/∂v: relative to its magnitude.
  public let valueGradient: Double

  /// Of ∂L/∂score.
  private let scoreGradient: Double

  /// Derives the bounds.
  /// - Parameters:
  ///   - shape: gives `d`, `d_v` and `r`.
  ///   - scoreMagnitude: `A`.
  ///   - mostKeys: `m`.
  ///   - isAdditive: whether scores are sums of tanh, each good to seven units and its derivative to fifteen.
  ///   - normalizesKeys: whether keys are normalised queries, which costs two more roundings of a norm.
  public init(
    shape: AttentionShape, scoreMagnitude: Double, mostKeys: Int, normalizesKeys: Bool = false,
    isAdditive: Bool = false
  ) {
    let u = ErrorBudget.unit
    let keys = Double(max(1, mostKeys)).squareRoot()
    let rows = Double(shape.queryLength * shape.groupSize).squareRoot()
    let dim = Double(shape.headDim).squareRoot() + (normalizesKeys ? 8 : 0)
    let valueDim = Double(shape.valueDim).squareRoot()
    let largest = scoreMagnitude + logarithm(max(1, mostKeys))
    let cap = shape.softcap
    let score =
      u * (dim + 4) * scoreMagnitude + (cap.map { 8 * u * min($0, scoreMagnitude) } ?? 0)
      + (isAdditive ? 8 * u * scoreMagnitude : 0)
    let lse = score + u * (keys + 8 + largest)
    let weight = score + lse + u * (8 + largest)
    let rounding = shape.precision == .float32 ? 0 : 2 * shape.precision.unitRoundoff
    let output = weight + u * (keys + 8) + rounding
    let slope = (cap.map { 2 * score / $0 + 8 * u } ?? 0) + (isAdditive ? 16 * u : 0)
    let scoreGradient = weight + output + slope + u * (2 * valueDim + 8)
    self.scoreGradient = ErrorBudget.safety * scoreGradient
    let normalization = normalizesKeys ? 2 * u * (dim + 8) : 0
    self.score = ErrorBudget.safety * score
    self.lse = ErrorBudget.safety * lse
    self.output = ErrorBudget.safety * output
    queryGradient = ErrorBudget.safety * (scoreGradient + u * (max(keys, rows) + 8) + normalization)
    keyGradient = ErrorBudget.safety * (scoreGradient + u * (rows + 8) + normalization)
    valueGradient = ErrorBudget.safety * (weight + u * (rows + 8))
  }

  /// Derives the bounds of a recurrence, each relative to the sum of absolute terms.
  ///
  /// Of n tokens a term of the output passes a product over d channels, at most n roundings of the state and one of its decay, which
  /// comes of differences of logarithms in Double: `u(√d + √n + 16)`, and `√d_v` for `√d` going back. A normaliser is such a sum too,
  /// by which another is divided: twice that, and in gradients, which have both, three times.
  /// - Parameters:
  ///   - shape: gives d and d_v.
  ///   - steps: n, the most tokens that a row reads.
  ///   - isNormalized: whether there is a normaliser.
  ///   - isGated: whether log decays are rounded to single precision: a factor e^{−x} is then off by x roundings, and e^{−32} is none.
  public init(recurrenceOf shape: AttentionShape, steps: Int, isNormalized: Bool, isGated: Bool) {
    let u = ErrorBudget.unit * ErrorBudget.safety
    let tokens = Double(max(1, steps)).squareRoot() + 16 + (isGated ? 32 : 0)
    let dims = Double(shape.headDim).squareRoot() + Double(shape.valueDim).squareRoot()
    let rows = Double(shape.queryLength * shape.groupSize).squareRoot()
    (score, lse) = (0, 0)
    output = u * (isNormalized ? 2 : 1) * (Double(shape.headDim).squareRoot() + tokens)
    scoreGradient = u * (isNormalized ? 3 : 1) * (dims + tokens + rows)
    (queryGradient, keyGradient, valueGradient) = (scoreGradient, scoreGradient, scoreGradient)
  }

  /// Of the gradient of an operand: relative to its magnitude. That of one made like q, k or v has their bound; of any other
  /// one an element is a sum over everything that its axes do not name.
  public func gradient(of operand: Operand, at shape: AttentionShape) -> Double {
    var name = operand.name
    if case .projected(let like?) = operand.source { name = like }
    switch name {
    case .query: return queryGradient
    case .key: return keyGradient
    case .value: return valueGradient
    default: break
    }
    var terms = 1.0
    for (axis, extent) in [
      (Operand.Axis.batch, shape.batch), (.queries, shape.queryLength), (.keys, shape.keyLength),
      (.queryHeads, shape.queryHeads),
    ] where !operand.axes.contains(axis) { terms *= Double(extent) }
    return scoreGradient + ErrorBudget.safety * ErrorBudget.unit * (terms.squareRoot() + 8)
  }

  /// The largest `|value − exact| / magnitude` of all elements; a magnitude of 0 allows nothing but 0.
  ///
  /// Differences below 1e-28 of the largest magnitude are passed over: an implementation may take a weight below about
  /// 2⁻¹⁰⁰ of its row's largest for 0.
  public static func worst(_ values: [Float], _ exact: [Double], _ magnitudes: [Double]) -> Double {
    guard values.count == exact.count else { return .infinity }
    let negligible = 1e-28 * (1 + (magnitudes.max() ?? 0))
    var worst = 0.0
    for index in values.indices {
      let difference = (Double(values[index]) - exact[index]).magnitude
      guard difference != 0 else { continue }
      guard difference.isFinite else { return .infinity }
      guard difference > negligible else { continue }
      guard magnitudes[index] > 0 else { return .infinity }
      worst = max(worst, difference / magnitudes[index])
    }
    return worst
  }

  /// The largest `|value − exact|`, where −∞ must meet −∞.
  public static func worstAbsolute(_ values: [Float], _ exact: [Double]) -> Double {
    guard values.count == exact.count else { return .infinity }
    var worst = 0.0
    for index in values.indices where Double(values[index]) != exact[index] {
      let error = (Double(values[index]) - exact[index]).magnitude
      guard error.isFinite else { return .infinity }
      worst = max(worst, error)
    }
    return worst
  }
}

/// An upper bound of `log n`, without a mathematics library: the number of bits times log 2.
private func logarithm(_ number: Int) -> Double {
  Double(Int.bitWidth - number.leadingZeroBitCount) * 0.6931471805599453
}
