import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension Reference {
  /// Gradients with the magnitudes of their sums.
  public struct Gradient: Sendable {
    /// One set of gradients.
    public struct Set: Sendable {
      /// ∂L/∂q, ∂L/∂k, ∂L/∂v.
      public var values: ReferenceInputs.Projections
      /// The same sums of absolute values.
      public var magnitudes: ReferenceInputs.Projections

      init(like inputs: ReferenceInputs.Projections) {
        func zeros(_ array: [Double]) -> [Double] { [Double](repeating: 0, count: array.count) }
        values = ReferenceInputs.Projections(
          query: zeros(inputs.query), key: zeros(inputs.key), value: zeros(inputs.value))
        magnitudes = values
      }
    }

    /// The gradients of the local (or only) inputs.
    public var local: Set
    /// The gradients of the second set when there is one.
    public var global: Set?
  }

  /// Computes the gradients of `L` from `∂L/∂output`.
  ///
  /// `dV_j = Σ_i p_ij dO_i`, `dS_ij = p_ij (dO_i·v_j − D_i)`, `D_i = Σ_j p_ij dO_i·v_j`, `dQ_i = scale Σ_j dS_ij k'_j`,
  /// `dK'_j = scale Σ_i dS_ij q_i`. Where `k' = q/‖q‖`: `dQ_j += (dK'_j − (dK'_j·k'_j) k'_j) / ‖q_j‖`.
  /// - Precondition: the gradient has the size of the output.
  public func backward(_ outputGradient: [Double]) -> Gradient {
    precondition(outputGradient.count == shape.outputShape.reduce(1, *), "the gradient has another size")
    var local = Gradient.Set(like: inputs.local)
    var global = inputs.global.map { Gradient.Set(like: $0) }
    var normalizedGradient = Gradient.Set(
      like: ReferenceInputs.Projections(query: [], key: normalized, value: []))
    forEachRow { row in
      let pairs = pairs(row)
      guard !pairs.isEmpty else { return }
      if row.isGlobal, var set = global {
        global = nil
        accumulate(row, pairs, outputGradient, into: &set, &normalizedGradient)
        global = set
      } else {
        accumulate(row, pairs, outputGradient, into: &local, &normalizedGradient)
      }
    }
    if oracle.keySource == .normalizedQueries { addThroughNormalization(normalizedGradient, to: &local) }
    return Gradient(local: local, global: global)
  }

  private func accumulate(
    _ row: Row, _ pairs: [Pair], _ outputGradient: [Double], into set: inout Gradient.Set,
    _ normalizedGradient: inout Gradient.Set
  ) {
    let (headDim, valueDim) = (shape.headDim, shape.valueDim)
    let inputs = projections(row)
    let keys = keys(row)
    let lse = Reference.logSumExp(pairs)
    let weights = pairs.map { $0.count * exp($0.score - lse) }
    let products = pairs.map {
      DoubleVectors.dot(
        outputGradient, row.outputStart, inputs.value, row.valueStart + $0.key * valueDim, count: valueDim)
    }
    let mean = zip(weights, products).reduce(0) { $0 + $1.0 * $1.1.sum }
    let meanMagnitude = zip(weights, products).reduce(0) { $0 + $1.0 * $1.1.magnitude }
    let scale = oracle.scale
    for index in pairs.indices {
      let weight = weights[index]
      let keyStart = row.keyStart + pairs[index].key * headDim
      let valueStart = row.valueStart + pairs[index].key * valueDim
      let score = scale * weight * (products[index].sum - mean)
      let magnitude = scale.magnitude * weight * (products[index].magnitude + meanMagnitude)
      DoubleVectors.add(
        weight, outputGradient, row.outputStart, to: &set.values.value, valueStart, count: valueDim)
      DoubleVectors.add(
        weight, outputGradient, row.outputStart, to: &set.magnitudes.value, valueStart, count: valueDim,
        absolute: true)
      DoubleVectors.add(score, keys, keyStart, to: &set.values.query, row.queryStart, count: headDim)
      DoubleVectors.add(
        magnitude, keys, keyStart, to: &set.magnitudes.query, row.queryStart, count: headDim, absolute: true)
      if oracle.keySource == .normalizedQueries {
        addKey(row, keyStart, score, magnitude, inputs.query, to: &normalizedGradient)
      } else {
        addKey(row, keyStart, score, magnitude, inputs.query, to: &set)
      }
    }
  }

  private func addKey(
    _ row: Row, _ keyStart: Int, _ score: Double, _ magnitude: Double, _ query: [Double],
    to set: inout Gradient.Set
  ) {
    DoubleVectors.add(score, query, row.queryStart, to: &set.values.key, keyStart, count: shape.headDim)
    DoubleVectors.add(
      magnitude, query, row.queryStart, to: &set.magnitudes.key, keyStart, count: shape.headDim,
      absolute: true)
  }

  private func addThroughNormalization(_ gradient: Gradient.Set, to set: inout Gradient.Set) {
    let dim = shape.headDim
    for start in stride(from: 0, to: normalized.count, by: dim) {
      let norm = DoubleVectors.dot(inputs.local.query, start, inputs.local.query, start, count: dim).sum
        .squareRoot()
      guard norm > 0 else { continue }
      let along = DoubleVectors.dot(gradient.values.key, start, normalized, start, count: dim).sum
      let alongMagnitude = DoubleVectors.dot(gradient.magnitudes.key, start, normalized, start, count: dim)
        .magnitude
      DoubleVectors.add(1 / norm, gradient.values.key, start, to: &set.values.query, start, count: dim)
      DoubleVectors.add(-along / norm, normalized, start, to: &set.values.query, start, count: dim)
      DoubleVectors.add(
        1 / norm, gradient.magnitudes.key, start, to: &set.magnitudes.query, start, count: dim)
      DoubleVectors.add(
        alongMagnitude / norm, normalized, start, to: &set.magnitudes.query, start, count: dim, absolute: true
      )
    }
  }
}
