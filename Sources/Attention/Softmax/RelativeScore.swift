import AttentionCore
import Basics
import Settings
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Transformer-XL's score, `s_ij = scale · [(q_i + u)·k_j + (q_i + v)·W R_{i−j}]`.
///
/// R is sines, then cosines, of the distance: `R_δ = [sin ω_f δ | cos ω_f δ]`, `ω_f = 10000^{−2f/w}`, `w = heads·d`, `f < w/2`.
/// With `a = Wᵀ(q + v)` and the theorem of addition, the second product is one of longer vectors:
/// `Σ_f cos ω_f j (a_f sin ω_f i + a_{w/2+f} cos ω_f i) + sin ω_f j (a_{w/2+f} sin ω_f i − a_f cos ω_f i)`. So the engine computes
/// it over any tiles, with q and k of `d + w` elements, and no row of scores by distance exists.
///
/// Under a clamp C distances beyond ±C take the row of ±C. There the second product is a number of the query alone, one element
/// more of q beside a 1 in k: pairs at such distances are passes of their own (`RelativeScore+Clamp.swift`), joined by their LSEs.
/// - Complexity: (1 + heads)/2 + ½ times the operations of a product; O(n·(d + w)) memory for the longer rows.
/// - Source: Dai et al., 2019, Transformer-XL.
struct RelativeScore: Sendable {
  /// u, `[heads, d]`.
  static func content(isShared: Bool) -> Operand {
    Operand(
      "relative_content", [.queryHeads, .headDim], .learned(.normal(0.02)), isShared: isShared,
      help: "u of the relative score, added to q for content")
  }
  /// v, `[heads, d]`.
  static func position(isShared: Bool) -> Operand {
    Operand(
      "relative_position", [.queryHeads, .headDim], .learned(.normal(0.02)), isShared: isShared,
      help: "v of the relative score, added to q for distance")
  }
  /// W, `[heads, d, heads·d]`.
  static let weight = Operand(
    "relative_weight", [.queryHeads, .headDim, .width], .learned(.normal(0.02)),
    help: "W of the relative score, which the sines and cosines of a distance go through")

  /// What it reads beside q and k.
  /// - Parameter untie: whether layers have their own u and v.
  static func operands(untie: Bool) -> [Operand] {
    [content(isShared: !untie), position(isShared: !untie), weight]
  }

  let shape: AttentionShape
  let scale: Double
  /// C; `nil`: none.
  var clamp: Int?

  /// w: elements of R.
  var width: Int { shape.queryHeads * shape.headDim }
  var half: Int { width / 2 }

  /// The shape of the pass over longer rows.
  var longer: AttentionShape {
    var longer = shape.with(precision: .float32)
    longer.headDim = shape.headDim + width
    longer.scale = scale
    return longer
  }

  /// Checks that sines and cosines come in pairs.
  /// - Throws: `ConfigurationError`.
  static func validate(for shape: AttentionShape) throws(ConfigurationError) {
    guard shape.queryHeads * shape.headDim % 2 == 0 else {
      throw ConfigurationError(
        field: "score", value: "relative",
        allowed: "others where heads times head dim is odd: sines and cosines of a distance come in pairs")
    }
  }

  /// Bytes of a pass beside that over longer rows: these, their gradients, a, and up-converted inputs.
  func workspaceBytes(of pass: PassKind) -> Double {
    let rows = Double(shape.batch * shape.queryHeads * shape.queryLength)
    let keys = Double(shape.batch * shape.keyHeads * shape.keyLength)
    let long = Double(longer.headDim), wide = Double(width), d = Double(shape.headDim)
    let tables = Double(2 * half * (shape.queryLength + shape.keyLength))
    let made = rows * (long + wide + d) + keys * long + tables
    let back = pass == .backward ? rows * (long + wide + 2 * d) + keys * long : 0
    return 4 * (made + back) + (shape.precision == .float32 ? 0 : 2 * shape.inputBytes)
  }

