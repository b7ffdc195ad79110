import AttentionCore
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension RelativeScore {
  /// What the score has beside `scale · q·k`.
  var terms: [SoftmaxDefinition.Term] {
    [
      .product(Self.content(isShared: false).name, .key, factor: scale),
      .own(RelativeTerm(shape: shape, scale: scale, clamp: clamp)),
    ]
  }
}

/// `scale · (q_i + v)·W R_{i−j}`, the distance held within ±C under a clamp.
private struct RelativeTerm: PairTerm {
  let shape: AttentionShape
  let scale: Double
  let clamp: Int?

  func row(_ row: DefinitionRow, _ inputs: DefinitionInputs) -> any PairTermRow {
    let dim = shape.headDim, width = shape.queryHeads * dim
    let queryStart = ((row.batch * shape.queryHeads + row.head) * shape.queryLength + row.query) * dim
    return Row(
      scale: scale, clamp: clamp, position: row.query + shape.queryOffset, queryStart: queryStart,
      vectorStart: row.head * dim, weightStart: row.head * dim * width,
      query: inputs.part(of: .query, from: queryStart, count: dim),
      vector: inputs.part(
        of: RelativeScore.position(isShared: false).name, from: row.head * dim, count: dim),
      weight: inputs.part(of: RelativeScore.weight.name, from: row.head * dim * width, count: dim * width))
  }

  struct Row: PairTermRow {
    let scale: Double
    let clamp: Int?
    let position: Int, queryStart: Int, vectorStart: Int, weightStart: Int
    let query: DefinitionVector, vector: DefinitionVector, weight: DefinitionVector
    /// `Wᵀ(q + v)`, and the same of absolute values.
    private let product: [Double], size: Double

    init(
      scale: Double, clamp: Int?, position: Int, queryStart: Int, vectorStart: Int, weightStart: Int,
      query: DefinitionVector, vector: DefinitionVector, weight: DefinitionVector
    ) {
      (self.scale, self.clamp, self.position) = (scale, clamp, position)
      (self.queryStart, self.vectorStart, self.weightStart) = (queryStart, vectorStart, weightStart)
      (self.query, self.vector, self.weight) = (query, vector, weight)
      let width = weight.count / query.count
      var product = [Double](repeating: 0, count: width), size = 0.0
      for t in 0..<query.count {
        let row = weight.start + t * width
        DoubleVectors.add(query[t] + vector[t], weight.array, row, to: &product, 0, count: width)
        let sizes = DoubleVectors.dot(
          weight.array, row, [Double](repeating: 1, count: width), 0, count: width)
        size += (query[t].magnitude + vector[t].magnitude) * sizes.magnitude
      }
      (self.product, self.size) = (product, size)
      frequencies = (0..<width / 2).map { RelativeScore.frequency($0, width: width) }
    }

    private let frequencies: [Double]
    private var width: Int { product.count }

    /// R of a distance: sines, then cosines.
    private func wave(_ key: Int) -> [Double] {
      var wave = frequencies + frequencies
      let offset = position - key
      let distance = Double(clamp.map { min($0, max(-$0, offset)) } ?? offset)
      for f in frequencies.indices {
        let angle = distance * frequencies[f]
        wave[f] = sin(angle)
        wave[f + frequencies.count] = cos(angle)
      }
      return wave
    }

    func value(key: Int) -> (sum: Double, magnitude: Double) {
      let sum = DoubleVectors.dot(product, 0, wave(key), 0, count: width).sum
      // A sine of 0 is no sign of exactness: it may be a difference of two products.
      return (scale * sum, scale.magnitude * size)
    }

    func addGradient(_ slopes: [PairSlope], into gradient: inout some DefinitionGradientCollector) {
      var total = [Double](repeating: 0, count: width), size = 0.0
      for pair in slopes {
        DoubleVectors.add(scale * pair.slope, wave(pair.key), 0, to: &total, 0, count: width)
        size += scale.magnitude * pair.size
      }
      var d = [Double](repeating: 0, count: query.count), dSize = d
      let ones = [Double](repeating: 1, count: width)
      for t in 0..<query.count {
        let row = weight.start + t * width, place = weightStart + t * width
        d[t] = DoubleVectors.dot(weight.array, row, total, 0, count: width).sum
        dSize[t] = DoubleVectors.dot(weight.array, row, ones, 0, count: width).magnitude * size
        gradient.add(
          to: RelativeScore.weight.name, at: place, query[t] + vector[t],
          DefinitionVector(total, from: 0, count: width))
        gradient.addMagnitude(
          to: RelativeScore.weight.name, at: place, (query[t].magnitude + vector[t].magnitude) * size,
          DefinitionVector(ones, from: 0, count: width))
      }
      for (name, start) in [
        (Operand.Name.query, queryStart), (RelativeScore.position(isShared: false).name, vectorStart),
      ] {
        gradient.add(to: name, at: start, 1, DefinitionVector(d, from: 0, count: d.count))
        gradient.addMagnitude(to: name, at: start, 1, DefinitionVector(dSize, from: 0, count: d.count))
      }
    }
  }
}
