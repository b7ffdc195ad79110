import Tensors

/// The inputs of one attention call: all float32, or all bfloat16 as the shape says.
public struct QKV: Sendable {
  /// q `[batch, queryHeads, queryLength, headDim]`; last axis contiguous.
  public var query: Tensor
  /// k `[batch, keyHeads, keyLength, headDim]`; last axis contiguous.
  public var key: Tensor
  /// v `[batch, keyHeads, keyLength, valueDim]`; last axis contiguous.
  public var value: Tensor
  /// A second set, of the same shapes, for the *global rows* of a variant that has them (Longformer's
  /// `query_global`, `key_global`, `value_global`); `nil`: tied to the first.
  public var global: Projections?

  /// One set of projected inputs.
  public struct Projections: Sendable {
    /// q of the global rows, full length; only global rows are read.
    public var query: Tensor
    /// k as seen by the global rows.
    public var key: Tensor
    /// v as seen by the global rows.
    public var value: Tensor

    /// Creates a set.
    public init(query: Tensor, key: Tensor, value: Tensor) {
      self.query = query
      self.key = key
      self.value = value
    }
  }

  /// Creates inputs.
  public init(query: Tensor, key: Tensor, value: Tensor, global: Projections? = nil) {
    self.query = query
    self.key = key
    self.value = value
    self.global = global
  }

  /// Checks the tensors against a shape.
  /// - Precondition: every shape and precision agrees and every last axis is contiguous.
  public func check(_ shape: AttentionShape) {
    func require(_ name: String, _ tensor: Tensor, _ expected: [Int]) {
      precondition(tensor.shape == expected, "\(name) has shape \(tensor.shape); \(expected) expected")
      precondition(
        tensor.precision == shape.precision, "\(name) is \(tensor.precision); \(shape.precision) expected")
      precondition(expected[3] == 1 || tensor.strides[3] == 1, "\(name): the last axis is not contiguous")
    }
    require("q", query, shape.queryShape)
    require("k", key, shape.keyShape)
    require("v", value, shape.valueShape)
    if let global {
      require("global q", global.query, shape.queryShape)
      require("global k", global.key, shape.keyShape)
      require("global v", global.value, shape.valueShape)
    }
  }
}

/// The gradients of a loss with respect to `QKV`, of the same shapes.
public struct QKVGradient: Sendable {
  /// ∂L/∂q.
  public var query: Tensor
  /// ∂L/∂k.
  public var key: Tensor
  /// ∂L/∂v.
  public var value: Tensor
  /// The gradients of the second set when one was given.
  public var global: QKV.Projections?

  /// Creates gradients.
  public init(query: Tensor, key: Tensor, value: Tensor, global: QKV.Projections? = nil) {
    self.query = query
    self.key = key
    self.value = value
    self.global = global
  }
}

/// What a forward pass returns, and backward needs.
public struct Forward<Saved: Sendable>: Sendable {
  /// `[batch, queryHeads, queryLength, valueDim]`; 0 in rows without keys.
  public var output: Tensor
  /// Natural-log sum of exponentials of the scaled scores, `[batch, queryHeads, queryLength]`; −∞ in rows without keys. NaN says
  /// that a score of the row is not finite in single precision, which `AnyAttention.forward` refuses.
  public var lse: Tensor
  /// What else the variant keeps for backward.
  public var saved: Saved

  /// Creates a result.
  public init(output: Tensor, lse: Tensor, saved: Saved) {
    self.output = output
    self.lse = lse
    self.saved = saved
  }
}

/// The `Saved` of a variant that keeps nothing.
public struct NothingSaved: Sendable, Hashable {
  /// Creates it.
  public init() {}
}
