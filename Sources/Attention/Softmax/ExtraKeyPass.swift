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

/// A key that every query row sees beside those of its sequence: its LSE reduction with a pass that knows nothing of it, and its
/// part of the gradients. A pass that starts its rows with a learned logit (`ScoreStages.logits`) needs the latter alone.
///
/// With output o and LSE l of the sequence's keys, a score e_i and a value u: `l' = log(e^l + e^e)`, `o' = e^{l−l'} o + e^{e−l'} u`.
/// The pass goes back with o' and l' as they are (`SoftmaxRows`). What is left is the key's own part, with `b = e^{e−l'}` and
/// `D = dO·o'`: `de = b (dO·u − D)`, `du = Σ b dO`.
///
/// A learned logit is a key of the score z_h and the value 0, so `dz_h = −Σ_i b_i D_i` (gpt-oss). A sentinel has the score
/// `scale · q_i·k_s`, under the soft cap like any other, and the value v_s. A row without keys has the LSE e_i and the output u.
/// - Complexity: O(batch · heads · queryLength · (headDim + valueDim)).
/// - Source: OpenAI, 2025, gpt-oss; Lu et al., 2017, Knowing When to Look (visual sentinel).
struct ExtraKeyPass: Sendable {
  /// The learned logit, `[heads]`.
  static let logit = Operand(
    "sink_logit", [.queryHeads], .learned(.constant(0)), help: "z, a logit of the denominator alone")
  /// The sentinel's key, `[key heads, d]`.
  static let key = Operand(
    "sentinel_key", [.keyHeads, .headDim], .learned(.constant(0)), help: "k of the sentinel")
  /// The sentinel's value, `[key heads, value dim]`.
  static let value = Operand(
    "sentinel_value", [.keyHeads, .valueDim], .learned(.constant(0)), help: "v of the sentinel")

  let shape: AttentionShape
  let scale: Double
  /// Whether it has a key and a value, not a logit alone.
  let isSentinel: Bool

  /// - Returns: `nil` when there is no such key.
  init?(_ sink: SoftmaxSettings.Sink, shape: AttentionShape, scale: Double) {
    guard sink != .none else { return nil }
    (self.shape, self.scale, isSentinel) = (shape, scale, sink == .sentinel)
  }

  /// As the definition has it.
  var definition: SoftmaxDefinition.ExtraKey {
    isSentinel
      ? .init(score: .product(.query, Self.key.name, factor: scale), value: Self.value.name)
      : .init(score: .logit(Self.logit.name))
  }

  /// Query rows of one (batch, head) that are computed at once.
  static let chunk = 1024
  private var chunks: Int { (shape.queryLength + Self.chunk - 1) / Self.chunk }
  private var items: Int { shape.batch * shape.queryHeads * chunks }

  /// One piece of work: a (batch, head) and some of its rows.
  private func item(_ index: Int) -> (batch: Int, head: Int, rows: Range<Int>) {
    let (head, first) = (index / chunks, index % chunks * Self.chunk)
    return (
      head / shape.queryHeads, head % shape.queryHeads,
      first..<min(shape.queryLength, first + Self.chunk)
    )
  }

  /// Sums that one item has for the gradients of its parameters.
  private var sumCount: Int { isSentinel ? shape.headDim + shape.valueDim : 1 }

  /// Bytes beyond the pass: a sentinel's queries where they are up-converted, and sums of items.
  func workspaceBytes(of pass: PassKind) -> Double {
    let wide = isSentinel && shape.precision != .float32 ? 4 * Operand.query.count(at: shape) : 0
    return wide + (pass == .backward ? Double(8 * items * sumCount) : 0)
  }

  /// Operations of a pass: products with the output's rows, and a sentinel's score.
  func operations(of pass: PassKind) -> Double {
    let rows = Double(shape.batch * shape.queryHeads) * (pass == .decode ? 1 : Double(shape.queryLength))
    let (d, v) = (Double(shape.headDim), Double(shape.valueDim))
    if pass == .backward { return rows * (isSentinel ? 6 * d + 6 * v : 2 * v) }
    return rows * (isSentinel ? 2 * d + 3 * v : v)
  }

  /// The parameters as the loops read them.
  private struct Parameters: Sendable {
    var logits: [Float] = []
    var keys: [Float] = []
    var values: [Float] = []
  }

