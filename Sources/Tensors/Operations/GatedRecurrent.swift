import CKernels

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
    reading(x, h, before) { x, h, before in
      gates.withUnsafeMutablePointer { gates in
        after.withUnsafeMutablePointer { attn_gru(isa, x, h, before, gates, $0, rows, n) }
      }
    }
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
    reading(h, before, gates) { h, before, gates in
      dx.withUnsafeMutablePointer { dx in
        dh.withUnsafeMutablePointer { dh in
          dBefore.withUnsafeMutablePointer { dBefore in
            dy.contiguous().withUnsafePointer {
              attn_gru_backward(isa, h, before, gates, $0, dx, dh, dBefore, rows, n)
            }
          }
        }
      }
    }
    return (dx, dh, dBefore)
  }

  private func reading(
    _ a: Tensor, _ b: Tensor, _ c: Tensor,
    _ body: (UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>) -> Void
  ) {
    a.contiguous().withUnsafePointer { a in
      b.contiguous().withUnsafePointer { b in c.contiguous().withUnsafePointer { body(a, b, $0) } }
    }
  }
}
