import Basics
import CKernels

/// The activation functions of layers.
public enum Activation: String, CaseIterable, Hashable, Sendable {
  /// `max(x, 0)`.
  case relu
  /// `x·Φ(x)` with the error function (BERT).
  case gelu
  /// `x/2·(1 + tanh(√(2/π)(x + 0.044715x³)))` (GPT-2).
  case geluTanh = "gelu-tanh"
  /// `x·σ(x)`.
  case silu
  /// `tanh x`.
  case tanh
  /// `σ(x) = 1/(1 + e^−x)`.
  case sigmoid

  var code: Int32 {
    switch self {
    case .relu: 0
    case .gelu: 1
    case .geluTanh: 2
    case .silu: 3
    case .tanh: 4
    case .sigmoid: 5
    }
  }
}

extension ExecutionContext {
  private static var grain: Int { 1 << 14 }

  /// `y = f(x)`, any shape. - Complexity: O(count).
  public func activate(_ x: Tensor, _ kind: Activation) throws(MemoryLimitExceeded) -> Tensor {
    try map(x, cost: 8) { attn_activate(isa, kind.code, $0, $1, $2) }
  }

  /// `dx = dy·f′(x)`. - Complexity: O(count).
  public func activateBackward(
    _ dy: Tensor, x: Tensor, _ kind: Activation
  ) throws(MemoryLimitExceeded) -> Tensor {
    precondition(dy.shape == x.shape && dy.isContiguous, "\(dy.shape) against \(x.shape)")
    let dy = dy.pinned()
    return try map(
      x, cost: 8,
      withStart: { start, x, dx, count in
        attn_activate_backward(isa, kind.code, x, dy.pointer + start, dx, count)
      })
  }

  /// `a·x + b·y`. - Complexity: O(count).
  public func blend(_ a: Float, _ x: Tensor, _ b: Float, _ y: Tensor) throws(MemoryLimitExceeded) -> Tensor {
    precondition(x.count == y.count && y.isContiguous, "\(x.shape) against \(y.shape)")
    let y = y.pinned()
    return try map(
      x, cost: 1,
      withStart: { start, x, out, count in
        attn_blend(isa, a, x, b, y.pointer + start, out, count)
      })
  }

  /// `x + y`. - Complexity: O(count).
  public func add(_ x: Tensor, _ y: Tensor) throws(MemoryLimitExceeded) -> Tensor { try blend(1, x, 1, y) }

  /// `x∘y`. - Complexity: O(count).
  public func multiply(_ x: Tensor, _ y: Tensor) throws(MemoryLimitExceeded) -> Tensor {
    precondition(x.count == y.count && y.isContiguous, "\(x.shape) against \(y.shape)")
    let y = y.pinned()
    return try map(
      x, cost: 1,
      withStart: { start, x, out, count in
        for place in 0..<count { out[place] = x[place] * y[start + place] }
      })
  }

  /// `target[offset…] += factor·x`. - Complexity: O(count).
  public func accumulate(_ x: Tensor, factor: Float = 1, into target: inout Tensor, at offset: Int = 0) {
    precondition(
      x.isContiguous && offset + x.count <= target.count, "\(x.shape) at \(offset) of \(target.shape)")
    let count = x.count
    let x = x.pinned()
    let y = target.pinnedForWriting().advanced(by: offset)
    slices(count, grain: ExecutionContext.grain) { part in
      attn_axpy(isa, factor, x.pointer + part.lowerBound, y.pointer + part.lowerBound, part.count)
    }
  }

  /// Adds the column sums of x `[rows, n]` to `n` elements of `target`: a bias's gradient. - Complexity: O(count).
  public func accumulateColumnSums(_ x: Tensor, into target: inout Tensor, at offset: Int = 0) {
    precondition(
      x.rank == 2 && x.isContiguous && offset + x.shape[1] <= target.count, "column sums of \(x.shape)")
    let rows = x.shape[0], columns = x.shape[1]
    let x = x.pinned()
    let y = target.pinnedForWriting().advanced(by: offset)
    slices(columns, grain: 128, cost: rows) { part in
      attn_column_sums(
        isa, x.pointer + part.lowerBound, y.pointer + part.lowerBound, rows, part.count, columns)
    }
  }

  /// Σ x² over part of a tensor, summed in Double over fixed slices. - Complexity: O(count).
  public func sumOfSquares(_ x: Tensor) throws(MemoryLimitExceeded) -> Double {
    let count = x.count, grain = ExecutionContext.grain
    let pieces = (count + grain - 1) / grain
    let partial = try PinnedView(repeating: 0.0, count: pieces, in: ledger)
    let x = x.pinned()
    slices(count, grain: grain) { part in
      partial[part.lowerBound / grain] = attn_sum_of_squares(isa, x + part.lowerBound, part.count)
    }
    return partial.array(count: pieces).reduce(0, +)
  }

  /// Zeroes with probability p and scales the rest by `1/(1−p)`; which, is a hash of key and position: the same call
  /// on the gradient is the backward pass. - Complexity: O(count).
  public func dropout(
    _ x: Tensor, probability: Double, key: RandomKey
  ) throws(MemoryLimitExceeded) -> Tensor {
    precondition(probability >= 0 && probability < 1, "dropout: \(probability)")
    return try map(
      x, cost: 8,
      withStart: { start, x, y, count in
        attn_dropout(isa, x, y, count, UInt64(start), key.bits, Float(probability))
      })
  }

  func map(
    _ x: Tensor, cost: Int,
    _ body: @Sendable (UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void
  ) throws(MemoryLimitExceeded) -> Tensor {
    try map(x, cost: cost, withStart: { _, x, y, count in body(x, y, count) })
  }

  package func map(
    _ x: Tensor, cost: Int,
    withStart body: @Sendable (Int, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void
  ) throws(MemoryLimitExceeded) -> Tensor {
    precondition(x.isContiguous, "contiguous elements expected: \(x.shape), strides \(x.strides)")
    let count = x.count
    var y = try empty(x.shape)
    let x = x.pinned()
    let yView = y.pinnedForWriting()
    slices(count, grain: ExecutionContext.grain, cost: cost) { part in
      body(part.lowerBound, x.pointer + part.lowerBound, yView.pointer + part.lowerBound, part.count)
    }
    return y
  }
}
