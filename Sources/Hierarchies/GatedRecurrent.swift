import Layers
import Tensors

/// A gated recurrent unit in both directions, side by side: `y_i = [→h_i | ←h_i]`.
///
/// x `[batch·length, width]` → `[batch·length, 2·n]`. Of each direction: `r = σ(W_r x + U_r h + …)`, `z` alike,
/// `n = tanh(W_n x + b + r∘(U_n h + c))`, `h ← (1 − z)∘n + z∘h` from h = 0; W `[3·n, width]` and U `[3·n, n]` with rows
/// r | z | n, as PyTorch's `GRU` has them. Padding is passed over: the backward direction begins at a sequence's last real row.
/// - Complexity: 12·rows·n·(width + n) operations forward; as many steps one after another as the longest sequence has rows.
/// - Source: Cho et al., 2014; Bahdanau et al., 2015 (both directions).
struct GatedRecurrent: Layer {
  /// One direction.
  struct Direction: Sendable {
    let input: Linear
    let state: Linear
    let isReversed: Bool
  }

  let name: String
  let directions: [Direction]
  /// The width of a direction's state.
  let width: Int
  let dropout: Double

  /// - Precondition: the width is even.
  init(_ name: String, _ configuration: LayerConfiguration, in layout: inout ParameterLayout) {
    (self.name, dropout) = (name, configuration.dropout)
    let width = configuration.width, half = width / 2
    self.width = half
    directions = [("forward", false), ("backward", true)].map { part, isReversed in
      Direction(
        input: Linear("\(name).\(part).input", from: width, to: 3 * half, bias: true, in: &layout),
        state: Linear("\(name).\(part).state", from: half, to: 3 * half, bias: true, in: &layout),
        isReversed: isReversed)
    }
  }

  func forward(_ x: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context, rows = x.shape[0]
    var y = try context.empty([rows, 2 * width])
    var pullbacks: [Pullback] = []
    for (place, direction) in directions.enumerated() {
      let (part, pullback) = try forward(direction, x, run)
      context.mergeHeads(part.reshaped([1, 1, rows, width]), into: &y, column: place * width)
      pullbacks.append(pullback)
    }
    guard run.isDifferentiated else { return (y, .none) }
    let whole = Pullback { dy, residual in
      let d = try run.dropped(dy, dropout, name)
      var sum = residual
      for (place, pullback) in pullbacks.enumerated() {
        let part = try context.splitHeads(d, column: place * width, batch: 1, heads: 1, dim: width)
        sum = try pullback(part.reshaped([rows, width]), adding: sum)
      }
      return try sum ?? context.zeros(x.shape)
    }
    return (try run.dropped(y, dropout, name), whole)
  }

  /// The rows that are read at a step, of all sequences that are as long: those of longer sequences first.
  private struct Steps {
    var rows: [[Int32]] = []

    init(batch: Int, length: Int, lengths: [Int], isReversed: Bool) {
      let order = (0..<batch).sorted { (lengths[$1], $0) < (lengths[$0], $1) }
      for step in 0..<(lengths.max() ?? 0) {
        rows.append(
          order.prefix { lengths[$0] > step }.map {
            Int32($0 * length + (isReversed ? lengths[$0] - 1 - step : step))
          })
      }
    }
  }

  /// What the way back needs of a step.
  private struct Kept {
    let before: Tensor
    let product: Tensor
    let gates: Tensor
  }

  private func forward(
    _ direction: Direction, _ x: Tensor, _ run: LayerRun
  ) throws -> (output: Tensor, pullback: Pullback) {
    let context = run.context, length = x.shape[0] / run.batch
    let steps = Steps(
      batch: run.batch, length: length,
      lengths: run.lengths ?? [Int](repeating: length, count: run.batch), isReversed: direction.isReversed)
    let all = steps.rows.flatMap(\.self)
    let source = try context.lookUp(all, in: x)
    let products = try direction.input.product(source, run)
    var y = try context.zeros([x.shape[0], width])
    var kept: [Kept] = []
    var state = try context.zeros([steps.rows.first?.count ?? 0, width])
    var first = 0
    for rows in steps.rows {
      let before = state.narrowed(axis: 0, to: 0..<rows.count)
      let product = try direction.state.product(before, run)
      let (gates, after) = try context.gatedStep(
        x: products.narrowed(axis: 0, to: first..<first + rows.count), h: product, before: before)
      context.accumulateRows(after, at: rows, into: &y, at: 0)
      if run.isDifferentiated { kept.append(Kept(before: before, product: product, gates: gates)) }
      state = after
      first += rows.count
    }
    guard run.isDifferentiated else { return (y, .none) }
    let pullback = Pullback { dy, residual in
      let dSource = try backward(direction, dy, source: source, steps.rows, kept, run)
      return try context.sum(residual, context.spread(dSource, at: all, of: x.shape[0]))
    }
    return (y, pullback)
  }

  /// The gradient of the rows that were read, in the order in which they were.
  private func backward(
    _ direction: Direction, _ dy: Tensor, source: Tensor, _ steps: [[Int32]], _ kept: [Kept], _ run: LayerRun
  ) throws -> Tensor {
    let context = run.context, count = source.shape[0]
    var dProducts = try context.zeros([count, 3 * width]), dStates = try context.zeros([count, 3 * width])
    var befores = try context.zeros([count, width])
    var carried: Tensor?
    var first = count
    for (rows, step) in zip(steps, kept).reversed() {
      first -= rows.count
      var d = try context.lookUp(rows, in: dy)
      if let carried { context.accumulate(carried, into: &d) }
      let gradient = try context.gatedStepBackward(d, h: step.product, before: step.before, gates: step.gates)
      context.accumulate(gradient.x, into: &dProducts, at: first * 3 * width)
      context.accumulate(gradient.h, into: &dStates, at: first * 3 * width)
      context.accumulate(step.before.contiguous(), into: &befores, at: first * width)
      carried = try context.matmul(
        gradient.h, .plain, run.weight(direction.state.weight), .plain, adding: gradient.before)
    }
    try direction.state.accumulateGradients(dStates, x: befores, run)
    return try direction.input.backward(dProducts, x: source, run)
  }
}
