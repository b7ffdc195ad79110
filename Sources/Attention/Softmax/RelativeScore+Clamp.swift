import AttentionCore
import Basics
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Transformer-XL's score at distances beyond a clamp C: `scale · [(q_i + u)·k_j + c_i]`, `c_i = (q_i + v)·W R_{±C}`.
extension RelativeScore {
  /// The distances that those beyond the clamp are taken for: C, and −C where keys may stand behind the query.
  var farDistances: [Int] {
    guard let clamp else { return [] }
    return shape.isCausal ? [clamp] : [clamp, -clamp]
  }

  /// The distances of the pairs of every pass: near ones, then those beyond the clamp in the order of `farDistances`; none
  /// without a clamp.
  var passDistances: [ClosedRange<Int>] {
    guard let clamp else { return [] }
    let last = shape.queryLength + shape.keyLength + clamp
    return [-clamp...clamp] + farDistances.map { $0 > 0 ? clamp + 1...last : -last...(-clamp - 1) }
  }

  /// The shape of a pass over far pairs.
  var farShape: AttentionShape {
    var far = shape.with(precision: .float32)
    far.headDim = shape.headDim + 1
    far.scale = scale
    return far
  }

  /// R of a distance: sines, then cosines.
  private func wave(_ distance: Int) -> [Float] {
    let angles = (0..<half).map { Double(distance) * Self.frequency($0, width: width) }
    return angles.map { Float(sin($0)) } + angles.map { Float(cos($0)) }
  }

  /// `[q + u, c]` and `[k, 1]`.
  /// - Throws: `MemoryLimitExceeded`.
  func farInputs(
    _ inputs: Operands, _ content: Tensor, _ products: Tensor, at distance: Int, in context: ExecutionContext
  ) throws -> Operands {
    let dim = shape.headDim, width = width, wave = wave(distance)
    var query = try context.empty(farShape.queryShape), key = try context.empty(farShape.keyShape)
    let (toQuery, fromQuery, a) = (query.rowsForWriting(), inputs.query.rows(), products.rows())
    let (toKey, fromKey) = (key.rowsForWriting(), inputs.key.rows())
    let content = content.contiguous().pinned()
    forEachRow(of: shape.queryShape, in: context) { batch, head, row in
      let (to, from) = (toQuery.row(batch, head, row), fromQuery.row(batch, head, row))
      for t in 0..<dim { to[t] = from[t] + content[head * dim + t] }
      let a = a.row(batch, head, row)
      to[dim] = (0..<width).reduce(0) { $0 + a[$1] * wave[$1] }
    }
    forEachRow(of: shape.keyShape, in: context) { batch, head, row in
      let to = toKey.row(batch, head, row)
      to.update(from: fromKey.row(batch, head, row), count: dim)
      to[dim] = 1
    }
    return Operands(query: query, key: key, value: inputs.value)
  }

  /// Adds `∂L/∂c · R` of every side to the gradient of `Wᵀ(q + v)`.
  func addFar(_ gradients: [Operands], to products: Rows, in context: ExecutionContext) {
    let dim = shape.headDim, width = width
    for (distance, gradient) in zip(farDistances, gradients) {
      let source = gradient.query.rows(), wave = wave(distance)
      forEachRow(of: shape.queryShape, in: context) { batch, head, row in
        let change = source.row(batch, head, row)[dim], to = products.row(batch, head, row)
        for t in 0..<width { to[t] += change * wave[t] }
      }
    }
  }

  /// Bytes of the passes over far pairs beside that over near ones: their rows, what they give, and going back their gradients.
  func farBytes(of pass: PassKind) -> Double {
    let rows = Double(shape.batch * shape.queryHeads * shape.queryLength)
    let keys = Double(shape.batch * shape.keyHeads * shape.keyLength)
    let long = Double(shape.headDim + 1), values = Double(shape.valueDim)
    let made = rows * long + keys * long
    let given = pass == .backward ? made + keys * values : rows * (values + 1)
    return 4 * Double(farDistances.count) * (made + given)
  }
}

/// The pairs of a variant by the distances that passes of their own take, made once for each direction.
struct DistanceParts: Sendable {
  private let forward: Once<[TilePattern]>
  private let backward: Once<[TilePattern]>

  init(_ variant: any PatternVariant, _ distances: [ClosedRange<Int>]) {
    let offset = variant.shape.queryOffset
    @Sendable func parts(_ pattern: TilePattern) -> [TilePattern] {
      distances.map { range in pattern.mapped { $0.limited(to: range, queryOffset: offset) } }
    }
    forward = Once { parts(variant.pattern) }
    backward = Once { parts(variant.backwardPattern) }
  }

  /// The patterns of a pass.
  func patterns(_ pass: PassKind) -> [TilePattern] {
    pass == .backward ? backward.value : forward.value
  }

  /// Bytes of the lists that were made, and of their schedules.
  var planBytes: Int {
    [forward, backward].reduce(0) { sum, part in
      (part.valueIfMade ?? []).reduce(sum) { $0 + $1.planBytes }
    }
  }
}