  private func parameters(_ inputs: Operands) -> Parameters {
    func read(_ operand: Operand) -> [Float] {
      guard let tensor = inputs[operand.name] else { preconditionFailure("\(operand.name) is missing") }
      return tensor.array()
    }
    return isSentinel
      ? Parameters(keys: read(Self.key), values: read(Self.value)) : Parameters(logits: read(Self.logit))
  }

  private func queries(_ inputs: Operands, in context: ExecutionContext) throws -> Tensor {
    guard isSentinel, inputs.query.precision != .float32 else { return inputs.query }
    return try inputs.query.converted(to: .float32, ledger: context.ledger)
  }

  /// The LSE reduction of the key with the result of a pass.
  /// - Throws: `MemoryLimitExceeded`.
  func forward(
    _ forward: consuming Forward, _ inputs: Operands, _ pullback: @escaping Forward.PartialPullback,
    in context: ExecutionContext
  ) throws -> Forward {
    inputs.check(isSentinel ? [Self.key, Self.value] : [Self.logit], at: shape)
    let parameters = parameters(inputs), query = try queries(inputs, in: context)
    var (output, lse) = forward.results()
    reduceAll(parameters, query, output.rowsForWriting(), lse.rowsForWriting(), in: context)
    return begun(Forward(output: output, lse: lse, partialPullback: pullback), inputs, pullback)
  }

  /// The learned logits, with which rows may start; `nil` of a sentinel.
  func logits(_ inputs: Operands) -> [Float]? {
    guard !isSentinel else { return nil }
    inputs.check([Self.logit], at: shape)
    return parameters(inputs).logits
  }

  /// A result that has the key already, with the way back of all keys.
  func begun(_ forward: consuming Forward, _ inputs: Operands, _ pullback: @escaping Forward.PartialPullback)
    -> Forward
  {
    let (output, lse) = forward.results()
    return Forward(output: output, lse: lse) { outputGradient, rows, context in
      let all = SoftmaxRows(output: rows.output, lse: rows.lse, hasOtherKeys: true)
      var gradient = try pullback(outputGradient, all, context)
      try addGradients(outputGradient, rows, inputs, to: &gradient, in: context)
      return gradient
    }
  }

  private func reduceAll(
    _ parameters: Parameters, _ query: Tensor, _ output: Rows, _ lse: Rows, in context: ExecutionContext
  ) {
    let query = rows(of: query)
    Parallel.forEach(count: items, threads: context.threads) { index, _ in
      reduce(item(index), parameters, query, output, lse)
    }
  }

  /// Rows of q where they are read.
  private func rows(of query: Tensor) -> Rows? { isSentinel ? query.rows() : nil }

  /// The score of a row before the soft cap.
  private func score(
    _ parameters: Parameters, _ query: Rows?, _ batch: Int, _ head: Int, _ row: Int
  ) -> Float {
    guard let query else { return parameters.logits[head] }
    let (d, first) = (shape.headDim, shape.keyHead(of: head) * shape.headDim)
    let q = query.row(batch, head, row)
    return parameters.keys.withUnsafeBufferPointer { keys in
      guard let base = keys.baseAddress else { return 0 }
      return Float(scale) * NormalizedRows.dot(q, base + first, d)
    }
  }

  /// The key's score in every row.
  /// - Throws: `MemoryLimitExceeded`.
  func scores(_ inputs: Operands, in context: ExecutionContext) throws -> [Double] {
    let parameters = parameters(inputs), query = rows(of: try queries(inputs, in: context))
    return shape.definitionRows.map { row in
      Double(capped(score(parameters, query, row.batch, row.head, row.query)).score)
    }
  }

  private func capped(_ score: Float) -> (score: Float, slope: Float) {
    guard isSentinel, shape.softcap != nil else { return (score, 1) }
    let capped = shape.capped(Double(score))
    return (Float(capped.score), Float(capped.slope))
  }

  private func reduce(
    _ item: (batch: Int, head: Int, rows: Range<Int>), _ parameters: Parameters, _ query: Rows?,
    _ output: Rows, _ lse: Rows
  ) {
    let dim = shape.valueDim, logSums = lse.head(item.batch, item.head)
    let first = shape.keyHead(of: item.head) * dim
    for row in item.rows {
      let own = logSums[row * lse.rowStride]
      guard !own.isNaN else { continue }
      let score = capped(score(parameters, query, item.batch, item.head, row)).score
      let distance = score - own, small = exp(-distance.magnitude)
      logSums[row * lse.rowStride] = max(score, own) + log1p(small)
      let large = 1 / (1 + small)
      let (a, b) = distance > 0 ? (small * large, large) : (large, small * large)
      let target = output.row(item.batch, item.head, row)
      if a != 1 { for t in 0..<dim { target[t] = a == 0 ? 0 : a * target[t] } }
      guard isSentinel, b != 0 else { continue }
      parameters.values.withUnsafeBufferPointer { values in
        for t in 0..<dim { target[t] += b * values[first + t] }
      }
    }
  }

