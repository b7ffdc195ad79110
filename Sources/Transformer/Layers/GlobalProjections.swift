import AttentionCore
import Tensors

/// Longformer's second projections, for the global rows G: `q' = x_G W'_Qᵀ`, `k' = x W'_Kᵀ`, `v' = x W'_Vᵀ`.
///
/// Rows in G attend by q', k' and v'; every other row sees all keys, global ones too, by the layer's own q, k and v.
/// q' is made of the global rows alone; k' and v' of the rows that one of them sees: all, or those up to the last of them
/// when causal. Positions (RoPE, ALiBi) and key heads are those of the layer.
///
/// x `[batch·length, width]`; W'_Q `[heads·d, width]`, W'_K and W'_V `[keyHeads·d, width]`, with biases where the layer has
/// them. All start as copies of the layer's own, so that a model starts as the tied one.
/// - Complexity: 2·width·d·(heads·batch·|G| + 2·keyHeads·rows seen) operations forward, twice that backward.
/// - Source: Beltagy et al., 2020, section 3.1.
struct GlobalProjections: Sendable {
  let query: Linear
  let keyValue: Linear
  /// The last position whose row can be global.
  let lastPosition: Int

  /// Rows of x that are projected a second time.
  struct Rows {
    /// The global ones.
    let queries: [Int32]
    /// Those that a global one sees; `nil`: all.
    let keys: [Int32]?
    let count: Int

    var keyCount: Int { keys?.count ?? count }

    /// Of a plan for whole sequences; `nil`: no row is global.
    init?(of plan: AnyAttention) {
      let shape = plan.shape, global = plan.globalRows
      guard let last = global.last else { return nil }
      let length = shape.queryLength
      func rows(_ places: [Int]) -> [Int32] {
        (0..<shape.batch).flatMap { sequence in places.map { Int32(sequence * length + $0) } }
      }
      count = shape.batch * length
      queries = rows(global)
      keys = shape.isCausal && last < length - 1 ? rows(Array(0...last)) : nil
    }
  }

  struct Saved {
    let rows: Rows
    let queries: Tensor
    let keys: Tensor
  }

  /// Declares the parameters behind those of the layer.
  init(
    _ name: String, _ configuration: ModelConfiguration, lastPosition: Int, copying input: Linear,
    in layout: inout ParameterLayout
  ) {
    self.lastPosition = lastPosition
    let width = configuration.width, bias = configuration.bias
    let own = configuration.heads * configuration.headDim
    let keys = configuration.effectiveKeyHeads * configuration.headDim
    query = Linear(
      [(name: name + ".query_global", output: own)], from: width, bias: bias, copying: (input, 0),
      in: &layout)
    keyValue = Linear(
      [(name: name + ".key_global", output: keys), (name: name + ".value_global", output: keys)], from: width,
      bias: bias, copying: (input, own), in: &layout)
  }

  /// Operations of a forward pass.
  func operations(_ rows: Rows) -> Double {
    2 * (Double(rows.queries.count * query.weight.count) + Double(rows.keyCount * keyValue.weight.count))
  }

  func forward(
    _ x: Tensor, _ rows: Rows, of layer: AttentionLayer, batch: Int, rotary: RotaryTable?, _ run: LayerRun
  ) throws -> (QKV.Projections, Saved) {
    let context = run.context
    let queries = try context.lookUp(rows.queries, in: x)
    let keys = try rows.keys.map { try context.lookUp($0, in: x) } ?? x
    let query = try layer.query(
      context.spread(self.query.forward(queries, run), at: rows.queries, of: rows.count), batch: batch,
      rotary: rotary, run)
    let (key, value) = try layer.keyValue(
      context.spread(keyValue.forward(keys, run), at: rows.keys, of: rows.count), batch: batch,
      rotary: rotary, run)
    return (
      QKV.Projections(query: query, key: key, value: value), Saved(rows: rows, queries: queries, keys: keys)
    )
  }

  /// Adds the gradient of x to `dx`.
  func backward(
    _ gradient: QKV.Projections, _ saved: Saved, of layer: AttentionLayer, rotary: RotaryTable?,
    into dx: inout Tensor, _ run: LayerRun
  ) throws {
    let context = run.context, width = dx.shape[1], rows = saved.rows
    func add(_ d: Tensor, at places: [Int32]?) {
      guard let places else { return context.accumulate(d, into: &dx) }
      context.accumulateRows(d, at: places, into: &dx, at: 0)
    }
    precondition(saved.keys.shape[1] == width, "\(saved.keys.shape) beside \(dx.shape)")
    var dQuery = try context.empty([rows.count, query.weight.shape[0]])
    layer.mergeQuery(gradient.query, into: &dQuery, rotary: rotary, context)
    add(
      try query.backward(context.lookUp(rows.queries, in: dQuery), x: saved.queries, run), at: rows.queries)
    var dSource = try context.empty([rows.count, keyValue.weight.shape[0]])
    layer.mergeKeyValue(gradient.key, gradient.value, into: &dSource, rotary: rotary, context)
    let dKeys = try rows.keys.map { try context.lookUp($0, in: dSource) } ?? dSource
    add(try keyValue.backward(dKeys, x: saved.keys, run), at: rows.keys)
  }
}

extension ExecutionContext {
  /// Rows in their places among `count`, zeros elsewhere; `nil`: they are all there already.
  func spread(_ x: Tensor, at rows: [Int32]?, of count: Int) throws -> Tensor {
    guard let rows else { return x }
    var whole = try zeros([count, x.shape[1]])
    accumulateRows(x, at: rows, into: &whole, at: 0)
    return whole
  }
}
