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
    _ row: DefinitionRow, _ pairs: DefinitionPairs, _ dO: DefinitionVector, _ inputs: DefinitionInputs,
    _ reader: inout DefinitionReader, into gradient: inout some DefinitionGradientCollector,
    _ made: inout DefinitionGradient
  ) {
    let lse = pairs.logSumExp, keys = pairs.keys
    let weights = pairs.weights(lse)
    var plain = [Double](repeating: 0, count: keys.count), plainSizes = plain
    let outputs = DoubleVectors.Rows(dO.array, from: dO.start, step: 0, count: dO.count)
    DoubleVectors.addDots(1, outputs, pairs.values.rows, keys, to: &plain, &plainSizes)
    if let factors = factor?.row(row, inputs) {
      factors.addGradient(
        keys.indices.map {
          PairSlope(key: keys[$0], slope: weights[$0] * plain[$0], size: weights[$0] * plainSizes[$0])
        }, into: &gradient)
    }
    let shared = pairs.factored(weights)
    gradient.add(
      to: pairs.valueOperand,
      DefinitionTerms(
        source: outputs, rows: keys, factor: 1, factors: shared, sizes: shared, start: pairs.values.start,
        step: pairs.values.rows.step))
    let products = pairs.factored(plain), productSizes = pairs.factored(plainSizes)
    var mean = 0.0, meanSize = 0.0
    for index in keys.indices {
      mean += weights[index] * products[index]
      meanSize += weights[index] * productSizes[index]
    }
    let extra = pairs.extra.map { ($0, weight: $0.count * exp($0.score - lse), product: dO.dot($0.value)) }
    if let extra {
      mean += extra.weight * extra.product.sum
      meanSize += extra.weight * extra.product.magnitude
    }
    // ∂L/∂(sum of terms), and its magnitude.
    var slopes = weights, sizes = weights
    for index in keys.indices {
      slopes[index] *= (products[index] - mean) * pairs.slopes[index]
      sizes[index] *= (productSizes[index] + meanSize) * pairs.slopes[index]
    }
    if let extra, let extraKey {
      add(extra.0, extra.weight, dO, into: &gradient)
      let factor = extra.weight * extra.0.slope
      addGradient(
        extraKey, row, factor * (extra.product.sum - mean), factor * (extra.product.magnitude + meanSize),
        &reader, into: &gradient)
    }
    for term in summands(row) {
      add(term, row, keys, slopes, sizes, inputs, &reader, into: &gradient, &made)
    }
  }

  /// The gradient of the value of a key that all rows see.
  private func add(
    _ pair: DefinitionPair, _ weight: Double, _ dO: DefinitionVector,
    into gradient: inout some DefinitionGradientCollector
  ) {
    guard let name = pair.valueOperand else { return }
    gradient.add(to: name, at: pair.valuePlace, weight, dO)
    gradient.addMagnitude(to: name, at: pair.valuePlace, weight, dO)
  }

  /// The gradients of what a summand of a row's scores is made of.
  private func add(
    _ term: Term, _ row: DefinitionRow, _ keys: [Int], _ slopes: [Double], _ sizes: [Double],
    _ inputs: DefinitionInputs, _ reader: inout DefinitionReader,
    into gradient: inout some DefinitionGradientCollector, _ made: inout DefinitionGradient
  ) {
    switch term {
    case .constant: break
    case .own(let term):
      term.row(row, inputs).addGradient(
        keys.indices.map { PairSlope(key: keys[$0], slope: slopes[$0], size: sizes[$0]) }, into: &gradient)
    case .transformed(let transform):
      let own = TransformedRow(transform, row, &reader)
      for index in keys.indices {
        own.addGradient(keys[index], slopes[index], sizes[index], into: &gradient)
      }
    case .product(let a, let b, let factor):
      let (left, right) = (reader.rows(of: a, row), reader.rows(of: b, row))
      for (name, own, other) in [(a, left, right), (b, right, left)] {
        let terms = DefinitionTerms(
          source: other.rows, rows: keys, factor: factor, factors: slopes, sizes: sizes, start: own.start,
          step: own.rows.step)
        if normalized[name] == nil { gradient.add(to: name, terms) } else { made.add(to: name, terms) }
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
