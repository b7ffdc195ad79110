import CKernels

/// What a gated unit makes of a gate g and a factor u.
public enum GatedUnit: Hashable, Sendable {
  /// `SiLU(g)·u` (SwiGLU).
  case silu
  /// `GELU(g)·u` with the error function (GeGLU).
  case gelu
  /// `GELU(g)·u` with the tanh form.
  case geluTanh
  /// `(ū + 1)·ḡ·σ(α·ḡ)`, ḡ = min(g, most), ū = u within ±most (gpt-oss).
  case clamped(alpha: Double, most: Double)

  var code: Int32 {
    switch self {
    case .gelu: 1
    case .geluTanh: 2
    case .silu: 3
    case .clamped: 6
    }
  }
  var numbers: (alpha: Float, most: Float) {
    if case .clamped(let alpha, let most) = self { (Float(alpha), Float(most)) } else { (1, 0) }
  }
}

extension ExecutionContext {
  /// x `[rows, 2·hidden]` = gate | factor → `[rows, hidden]`. - Complexity: O(count).
  /// - Throws: `MemoryLimitExceeded`.
  public func gated(_ x: Tensor, by unit: GatedUnit) throws(MemoryLimitExceeded) -> Tensor {
    let rows = x.shape[0], hidden = x.shape[1] / 2, (alpha, most) = unit.numbers
    precondition(x.isContiguous && x.shape[1] % 2 == 0, "gate and factor side by side expected: \(x.shape)")
    var y = try empty([rows, hidden])
    let x = x.pinned()
    let yView = y.pinnedForWriting()
    slices(rows, grain: 32, cost: hidden * 8) { part in
      attn_glu(
        isa, unit.code, alpha, most, x.pointer + part.lowerBound * 2 * hidden,
        yView.pointer + part.lowerBound * hidden, part.count, hidden)
    }
    return y
  }

  /// The gradient of gate | factor. - Complexity: O(count).
  /// - Throws: `MemoryLimitExceeded`.
  public func gatedBackward(
    _ dy: Tensor, x: Tensor, by unit: GatedUnit
  ) throws(MemoryLimitExceeded) -> Tensor {
    let rows = dy.shape[0], hidden = dy.shape[1], (alpha, most) = unit.numbers
    precondition(x.shape == [rows, 2 * hidden], "\(x.shape) against \(dy.shape)")
    var dx = try empty(x.shape)
    let x = x.pinned()
    let dy = dy.pinned()
    let dxView = dx.pinnedForWriting()
    slices(rows, grain: 32, cost: hidden * 16) { part in
      let at = part.lowerBound * hidden
      attn_glu_backward(
        isa, unit.code, alpha, most, x.pointer + 2 * at, dy.pointer + at, dxView.pointer + 2 * at,
        part.count, hidden)
    }
    return dx
  }

  /// `c·tanh(x/c)`, any shape. - Complexity: O(count).
  /// - Throws: `MemoryLimitExceeded`.
  public func softcapped(_ x: Tensor, at most: Double) throws(MemoryLimitExceeded) -> Tensor {
    let by = Float(1 / most), most = Float(most)
    return try map(x, cost: 8) { attn_cap(isa, $0, $1, Int64($2), by, most) }
  }

  /// `dy·(1 − tanh²(x/c))`. - Complexity: O(count).
  /// - Throws: `MemoryLimitExceeded`.
  public func softcappedBackward(
    _ dy: Tensor, x: Tensor, at most: Double
  ) throws(MemoryLimitExceeded) -> Tensor {
    precondition(dy.shape == x.shape && dy.isContiguous, "\(dy.shape) against \(x.shape)")
    let by = Float(1 / most), dy = dy.pinned()
    return try map(
      x, cost: 8,
      withStart: { start, x, dx, count in
        dx.update(from: dy.pointer + start, count: count)
        attn_uncap(isa, x, dx, Int64(count), by)
      })
  }
}
