import AttentionCore
import Tensors

/// Attention whose sequences have a past: x holds, for every sequence, the rows of its past and then its own. The past has keys
/// and values and asks nothing.
extension AttentionLayer {
  /// The part of `input` that makes q.
  package var queryInput: Linear { input.columns(0..<queryColumns) }
  /// The part of `input` that makes k and v, or what they are made of.
  package var keyValueInput: Linear { input.columns(keyColumn..<input.weight.shape[0]) }

  /// Rows before every sequence.
  func pastCount(_ run: LayerRun) -> Int { isCross ? 0 : run.past?.count ?? 0 }

  /// The rows of x that have queries.
  func ownRows(of x: Tensor, _ run: LayerRun) throws -> Tensor {
    guard pastCount(run) > 0, let past = run.past else { return x }
    return try past.own(x, run.context)
  }

  /// Adds a gradient of the rows that have queries to that of all.
  func addOwn(_ d: Tensor, to dx: inout Tensor, _ run: LayerRun) {
    guard pastCount(run) > 0, let past = run.past else { return run.context.accumulate(d, into: &dx) }
    past.accumulate(d, into: &dx, run.context)
  }

  /// Keys and values of the past and of the sequences' own rows; positions count from the first row of the past.
  func keyValueWithPast(_ x: Tensor, _ run: LayerRun) throws -> (key: Tensor, value: Tensor) {
    let made = try keyValueInput.product(x, run)
    return try keyValue(
      .rows(made), batch: run.batch, rotary: pastRotary(x, run), first: run.first, run)
  }

  private func pastRotary(_ x: Tensor, _ run: LayerRun) throws -> RotaryTable? {
    try rotary(first: run.first, count: x.shape[0] / run.batch, run)
  }

  /// The gradient of all rows of x: that of the past reaches the parameters of its norm and no farther.
  func backwardWithPast(
    _ gradient: Operands, x: Tensor, rotary: RotaryTable?, _ run: LayerRun
  ) throws -> Tensor {
    let context = run.context, past = try pastRotary(x, run)
    let dKeyValue = try keyValueGradients(gradient.key, gradient.value, rotary: past, context)
    var dx = try keyValueInput.backward(HeadMatrix(dKeyValue), x: x, run)
    let dQuery = try queryGradient(gradient.query, rotary: rotary, context)
    addOwn(try queryInput.backward(HeadMatrix([dQuery]), x: ownRows(of: x, run), run), to: &dx, run)
    return dx
  }
}
