import CKernels
import Tensors

/// One step of a gated recurrent unit, for the rows of many sequences side by side.
///
/// `r = σ(x_r + h_r)`, `z = σ(x_z + h_z)`, `n = tanh(x_n + r∘h_n)`, `y = (1 − z)∘n + z∘y₋`, where x and h, both `[rows, 3·n]`,
/// are what the input and the state before, y₋ `[rows, n]`, give to r | z | n, each with its bias.
/// Source: Cho et al., 2014, with the reset behind the product, as in PyTorch's `GRU`.
extension ExecutionContext {
  /// The gates r | z | n `[rows, 3·n]` and the new state y `[rows, n]`. - Complexity: O(rows·n).
  /// - Throws: `MemoryLimitExceeded`.
  public func gatedStep(
    x: Tensor, h: Tensor, before: Tensor
  ) throws(MemoryLimitExceeded) -> (gates: Tensor, after: Tensor) {
    let rows = before.shape[0], n = before.shape[1]
    precondition(x.shape == [rows, 3 * n] && h.shape == x.shape, "\(x.shape), \(h.shape), \(before.shape)")
    var gates = try empty(x.shape), after = try empty(before.shape)
    let (x, h, before) = (x.contiguous().pinned(), h.contiguous().pinned(), before.contiguous().pinned())
    let (gatesView, afterView) = (gates.pinnedForWriting(), after.pinnedForWriting())
    attn_gru(isa, x.pointer, h.pointer, before.pointer, gatesView.pointer, afterView.pointer, rows, n)
    withExtendedLifetime((x, h, before)) {}
    return (gates, after)
  }

  /// The gradients of x, h and y₋ from that of y. - Complexity: O(rows·n).
  /// - Throws: `MemoryLimitExceeded`.
  public func gatedStepBackward(
    _ dy: Tensor, h: Tensor, before: Tensor, gates: Tensor
  ) throws(MemoryLimitExceeded) -> (x: Tensor, h: Tensor, before: Tensor) {
    let rows = before.shape[0], n = before.shape[1]
    precondition(dy.shape == before.shape && gates.shape == h.shape, "\(dy.shape), \(gates.shape)")
    var dx = try empty(h.shape), dh = try empty(h.shape), dBefore = try empty(before.shape)
    let (dy, h) = (dy.contiguous().pinned(), h.contiguous().pinned())
    let (before, gates) = (before.contiguous().pinned(), gates.contiguous().pinned())
    let (dxView, dhView) = (dx.pinnedForWriting(), dh.pinnedForWriting())
    attn_gru_backward(
      isa, h.pointer, before.pointer, gates.pointer, dy.pointer, dxView.pointer, dhView.pointer,
      dBefore.pinnedForWriting().pointer, rows, n)
    withExtendedLifetime((dy, h, before, gates)) {}
    return (dx, dh, dBefore)
  }
}
