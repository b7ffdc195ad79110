import AttentionCore
import Tensors

/// The rows of every sequence as one, weighed by how well they answer a learned query: `u_i = tanh(W·h_i + b)`,
/// `a = softmax_i(u_i·u_w)` over the real rows, `y = Σ a_i h_i`.
///
/// x `[batch·length, width]` → `[batch, width]`; W `[width, width]`, u_w `[width]`. A sequence without rows gives 0. The sum is
/// attention of one query without a scale: it is computed as such.
/// - Complexity: 2·rows·width² + 4·rows·width operations forward.
/// - Source: Yang et al., 2016, Hierarchical attention networks for document classification, equations 5 to 7.
package struct AttentionPooling: Layer {
  package let hidden: Linear
  package let query: LearnedQuery

  package init(_ name: String, width: Int, in layout: inout ParameterLayout) {
    hidden = Linear(name + ".hidden", from: width, to: width, bias: true, in: &layout)
    query = LearnedQuery(name, width: width, in: &layout)
  }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context
    let (u, slope) = try hidden.forward(x, activating: .tanh, run)
    let weighed = try query.forward(keys: u, values: x, run)
    let pullback = Pullback { dy, residual in
      let (du, dx) = try weighed.pullback(dy)
      guard let slope else { preconditionFailure("this pass has no way back") }
      let dBefore = try context.multiply(du, slope)
      let sum = try context.add(dx, hidden.backward(dBefore, x: x, run))
      return try context.sum(residual, sum)
    }
    return (weighed.output, pullback)
  }
}

/// `y = Σ_i softmax_i(w·k_i) v_i` over the real rows of every sequence, w learned: attention of one query without a scale.
package struct LearnedQuery: Sendable {
  let name: String
  package let slot: ParameterSlot

  package init(_ name: String, width: Int, in layout: inout ParameterLayout) {
    self.name = name
    slot = layout.add(name + ".query", [width], .normal(1 / Double(width).squareRoot()), decays: false)
  }

  /// Keys `[batch·length, d]` and values `[batch·length, width]` → `[batch, width]`, and the way back to both.
  package func forward(keys: Tensor, values: Tensor, _ run: LayerRun) throws -> (
    output: Tensor, pullback: (Tensor) throws -> (keys: Tensor, values: Tensor)
  ) {
    let context = run.context, batch = run.batch
    let length = values.shape[0] / batch, width = values.shape[1], dim = keys.shape[1]
    let shape = try AttentionShape(
      batch: batch, queryHeads: 1, keyHeads: 1, queryLength: 1, keyLength: length, headDim: dim,
      valueDim: width, isCausal: false, keyLengths: run.lengths, scale: 1)
    let plan = try run.planner.plan(LayerAttention("full"), layer: name, shape: shape)
    let queries = try context.lookUp(
      [Int32](repeating: 0, count: batch), in: run.weight(slot).reshaped([1, dim]))
    let inputs = Operands(
      query: queries.reshaped([batch, 1, 1, dim]), key: keys.reshaped([batch, 1, length, dim]),
      value: values.reshaped([batch, 1, length, width]))
    let forward = try plan.attend(inputs, in: context)
    let pullback = { (dy: Tensor) in
      let gradient = try forward.backward(dy.reshaped([batch, 1, 1, width]), in: context)
      context.accumulateColumnSums(
        gradient.query.reshaped([batch, dim]), into: &run.state.gradients, at: slot.offset)
      return (
        keys: gradient.key.reshaped([batch * length, dim]),
        values: gradient.value.reshaped([batch * length, width])
      )
    }
    return (forward.output.reshaped([batch, width]), pullback)
  }
}