  /// Operations of a pass beside that over longer rows: a and, going back, its gradients.
  func operations(of pass: PassKind) -> Double {
    let rows = Double(shape.batch * shape.queryHeads) * (pass == .decode ? 1 : Double(shape.queryLength))
    return (pass == .backward ? 6 : 2) * rows * Double(shape.headDim * width) + 6 * rows * Double(width)
  }

  /// What the passes read, and the way back of their gradients.
  struct Lengthened: Sendable {
    /// q and k as longer rows.
    let inputs: Operands
    /// The same for the pairs beyond the clamp, side by side.
    let far: [Operands]
    let back: @Sendable (_ gradients: [Operands], _ context: ExecutionContext) throws -> Operands
  }

  /// q and k as longer rows, and the way back of their gradients.
  /// - Throws: `MemoryLimitExceeded`.
  func lengthened(_ inputs: Operands, in context: ExecutionContext) throws -> Lengthened {
    let wide = try inputs.converted(to: .float32, ledger: context.ledger)
    let (content, position, weight) = (
      self[Self.content(isShared: false), inputs], self[Self.position(isShared: false), inputs],
      self[Self.weight, inputs]
    )
    let moved = try sum(wide.query, position, in: context)
    let products = try HeadProducts.rows(moved, weight, in: context)
    let queryWaves = try waves(from: shape.queryOffset, count: shape.queryLength, in: context.ledger)
    let keyWaves = try waves(from: 0, count: shape.keyLength, in: context.ledger)
    var longer = wide
    longer.query = try longQueries(wide.query, content, products, queryWaves, in: context)
    longer.key = try longKeys(wide.key, keyWaves, in: context)
    let far = try farDistances.map { try farInputs(wide, content, products, at: $0, in: context) }
    return Lengthened(inputs: longer, far: far) { gradients, context in
      try shortened(gradients, moved: moved, weight: weight, queryWaves, in: context)
    }
  }

  private subscript(operand: Operand, inputs: Operands) -> Tensor {
    guard let tensor = inputs[operand.name] else { preconditionFailure("\(operand.name) is missing") }
    return tensor
  }

  /// Cosines and sines of positions, `[positions, 2·half]`: cosines first.
  /// - Throws: `MemoryLimitExceeded`.
  private func waves(
    from first: Int, count: Int, in ledger: MemoryLedger?
  ) throws(MemoryLimitExceeded) -> PinnedView<Float> {
    let view = try PinnedView<Float>(repeating: 0, count: count * 2 * half, in: ledger)
    for place in 0..<count {
      for f in 0..<half {
        let angle = Double(first + place) * Self.frequency(f, width: width)
        view[place * 2 * half + f] = Float(cos(angle))
        view[place * 2 * half + half + f] = Float(sin(angle))
      }
    }
    return view
  }

  /// ω_f.
  static func frequency(_ f: Int, width: Int) -> Double { pow(10_000, -2 * Double(f) / Double(width)) }

  /// Rows plus a vector of every head.
  private func sum(_ rows: Tensor, _ vectors: Tensor, in context: ExecutionContext) throws -> Tensor {
    var result = try context.empty(rows.shape)
    let (target, source, vectors) = (result.rowsForWriting(), rows.rows(), vectors.contiguous().pinned())
    forEachRow(of: rows.shape, in: context) { batch, head, row in
      let (to, from) = (target.row(batch, head, row), source.row(batch, head, row))
      for t in 0..<shape.headDim { to[t] = from[t] + vectors[head * shape.headDim + t] }
    }
    return result
  }

  func forEachRow(
    of extents: [Int], in context: ExecutionContext, _ body: @Sendable (Int, Int, Int) -> Void
  ) {
    Parallel.forEach(count: extents[0] * extents[1], threads: context.threads) { index, _ in
      for row in 0..<extents[2] { body(index / extents[1], index % extents[1], row) }
    }
  }

