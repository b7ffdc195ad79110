import AttentionCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension Luong {
  /// The softmax under the score, over the keys of the alignment; a predicted window with its Gaussian as a factor.
  ///
  /// The place of a predicted window comes from the same equation in Double as in the forward pass: its whole part chooses keys, and
  /// two computations of a near integer must not disagree.
  public func definition(of inputs: Operands) throws -> any Definition {
    let windows = configuration.align == .predictive ? DefinedWindows(self, DefinitionInputs(inputs)) : nil
    let base = base
    let multiplicity: @Sendable (Int, Int, Int, Int) -> Int = { batch, head, query, key in
      windows?.contains(batch, head, query, key)
        ?? base?.multiplicity(batch: batch, head: head, query: query, key: key) ?? 0
    }
    let declared = operands, scale = scale
    var definition =
      switch configuration.score {
      case .dot:
        SoftmaxDefinition(shape: shape, operands: declared, scale: scale, multiplicity: multiplicity)
      case .concat:
        SoftmaxDefinition(shape: shape, operands: declared, scale: 1, multiplicity: multiplicity)
          .scoredAdditively(by: SoftmaxSettings.energy)
      case .general:
        SoftmaxDefinition(
          shape: shape, operands: declared,
          terms: { [shape] _ in [.own(MatrixScore(shape: shape, scale: scale))] },
          multiplicity: multiplicity)
      }
    if let windows { definition = definition.multiplied(by: WindowFactor(windows: windows)) }
    return definition
  }
}

/// `scale · Σ_ab q_a W_ab k_b`.
private struct MatrixScore: PairTerm {
  let shape: AttentionShape
  let scale: Double

  func row(_ row: DefinitionRow, _ inputs: DefinitionInputs) -> any PairTermRow {
    let dim = shape.headDim
    let queryStart = ((row.batch * shape.queryHeads + row.head) * shape.queryLength + row.query) * dim
    let keyStart = (row.batch * shape.keyHeads + shape.keyHead(of: row.head)) * shape.keyLength * dim
    let matrixStart = row.head * dim * dim
    return Row(
      scale: scale, queryStart: queryStart, keyStart: keyStart, matrixStart: matrixStart,
      query: inputs.part(of: .query, from: queryStart, count: dim),
      keys: inputs.part(of: .key, from: keyStart, count: shape.keyLength * dim),
      matrix: inputs.part(of: Luong.matrix.name, from: matrixStart, count: dim * dim))
  }

  struct Row: PairTermRow {
    let scale: Double
    let queryStart: Int, keyStart: Int, matrixStart: Int
    let query: DefinitionVector, keys: DefinitionVector, matrix: DefinitionVector
    private var dim: Int { query.count }

    func value(key: Int) -> (sum: Double, magnitude: Double) {
      var sum = 0.0, magnitude = 0.0
      for a in 0..<dim {
        for b in 0..<dim {
          let term = scale * query[a] * matrix[a * dim + b] * keys[key * dim + b]
          sum += term
          magnitude += term.magnitude
        }
      }
      return (sum, magnitude)
    }

    func addGradient(_ slopes: [PairSlope], into gradient: inout some DefinitionGradientCollector) {
      for pair in slopes { add(pair.key, pair.slope, pair.size, &gradient) }
    }

    private func add(
      _ key: Int, _ slope: Double, _ size: Double, _ gradient: inout some DefinitionGradientCollector
    ) {
      var dq = [Double](repeating: 0, count: dim), dk = dq, dqSize = dq, dkSize = dq
      var dm = [Double](repeating: 0, count: dim * dim)
      for a in 0..<dim {
        for b in 0..<dim {
          let (q, k, w) = (query[a], keys[key * dim + b], matrix[a * dim + b])
          dq[a] += w * k
          dk[b] += q * w
          dqSize[a] += (w * k).magnitude
          dkSize[b] += (q * w).magnitude
          dm[a * dim + b] = q * k
        }
      }
      func add(_ name: Operand.Name, _ start: Int, _ values: [Double], _ sizes: [Double]) {
        gradient.add(
          to: name, at: start, scale * slope, DefinitionVector(values, from: 0, count: values.count))
        gradient.addMagnitude(
          to: name, at: start, scale.magnitude * size, DefinitionVector(sizes, from: 0, count: sizes.count))
      }
      add(.query, queryStart, dq, dqSize)
      add(.key, keyStart + key * dim, dk, dkSize)
      add(Luong.matrix.name, matrixStart, dm, dm)
    }
  }
}

