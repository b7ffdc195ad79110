import AttentionCore
import RealModule
import Tensors

/// Attention that looks up keys and values of earlier segments beside what it sees of its own (Memorizing Transformers).
///
/// ```
/// o_i = g_h·m_i + (1 − g_h)·a_i,   g_h = 1/(1 + e^(−b_h))
/// m_i = Σ_j softmax_j(q_i·k_j/√d) v_j   over the nearest stored keys,   a_i the layer's attention to its own segment
/// ```
///
/// b_h is a parameter of the head. The query is the layer's own without positions, and so are the stored keys: where a pair
/// stood is not told. No gradient goes into stored keys and values; the query and b have one. A sequence that has nothing stored
/// is read by a alone.
/// - Complexity: 2·rows·stored·d operations a head for an exact search, 4·rows·nearest·d for the rest.
/// - Source: Wu et al., 2022, Memorizing Transformers, section 3.
package struct StoredAttention: Sendable {
  /// b, `[heads]`.
  package let gate: ParameterSlot
  /// Over which of the stored keys the softmax goes.
  package let attention: LayerAttention

  init(_ name: String, _ configuration: LayerConfiguration, in layout: inout ParameterLayout) {
    gate = layout.add(name + ".stored_gate", [configuration.heads], .constant(0), decays: false)
    let nearest = configuration.storedNearest
    attention =
      nearest == 0 ? LayerAttention("full") : LayerAttention("top-k", settings: ["keys": .int(nearest)])
  }

  /// The shares g of all heads.
  func shares(_ run: LayerRun) -> [Float] { run.weight(gate).array().map { 1 / (1 + .exp(-$0)) } }
}

extension AttentionLayer {
  /// The shape of a look-up.
  package func storedShape(batch: Int, queries: Int, stored: Int, counts: [Int]?) throws -> AttentionShape {
    try AttentionShape(
      batch: batch, queryHeads: heads, keyHeads: keyHeads, queryLength: queries, keyLength: stored,
      headDim: dim, keyLengths: counts)
  }

  /// Joins what a pass saw of its own segment with what is stored, and the way back: from the gradient of the outputs to that of
  /// the own part, adding what goes through the queries to the gradient of x.
  struct Lookup {
    let output: Tensor
    let back: (_ dOutput: Tensor) throws -> (dOwn: Tensor, dx: Tensor)
  }

  /// - Parameters:
  ///   - own: the outputs of attention to the segment, `[batch, heads, rows, d]`.
  ///   - asking: the rows that have queries.
  ///   - projected: rows of their product with the map of q, whose columns stand first.
  /// - Returns: `nil` where the layer looks up nothing, or nothing is stored.
  func lookUp(_ own: Tensor, asking: Tensor, _ projected: HeadProjection, _ run: LayerRun) throws -> Lookup? {
    guard let stored, let past = run.past, let projected = projected.rows else { return nil }
    let context = run.context, batch = run.batch
    guard let rows = try past.stored(for: name, context) else { return nil }
    let query = try context.splitHeads(projected, batch: batch, heads: heads, dim: dim)
    let shape = try storedShape(
      batch: batch, queries: query.shape[2], stored: rows.keys.shape[2],
      counts: Set(rows.counts).count == 1 ? nil : rows.counts)
    let plan = try run.planner.plan(stored.attention, layer: name + ".stored", shape: shape)
    let found = try plan.attend(Operands(query: query, key: rows.keys, value: rows.values), in: context)
    let shares = stored.shares(run)
    func share(_ index: Int) -> Float { rows.counts[index / heads] == 0 ? 0 : shares[index % heads] }
    let size = own.shape[2] * dim, slabs = batch * heads
    /// Every head of every sequence times a factor of its own.
    func scaled(_ x: Tensor, into y: inout Tensor, _ factor: (Int) -> Float) {
      let flat = x.reshaped([slabs, size])
      for index in 0..<slabs where factor(index) != 0 {
        context.accumulate(
          flat.narrowed(axis: 0, to: index..<index + 1), factor: factor(index), into: &y, at: index * size)
      }
    }
    var output = try context.zeros(own.shape)
    scaled(own, into: &output) { 1 - share($0) }
    scaled(found.output, into: &output) { share($0) }
    return Lookup(output: output) { d in
      let flat = d.reshaped([slabs, size])
      let difference = try context.blend(1, found.output, -1, own).reshaped([slabs, size])
      var dGate = [Float](repeating: 0, count: heads)
      for index in 0..<slabs where rows.counts[index / heads] > 0 {
        let part = index..<index + 1, g = share(index)
        let product = try context.matmul(
          flat.narrowed(axis: 0, to: part), .plain, difference.narrowed(axis: 0, to: part), .transposed)
        dGate[index % heads] += g * (1 - g) * product[0, 0]
      }
      context.accumulate(
        try Tensor(dGate, shape: [heads]), into: &run.state.gradients, at: stored.gate.offset)
      var dOwn = try context.zeros(own.shape), dFound = try context.zeros(own.shape)
      scaled(d, into: &dOwn) { 1 - share($0) }
      scaled(d, into: &dFound) { share($0) }
      let gradient = try found.backward(dFound, in: context)
      var dQuery = try context.empty([asking.shape[0], heads * dim])
      context.mergeHeads(gradient.query, into: &dQuery)
      return (dOwn, try queryInput.backward(dQuery, x: asking, run))
    }
  }

  /// Leaves keys and values of a pass's own rows behind, without positions, for later segments.
  /// - Parameters:
  ///   - asking: the rows.
  ///   - projected: rows of their product with the layer's maps: with all of them where the sequences have no past.
  func store(_ asking: Tensor, _ projected: HeadProjection, _ run: LayerRun) throws {
    guard stored != nil, let past = run.past, let projected = projected.rows, !run.isRepeated else { return }
    let hasAll = pastCount(run) == 0
    let made = hasAll ? projected : try keyValueInput.product(asking, run)
    let first = hasAll ? keyColumn : 0
    let keys = try run.context.splitHeads(
      made, column: first, batch: run.batch, heads: keyHeads, dim: dim)
    let values = try run.context.splitHeads(
      made, column: first + keyHeads * dim, batch: run.batch, heads: keyHeads, dim: dim)
    past.leave(keys: keys, values: values, of: name)
  }
}
