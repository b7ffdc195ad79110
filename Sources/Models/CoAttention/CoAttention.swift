import Layers
import Tensors

/// How two sequences are read by each other before a class is told.
public enum CoAttentionKind: String, CaseIterable, Hashable, Sendable {
  /// Each sequence weighs its rows by the affinity of all pairs.
  case parallel
  /// The question's sum guides the weights of the source, whose sum guides those of the question.
  case alternating
  /// The means of both: neither sees the other.
  case mean
}

/// Co-attention of two sequences: one row of each, weighed by what the other says, and of both `y = tanh(W(q̂ + v̂) + b)`.
///
/// Q, the rows x `[batch·length, width]`; V, the run's memory `[batch·sourceLength, width]` → `[batch, width]`; padding of
/// neither counts.
///
/// parallel: `C = tanh(Q·W_b·Vᵀ)`, `H_v = tanh(V·W_vᵀ + Cᵀ(Q·W_qᵀ))`, `H_q = tanh(Q·W_qᵀ + C(V·W_vᵀ))`,
/// `v̂ = Σ softmax(H_v·w_v) V`, q̂ alike. C is kept a sequence: length·sourceLength numbers each.
///
/// alternating: with `A(X; g) = Σ softmax(tanh(X·W_xᵀ + W_g g)·w) X`: `s = A(Q; 0)`, `v̂ = A(V; s)`, `q̂ = A(Q; v̂)`, each A
/// with weights of its own.
/// - Source: Lu et al., 2016, Hierarchical question-image co-attention for visual question answering.
package struct CoAttention: Layer {
  enum Reading: Sendable {
    case parallel(ParallelCoAttention)
    case alternating(first: GuidedPooling, source: GuidedPooling, second: GuidedPooling)
    case mean
  }

  let reading: Reading
  let join: Linear

  package init(_ name: String, _ kind: CoAttentionKind, width: Int, in layout: inout ParameterLayout) {
    switch kind {
    case .parallel: reading = .parallel(ParallelCoAttention(name, width: width, in: &layout))
    case .alternating:
      reading = .alternating(
        first: GuidedPooling("\(name).first", width: width, isGuided: false, in: &layout),
        source: GuidedPooling("\(name).source", width: width, isGuided: true, in: &layout),
        second: GuidedPooling("\(name).second", width: width, isGuided: true, in: &layout))
    case .mean: reading = .mean
    }
    join = Linear(name + ".join", from: width, to: width, bias: true, in: &layout)
  }

  package func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    guard let memory = run.memory else { preconditionFailure("co-attention reads a memory") }
    let context = run.context
    let (sum, summed) = try read(x, memory, run)
    let (y, slope) = try join.forward(sum, activating: .tanh, run)
    let pullback = Pullback { dy, residual in
      guard let slope else { preconditionFailure("this pass has no way back") }
      let dBefore = try context.multiply(dy, slope)
      let (dx, dMemory) = try summed(join.backward(dBefore, x: sum, run))
      try memory.add(dMemory, context)
      return try context.sum(residual, dx)
    }
    return (y, pullback)
  }

  /// `q̂ + v̂`, and the way back to both sequences.
  private func read(_ x: Tensor, _ memory: Memory, _ run: LayerRun) throws -> (Tensor, PairPullback) {
    let context = run.context, ofSource = run.over(batch: run.batch, lengths: memory.lengths)
    switch reading {
    case .parallel(let layer): return try layer.forward(x, memory, run)
    case .mean:
      let (q, qBack) = try MeanPooling().forward(x, run)
      let (v, vBack) = try MeanPooling().forward(memory.rows, ofSource)
      return (try context.add(q, v), { d in (try qBack(d), try vBack(d)) })
    case .alternating(let first, let source, let second):
      let (s, sBack) = try first.forward(x, guide: nil, run)
      let (v, vBack) = try source.forward(memory.rows, guide: s, ofSource)
      let (q, qBack) = try second.forward(x, guide: v, run)
      let pullback: PairPullback = { d in
        let (dx, dv) = try qBack(d)
        let (dMemory, ds) = try vBack(context.sum(dv, d))
        guard let ds else { preconditionFailure("the source is read with a guide") }
        return (try context.add(dx, sBack(ds).rows), dMemory)
      }
      return (try context.add(q, v), pullback)
    }
  }
}

/// From the gradient of a sum to those of the rows and of the memory.
typealias PairPullback = (Tensor) throws -> (rows: Tensor, memory: Tensor)

/// `A(X; g) = Σ_i softmax_i(tanh(W_x x_i + W_g g)·w) x_i` over the real rows of every sequence.
struct GuidedPooling: Sendable {
  let hidden: Linear
  let guide: Linear?
  let query: LearnedQuery

  init(_ name: String, width: Int, isGuided: Bool, in layout: inout ParameterLayout) {
    hidden = Linear(name + ".hidden", from: width, to: width, bias: false, in: &layout)
    guide = isGuided ? Linear(name + ".guide", from: width, to: width, bias: false, in: &layout) : nil
    query = LearnedQuery(name, width: width, in: &layout)
  }

  /// x `[batch·length, width]`, g `[batch, width]` → `[batch, width]`, and the way back to rows and guide.
  func forward(_ x: Tensor, guide g: Tensor?, _ run: LayerRun) throws -> (
    output: Tensor, pullback: (Tensor) throws -> (rows: Tensor, guide: Tensor?)
  ) {
    let context = run.context, length = x.shape[0] / run.batch
    let owners = (0..<x.shape[0]).map { Int32($0 / length) }
    var before = try hidden.product(x, run)
    if let guide, let g {
      context.accumulate(try context.lookUp(owners, in: guide.product(g, run)), into: &before)
    }
    let kept = before
    let weighed = try query.forward(keys: context.activate(kept, .tanh), values: x, run)
    let pullback = { (dy: Tensor) throws -> (rows: Tensor, guide: Tensor?) in
      let (du, dx) = try weighed.pullback(dy)
      let dBefore = try context.activateBackward(du, x: kept, .tanh)
      let rows = try context.add(dx, hidden.backward(dBefore, x: x, run))
      guard let guide, let g else { return (rows, nil) }
      var sums = try context.zeros([run.batch, dBefore.shape[1]])
      context.accumulateRows(dBefore, at: owners, into: &sums, at: 0)
      return (rows, try guide.backward(sums, x: g, run))
    }
    return (weighed.output, pullback)
  }
}