  private func longQueries(
    _ query: Tensor, _ content: Tensor, _ products: Tensor, _ waves: PinnedView<Float>,
    in context: ExecutionContext
  ) throws -> Tensor {
    let dim = shape.headDim, half = half
    var result = try context.empty(longer.queryShape)
    let (target, source, a) = (result.rowsForWriting(), query.rows(), products.rows())
    let content = content.contiguous().pinned()
    forEachRow(of: shape.queryShape, in: context) { batch, head, row in
      let (to, from, a) = (
        target.row(batch, head, row), source.row(batch, head, row), a.row(batch, head, row)
      )
      for t in 0..<dim { to[t] = from[t] + content[head * dim + t] }
      let wave = waves + row * 2 * half
      for f in 0..<half {
        let (c, s) = (wave[f], wave[half + f])
        to[dim + f] = a[f] * s + a[half + f] * c
        to[dim + half + f] = a[half + f] * s - a[f] * c
      }
    }
    return result
  }

  private func longKeys(
    _ key: Tensor, _ waves: PinnedView<Float>, in context: ExecutionContext
  ) throws -> Tensor {
    let dim = shape.headDim, wide = width
    var result = try context.empty(longer.keyShape)
    let (target, source) = (result.rowsForWriting(), key.rows())
    forEachRow(of: shape.keyShape, in: context) { batch, head, row in
      let to = target.row(batch, head, row)
      to.update(from: source.row(batch, head, row), count: dim)
      (to + dim).update(from: waves + row * wide, count: wide)
    }
    return result
  }

  /// The gradients of q, k, u, v and W from those of the longer rows, then of the rows of far pairs.
  private func shortened(
    _ gradients: [Operands], moved: Tensor, weight: Tensor, _ waves: PinnedView<Float>,
    in context: ExecutionContext
  ) throws -> Operands {
    let dim = shape.headDim, half = half, near = gradients[0]
    var products = try context.empty(shape.queryShape.dropLast() + [width])
    let (target, source) = (products.rowsForWriting(), near.query.rows())
    forEachRow(of: shape.queryShape, in: context) { batch, head, row in
      let (to, from) = (target.row(batch, head, row), source.row(batch, head, row) + dim)
      let wave = waves + row * 2 * half
      for f in 0..<half {
        let (c, s) = (wave[f], wave[half + f])
        to[f] = from[f] * s - from[half + f] * c
        to[half + f] = from[f] * c + from[half + f] * s
      }
    }
    let far = Array(gradients.dropFirst())
    addFar(far, to: target, in: context)
    func sum(_ name: Operand.Name, width: Int) throws -> Tensor {
      let first = try part(near[name], width)
      return try far.reduce(first) { try added($0, part($1[name], width), in: context) }
    }
    let dMoved = try HeadProducts.rows(products, weight, .transposed, in: context)
    let dContent = try sum(.query, width: dim)
    var result = Operands(
      query: try added(dContent, dMoved, in: context),
      key: try sum(.key, width: dim).copied(ledger: context.ledger),
      value: try sum(.value, width: shape.valueDim))
    result[Self.weight.name] = try HeadProducts.gradient(moved, products, in: context)
    result[Self.content(isShared: false).name] = try dContent.summedByHead(in: context)
    result[Self.position(isShared: false).name] = try dMoved.summedByHead(in: context)
    return result
  }

  private func part(_ tensor: Tensor?, _ width: Int) throws -> Tensor {
    guard let tensor else { preconditionFailure("a pass without a gradient of q, k or v") }
    return tensor.narrowed(axis: 3, to: 0..<width)
  }

  private func added(_ a: Tensor, _ b: Tensor, in context: ExecutionContext) throws -> Tensor {
    var result = try context.empty(a.shape)
    let (target, first, second) = (result.rowsForWriting(), a.rows(), b.rows())
    let width = a.shape[3]
    forEachRow(of: a.shape, in: context) { batch, head, row in
      let (to, a, b) = (
        target.row(batch, head, row), first.row(batch, head, row), second.row(batch, head, row)
      )
      for t in 0..<width { to[t] = a[t] + b[t] }
    }
    return result
  }
}