  /// Adds the key's own part to the gradients of a pass.
  private func addGradients(
    _ outputGradient: Tensor, _ rows: SoftmaxRows, _ inputs: Operands, to gradient: inout Operands,
    in context: ExecutionContext
  ) throws {
    let parameters = parameters(inputs), query = try queries(inputs, in: context)
    var sums = try Tensor(zeros: [items, 1, 2 * sumCount], ledger: context.ledger)
    let sumsView = sums.pinnedForWriting()
    let (output, lse, dO) = (rows.output.rows(), rows.lse.rows(), outputGradient.rows())
    let dq = gradient.query.rowsForWriting()
    let queryRows = self.rows(of: query)
    Parallel.forEach(count: items, threads: context.threads) { index, _ in
      let own = UnsafeMutableRawPointer(sumsView + index * 2 * sumCount)
        .assumingMemoryBound(to: Double.self)
      addGradients(item(index), parameters, queryRows, dO, output, lse, dq, own)
    }
    try addSums(sums, to: &gradient, in: context)
  }

  private func addGradients(
    _ item: (batch: Int, head: Int, rows: Range<Int>), _ parameters: Parameters, _ query: Rows?,
    _ outputGradient: Rows, _ output: Rows, _ lse: Rows, _ dQuery: Rows, _ sums: UnsafeMutablePointer<Double>
  ) {
    let (d, dim) = (shape.headDim, shape.valueDim)
    let keyHead = shape.keyHead(of: item.head), logSums = lse.head(item.batch, item.head)
    for row in item.rows {
      let all = logSums[row * lse.rowStride]
      let (score, slope) = capped(score(parameters, query, item.batch, item.head, row))
      let b = SoftmaxRows.share(of: Double(score), in: all)
      guard b > 0 else { continue }
      let dO = outputGradient.row(item.batch, item.head, row)
      let mean = Double(NormalizedRows.dot(dO, output.row(item.batch, item.head, row), dim))
      guard let query else {
        sums[0] -= b * mean
        continue
      }
      var product = 0.0
      for t in 0..<dim {
        product += Double(dO[t]) * Double(parameters.values[keyHead * dim + t])
        sums[d + t] += b * Double(dO[t])
      }
      let change = scale * Double(slope) * b * (product - mean)
      let (q, dq) = (query.row(item.batch, item.head, row), dQuery.row(item.batch, item.head, row))
      for t in 0..<d {
        sums[t] += change * Double(q[t])
        dq[t] += Float(change) * parameters.keys[keyHead * d + t]
      }
    }
  }

  /// The sums of items, in order.
  private func addSums(_ sums: Tensor, to gradient: inout Operands, in context: ExecutionContext) throws {
    let heads = isSentinel ? shape.keyHeads : shape.queryHeads
    var totals = [Double](repeating: 0, count: heads * sumCount)
    let view = sums.pinned()
    let sums = UnsafeRawPointer(view.pointer).assumingMemoryBound(to: Double.self)
    withExtendedLifetime(view) {
      for index in 0..<items {
        let head = isSentinel ? shape.keyHead(of: item(index).head) : item(index).head
        for t in 0..<sumCount { totals[head * sumCount + t] += sums[index * sumCount + t] }
      }
    }
    func part(_ range: Range<Int>) -> [Float] {
      (0..<heads).flatMap { head in range.map { Float(totals[head * sumCount + $0]) } }
    }
    func tensor(_ operand: Operand, _ range: Range<Int>) throws -> Tensor {
      try Tensor(part(range), shape: operand.extents(at: shape), ledger: context.ledger)
    }
    guard isSentinel else {
      gradient[Self.logit.name] = try tensor(Self.logit, 0..<1)
      return
    }
    gradient[Self.key.name] = try tensor(Self.key, 0..<shape.headDim)
    gradient[Self.value.name] = try tensor(Self.value, shape.headDim..<sumCount)
  }
}
