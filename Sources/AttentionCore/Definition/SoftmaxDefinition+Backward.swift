import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension SoftmaxDefinition {
  /// Computes the gradients of `L` from `∂L/∂output`.
  ///
  /// `dV_j = Σ_i p_ij dO_i`, `dS_ij = p_ij (dO_i·v_j − D_i)`, `D_i = Σ_j p_ij dO_i·v_j`; a term `factor · a·b` gives
  /// `da += factor · dS_ij b` and `db += factor · dS_ij a`. Under a factor g on the weights, `g_ij dO_i·v_j` takes the place of
  /// `dO_i·v_j`, `dV_j = Σ_i g_ij p_ij dO_i`, and `dg_ij = p_ij dO_i·v_j`. What derives from an operand passes its gradient on to that.
  public func backward(
    _ outputGradient: [Double], _ inputs: DefinitionInputs, rows: [DefinitionRow],
    into gradient: inout some DefinitionGradientCollector
  ) {
    precondition(outputGradient.count == rows.count * shape.valueDim, "the gradient has another size")
    var reader = DefinitionReader(self, inputs)
    let sizes = inputs.sizes
    var made = DefinitionGradient(sizes: normalized.mapValues { sizes[$0] ?? 0 })
    for (index, row) in rows.enumerated() {
      let pairs = reader.pairs(row)
      guard !pairs.isEmpty else { continue }
      let dO = DefinitionVector(outputGradient, from: index * shape.valueDim, count: shape.valueDim)
      backward(row, pairs, dO, inputs, &reader, into: &gradient, &made)
    }
    for (name, source) in normalized { pass(made, of: name, to: source, inputs[source], into: &gradient) }
  }

  private func backward(
    _ row: DefinitionRow, _ pairs: [DefinitionPair], _ dO: DefinitionVector, _ inputs: DefinitionInputs,
    _ reader: inout DefinitionReader, into gradient: inout some DefinitionGradientCollector,
    _ made: inout DefinitionGradient
  ) {
    let lse = SoftmaxDefinition.logSumExp(pairs)
    let weights = pairs.map { $0.count * exp($0.score - lse) }
    let plain = pairs.map { dO.dot($0.value) }
    let products = zip(plain, pairs).map { (sum: $0.sum * $1.factor, magnitude: $0.magnitude * $1.factor) }
    if let factors = factor?.row(row, inputs) {
      let slopes = pairs.indices.compactMap { index in
        pairs[index].key.map {
          PairSlope(
            key: $0, slope: weights[index] * plain[index].sum, size: weights[index] * plain[index].magnitude)
        }
      }
      factors.addGradient(slopes, into: &gradient)
    }
    let mean = zip(weights, products).reduce(0) { $0 + $1.0 * $1.1.sum }
    let meanMagnitude = zip(weights, products).reduce(0) { $0 + $1.0 * $1.1.magnitude }
    for index in pairs.indices {
      guard let name = pairs[index].valueOperand else { continue }
      let place = pairs[index].valuePlace
      gradient.add(to: name, at: place, weights[index] * pairs[index].factor, dO)
      gradient.addMagnitude(to: name, at: place, weights[index] * pairs[index].factor, dO)
    }
    // factor · ∂L/∂(sum of terms), and its magnitude.
    func slope(_ index: Int, factor: Double) -> Double {
      factor * weights[index] * (products[index].sum - mean) * pairs[index].slope
    }
    func size(_ index: Int, factor: Double) -> Double {
      factor.magnitude * weights[index] * (products[index].magnitude + meanMagnitude) * pairs[index].slope
    }
    if let extraKey, let last = pairs.indices.last {
      addGradient(
        extraKey, row, slope(last, factor: 1), size(last, factor: 1), &reader, into: &gradient)
    }
    for case .own(let term) in summands(row) {
      let slopes = pairs.indices.compactMap { index in
        pairs[index].key.map {
          PairSlope(key: $0, slope: slope(index, factor: 1), size: size(index, factor: 1))
        }
      }
      term.row(row, inputs).addGradient(slopes, into: &gradient)
    }
    for case .transformed(let transform) in summands(row) {
      for index in pairs.indices {
        guard let key = pairs[index].key else { continue }
        reader.addGradient(
          of: transform, row, key, slope(index, factor: 1), size(index, factor: 1), into: &gradient)
      }
    }
    for case .product(let a, let b, let factor) in summands(row) {
      let (left, right) = (reader.rows(of: a, row), reader.rows(of: b, row))
      for index in pairs.indices {
        guard let key = pairs[index].key else { continue }
        let slope = slope(index, factor: factor), magnitude = size(index, factor: factor)
        for (name, own, other) in [(a, left, right), (b, right, left)] {
          let (place, vector) = (own.place(key), other.vector(key))
          if normalized[name] == nil {
            gradient.add(to: name, at: place, slope, vector)
            gradient.addMagnitude(to: name, at: place, magnitude, vector)
          } else {
            made.add(to: name, at: place, slope, vector)
            made.addMagnitude(to: name, at: place, magnitude, vector)
          }
        }
      }
    }
  }

  /// The gradients of what the score of a key that all rows see is made of.
  private func addGradient(
    _ extra: ExtraKey, _ row: DefinitionRow, _ slope: Double, _ size: Double,
    _ reader: inout DefinitionReader,
    into gradient: inout some DefinitionGradientCollector
  ) {
    switch extra.score {
    case .logit(let name):
      let place = reader.rows(of: name, row).place(0), one = DefinitionVector([1], from: 0, count: 1)
      gradient.add(to: name, at: place, slope, one)
      gradient.addMagnitude(to: name, at: place, size, one)
    case .product(let a, let b, let factor):
      let (left, right) = (reader.rows(of: a, row), reader.rows(of: b, row))
      for (name, own, other) in [(a, left, right), (b, right, left)] {
        gradient.add(to: name, at: own.place(0), factor * slope, other.vector(0))
        gradient.addMagnitude(to: name, at: own.place(0), factor.magnitude * size, other.vector(0))
      }
    }
  }

  /// The way through `k = x/‖x‖`: `dx += (dk − (dk·k) k) / ‖x‖`.
  private func pass(
    _ made: DefinitionGradient, of name: Operand.Name, to source: Operand.Name, _ rows: [Double],
    into gradient: inout some DefinitionGradientCollector
  ) {
    let dim = shape.headDim
    guard let values = made.values[name], let magnitudes = made.magnitudes[name] else { return }
    let unit = DefinitionReader.normalized(DefinitionVector(rows, from: 0, count: rows.count), dim: dim)
    for start in stride(from: 0, to: rows.count, by: dim) {
      func vector(_ array: [Double]) -> DefinitionVector { DefinitionVector(array, from: start, count: dim) }
      let x = vector(rows), k = vector(unit)
      let norm = x.dot(x).sum.squareRoot()
      guard norm > 0 else { continue }
      let along = vector(values).dot(k).sum, alongMagnitude = vector(magnitudes).dot(k).magnitude
      gradient.add(to: source, at: start, 1 / norm, vector(values))
      gradient.add(to: source, at: start, -along / norm, k)
      gradient.addMagnitude(to: source, at: start, 1 / norm, vector(magnitudes))
      gradient.addMagnitude(to: source, at: start, alongMagnitude / norm, k)
    }
  }
}
