import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The definition of every attention that is a softmax over pairs.
///
/// `s_ij = Σ terms`, `p_ij = m_ij · exp(s_ij) / Σ_j m_ij · exp(s_ij)`, `o_i = Σ_j p_ij v_j`, `lse_i = log Σ_j m_ij exp(s_ij)`;
/// m is the multiplicity. A term is a product of two operands (or of the normalised rows of one), or a constant; a soft cap of
/// the shape applies to their sum. An extra key (a sink) takes part in every row as one key more. A row with no allowed key has
/// output 0 and LSE −∞.
/// - Complexity: O(batch · heads · queryLength · keyLength) calls of the multiplicity, times the head dim where it is
///   not 0.
public struct SoftmaxDefinition: PairDefinition {
  /// A summand of the score.
  public enum Term: Sendable {
    /// `factor · a·b`, each an operand's (or a derived one's) row: that of the query row where it has rows of q, that of the
    /// key where it has rows of k, that of the head where it has neither.
    case product(Operand.Name, Operand.Name, factor: Double)
    /// A sum of operands' rows, or of their products, through a function that is not linear.
    case transformed(ScoreTransform)
    /// What a mechanism defines beside itself.
    case own(any PairTerm)
    /// A number by key row, such as ALiBi's.
    case constant(@Sendable (_ key: Int) -> Double)
  }

  /// A key that every row sees beside those of the sequence.
  public struct ExtraKey: Sendable {
    /// Its score.
    public enum Score: Sendable {
      /// An element of the head's own: no soft cap applies to it.
      case logit(Operand.Name)
      /// `factor · a·b`, as `Term.product`.
      case product(Operand.Name, Operand.Name, factor: Double)
    }
    let score: Score
    /// Its value; `nil`: 0.
    let value: Operand.Name?

    /// Declares it.
    public init(score: Score, value: Operand.Name? = nil) {
      self.score = score
      self.value = value
    }
  }

  /// The sizes, including key padding.
  public let shape: AttentionShape
  /// How often `(batch, head, query row, key row)` counts; causality included, key padding not.
  public let multiplicity: @Sendable (Int, Int, Int, Int) -> Int
  let terms: @Sendable (DefinitionRow) -> [Term]
  let value: @Sendable (DefinitionRow) -> Operand.Name
  /// Operands that are the normalised rows of others.
  let normalized: [Operand.Name: Operand.Name]
  private(set) var declared: [Operand.Name: Operand]
  private(set) var extraKey: ExtraKey?
  /// What weights are multiplied by after the softmax; `nil`: nothing.
  private(set) var factor: (any PairTerm)?
  /// Summands of every row's scores beside its terms.
  private(set) var added: [Term] = []
  /// Whether scores are additive, which bounds rounding errors by other magnitudes.
  private(set) var isAdditive = false

  /// The same pairs under the additive score `Σ_t w_t·tanh(q_t + k_t)`.
  /// - Parameter weight: w, an operand `[heads, headDim]`.
  public func scoredAdditively(by weight: Operand) -> SoftmaxDefinition {
    let score = ScoreTransform(
      .tanh, of: .elements(of: [.query, .key], weight: weight.name), factor: 1)
    var result = SoftmaxDefinition(
      shape: shape, operands: Operand.standard + [weight],
      terms: { _ in [.transformed(score)] }, multiplicity: multiplicity)
    result.isAdditive = true
    return result
  }

  /// The same with a summand more in every score.
  /// - Parameters:
  ///   - term: the summand.
  ///   - operands: what it reads.
  public func adding(_ term: Term, reading operands: [Operand]) -> SoftmaxDefinition {
    var result = self
    for operand in operands { result.declared[operand.name] = operand }
    result.added.append(term)
    return result
  }

  /// The same with weights that are multiplied after the softmax.
  public func multiplied(by factor: any PairTerm) -> SoftmaxDefinition {
    var result = self
    result.factor = factor
    return result
  }

  /// All summands of a row's scores.
  func summands(_ row: DefinitionRow) -> [Term] { terms(row) + added }

  /// The same with a key more in every row.
  /// - Parameters:
  ///   - key: its score and its value.
  ///   - operands: what it reads.
  public func adding(_ key: ExtraKey, reading operands: [Operand]) -> SoftmaxDefinition {
    var result = self
    for operand in operands { result.declared[operand.name] = operand }
    result.extraKey = key
    return result
  }