/// Where the predicted windows of given inputs are.
private struct DefinedWindows: Sendable {
  let shape: AttentionShape
  let configuration: Luong.Configuration
  /// σ(z) of every row.
  let fractions: [Double]
  let u: [Double], v: [Double]

  init(_ variant: Luong, _ inputs: DefinitionInputs) {
    (shape, configuration) = (variant.shape, variant.configuration)
    let u = inputs[Luong.windowQuery.name], v = inputs[Luong.windowWeight.name], dim = variant.shape.headDim
    fractions = variant.shape.definitionRows.enumerated().map { index, row in
      PredictedWindows.fraction(dim, u: { u[index * dim + $0] }, v: { v[row.head * dim + $0] })
    }
    (self.u, self.v) = (u, v)
  }

  func index(_ batch: Int, _ head: Int, _ query: Int) -> Int {
    (batch * shape.queryHeads + head) * shape.queryLength + query
  }

  /// 1 inside the window.
  func contains(_ batch: Int, _ head: Int, _ query: Int, _ key: Int) -> Int {
    let visible = shape.visibleKeys(batch: batch, row: query)
    guard key < visible else { return 0 }
    let middle = Double(visible) * fractions[index(batch, head, query)]
    return (Double(key) - middle.rounded(.down)).magnitude <= Double(configuration.window) ? 1 : 0
  }
}

/// `exp(−(j − p)²/(2σ²))`, whose p follows from the inputs that it is asked for: windows stay where they were planned.
private struct WindowFactor: PairTerm {
  let windows: DefinedWindows

  func row(_ row: DefinitionRow, _ inputs: DefinitionInputs) -> any PairTermRow {
    let dim = windows.shape.headDim, index = windows.index(row.batch, row.head, row.query)
    return Row(
      visible: Double(windows.shape.visibleKeys(batch: row.batch, row: row.query)),
      sigma: windows.configuration.effectiveSigma, queryStart: index * dim, weightStart: row.head * dim,
      u: inputs.part(of: Luong.windowQuery.name, from: index * dim, count: dim),
      v: inputs.part(of: Luong.windowWeight.name, from: row.head * dim, count: dim))
  }

  struct Row: PairTermRow {
    let visible: Double, sigma: Double
    let queryStart: Int, weightStart: Int
    let u: DefinitionVector, v: DefinitionVector

    private var fraction: Double {
      1 / (1 + exp(-(0..<u.count).reduce(0.0) { $0 + v[$1] * tanh(u[$1]) }))
    }

    func value(key: Int) -> (sum: Double, magnitude: Double) {
      let offset = (Double(key) - visible * fraction) / sigma
      let value = exp(-offset * offset / 2)
      return (value, value)
    }

    func addGradient(_ slopes: [PairSlope], into gradient: inout some DefinitionGradientCollector) {
      for pair in slopes { add(pair.key, pair.slope, pair.size, &gradient) }
    }

    private func add(
      _ key: Int, _ slope: Double, _ size: Double, _ gradient: inout some DefinitionGradientCollector
    ) {
      let part = fraction, offset = Double(key) - visible * part
      let change = value(key: key).sum * offset / (sigma * sigma) * visible * part * (1 - part)
      let ratios = (0..<u.count).map { tanh(u[$0]) }
      let inner = ratios.indices.map { v[$0] * (1 - ratios[$0] * ratios[$0]) }
      func add(_ name: Operand.Name, _ start: Int, _ values: [Double]) {
        let vector = DefinitionVector(values, from: 0, count: values.count)
        gradient.add(to: name, at: start, slope * change, vector)
        gradient.addMagnitude(to: name, at: start, size * change.magnitude, vector)
      }
      add(Luong.windowQuery.name, queryStart, inner)
      add(Luong.windowWeight.name, weightStart, ratios)
    }
  }
}
