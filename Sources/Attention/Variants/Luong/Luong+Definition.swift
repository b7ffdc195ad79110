import AttentionCore
import Tensors

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
    /// `qᵀW`, and the same of absolute values.
    private let product: [Double], productSizes: [Double]
    private var dim: Int { query.count }

    init(
      scale: Double, queryStart: Int, keyStart: Int, matrixStart: Int, query: DefinitionVector,
      keys: DefinitionVector, matrix: DefinitionVector
    ) {
      (self.scale, self.queryStart, self.keyStart) = (scale, queryStart, keyStart)
      (self.matrixStart, self.query, self.keys, self.matrix) = (matrixStart, query, keys, matrix)
      var product = [Double](repeating: 0, count: query.count), sizes = product
      for a in 0..<query.count {
        let start = matrix.start + a * query.count
        DoubleVectors.add(query[a], matrix.array, start, to: &product, 0, count: query.count)
        DoubleVectors.add(
          query[a].magnitude, matrix.array, start, to: &sizes, 0, count: query.count, absolute: true)
      }
      (self.product, productSizes) = (product, sizes)
    }

    func value(key: Int) -> (sum: Double, magnitude: Double) {
      let start = keys.start + key * dim
      return (
        scale * DoubleVectors.dot(product, 0, keys.array, start, count: dim).sum,
        scale.magnitude * DoubleVectors.dot(productSizes, 0, keys.array, start, count: dim).magnitude
      )
    }

    /// With `t = Σ_j ds_j k_j`: `dq = W t`, `dW_ab = q_a t_b`, `dk_j = ds_j Wᵀq`.
    func addGradient(_ slopes: [PairSlope], into gradient: inout some DefinitionGradientCollector) {
      var total = [Double](repeating: 0, count: dim), totalSizes = total
      for pair in slopes {
        let start = keys.start + pair.key * dim
        DoubleVectors.add(scale * pair.slope, keys.array, start, to: &total, 0, count: dim)
        DoubleVectors.add(
          scale.magnitude * pair.size, keys.array, start, to: &totalSizes, 0, count: dim, absolute: true)
        add(
          .key, keyStart + pair.key * dim, scale * pair.slope, product, scale.magnitude * pair.size,
          productSizes, &gradient)
      }
      var dq = total, dqSizes = totalSizes
      for a in 0..<dim {
        let start = matrix.start + a * dim
        dq[a] = DoubleVectors.dot(matrix.array, start, total, 0, count: dim).sum
        dqSizes[a] = DoubleVectors.dot(matrix.array, start, totalSizes, 0, count: dim).magnitude
        add(
          Luong.matrix.name, matrixStart + a * dim, query[a], total, query[a].magnitude, totalSizes,
          &gradient)
      }
      add(.query, queryStart, 1, dq, 1, dqSizes, &gradient)
    }

    private func add(
      _ name: Operand.Name, _ start: Int, _ factor: Double, _ values: [Double], _ size: Double,
      _ sizes: [Double], _ gradient: inout some DefinitionGradientCollector
    ) {
      gradient.add(to: name, at: start, factor, DefinitionVector(values, from: 0, count: dim))
      gradient.addMagnitude(to: name, at: start, size, DefinitionVector(sizes, from: 0, count: dim))
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
    /// `tanh(u)`, and `σ(vᵀ tanh(u))`: where the window is, as a part of what is visible.
    private let ratios: [Double], fraction: Double

    init(
      visible: Double, sigma: Double, queryStart: Int, weightStart: Int, u: DefinitionVector,
      v: DefinitionVector
    ) {
      (self.visible, self.sigma) = (visible, sigma)
      (self.queryStart, self.weightStart, self.u, self.v) = (queryStart, weightStart, u, v)
      let ratios = (0..<u.count).map { tanh(u[$0]) }
      self.ratios = ratios
      fraction = 1 / (1 + exp(-DoubleVectors.dot(v.array, v.start, ratios, 0, count: u.count).sum))
    }

    func value(key: Int) -> (sum: Double, magnitude: Double) {
      let offset = (Double(key) - visible * fraction) / sigma
      let value = exp(-offset * offset / 2)
      return (value, value)
    }

    func addGradient(_ slopes: [PairSlope], into gradient: inout some DefinitionGradientCollector) {
      // ∂L/∂(vᵀ tanh(u)).
      var total = 0.0, size = 0.0
      for pair in slopes {
        let offset = Double(pair.key) - visible * fraction
        let change =
          value(key: pair.key).sum * offset / (sigma * sigma) * visible * fraction * (1 - fraction)
        total += pair.slope * change
        size += pair.size * change.magnitude
      }
      let inner = ratios.indices.map { v[$0] * (1 - ratios[$0] * ratios[$0]) }
      for (name, start, values) in [
        (Luong.windowQuery.name, queryStart, inner), (Luong.windowWeight.name, weightStart, ratios),
      ] {
        let vector = DefinitionVector(values, from: 0, count: values.count)
        gradient.add(to: name, at: start, total, vector)
        gradient.addMagnitude(to: name, at: start, size, vector)
      }
    }
  }
}