  /// Creates a definition; what is left out is the plain case, `s_ij = scale · q_i·k_j`.
  /// - Parameters:
  ///   - shape: the sizes, causality and padding.
  ///   - operands: what the variant declares.
  ///   - scale: the factor on `q·k`; `nil`: the shape's.
  ///   - normalizing: operands made of another one's rows, `x/‖x‖`, which terms may name.
  ///   - terms: the summands of a row's scores.
  ///   - value: what takes the place of v in a row.
  ///   - multiplicity: how often a pair (batch, head, query row, key row) counts.
  public init(
    shape: AttentionShape, operands: [Operand] = Operand.standard, scale: Double? = nil,
    normalizing: [(operand: Operand, source: Operand.Name)] = [],
    terms: (@Sendable (DefinitionRow) -> [Term])? = nil,
    value: @escaping @Sendable (DefinitionRow) -> Operand.Name = { _ in .value },
    multiplicity: @escaping @Sendable (Int, Int, Int, Int) -> Int
  ) {
    self.shape = shape
    self.multiplicity = multiplicity
    let plain = [Term.product(.query, .key, factor: scale ?? shape.effectiveScale)]
    self.terms = terms ?? { _ in plain }
    self.value = value
    normalized = Dictionary(uniqueKeysWithValues: normalizing.map { ($0.operand.name, $0.source) })
    let all = Operand.all(operands) + normalizing.map(\.operand)
    declared = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })
  }

  /// A gradient of keys that are made of queries comes from all rows.
  public func hasRowwiseGradient(of operand: Operand.Name) -> Bool {
    declared[operand]?.axes.contains(.queries) == true && !normalized.values.contains(operand)
  }

  /// Those of a leaky ReLU in the scores.
  public var hasKinks: Bool {
    factor?.hasKinks == true
      || summands(DefinitionRow(batch: 0, head: 0, query: 0)).contains { term in
        switch term {
        case .transformed(let transform): transform.hasKinks
        case .own(let term): term.hasKinks
        case .product, .constant: false
        }
      }
  }

  /// The bounds of float32.
  public func budget(scoreMagnitude: Double, mostKeys: Int) -> ErrorBudget {
    ErrorBudget(
      shape: shape, scoreMagnitude: scoreMagnitude, mostKeys: mostKeys, normalizesKeys: !normalized.isEmpty,
      isAdditive: isAdditive)
  }

  /// The pairs of rows that count, with their scores.
  public func pairs(of rows: [DefinitionRow], _ inputs: DefinitionInputs) -> [[DefinitionPair]] {
    var reader = DefinitionReader(self, inputs)
    return rows.map { reader.pairs($0).list }
  }

  /// Computes output and LSE.
  public func forward(_ inputs: DefinitionInputs, rows: [DefinitionRow]) -> DefinitionResult {
    let dim = shape.valueDim
    var result = DefinitionResult(
      output: [Double](repeating: 0, count: rows.count * dim),
      outputMagnitude: [Double](repeating: 0, count: rows.count * dim),
      lse: [Double](repeating: -.infinity, count: rows.count), scoreMagnitude: 0, mostKeys: 0,
      largestScores: [Double](repeating: 0, count: rows.count))
    var reader = DefinitionReader(self, inputs)
    for (index, row) in rows.enumerated() {
      let pairs = reader.pairs(row)
      let lse = pairs.logSumExp
      result.lse[index] = lse
      result.mostKeys = max(result.mostKeys, pairs.count)
      var largest = pairs.extra?.uncapped.magnitude ?? 0, magnitude = pairs.extra?.magnitude ?? 0
      for score in pairs.uncapped { largest = max(largest, score.magnitude) }
      for size in pairs.magnitudes { magnitude = max(magnitude, size) }
      result.largestScores[index] = largest
      result.scoreMagnitude = max(result.scoreMagnitude, magnitude)
      let weights = pairs.factored(pairs.weights(lse)), values = pairs.values.rows
      DoubleVectors.addRows(
        weights, values, pairs.keys, to: &result.output, from: index * dim, step: 0)
      DoubleVectors.addRows(
        weights, values, pairs.keys, to: &result.outputMagnitude, from: index * dim, step: 0, absolute: true)
      guard let extra = pairs.extra else { continue }
      let weight = extra.count * exp(extra.score - lse), v = extra.value
      DoubleVectors.add(weight, v.array, v.start, to: &result.output, index * dim, count: dim)
      DoubleVectors.add(
        weight, v.array, v.start, to: &result.outputMagnitude, index * dim, count: dim, absolute: true)
    }
    return result
  }
}
