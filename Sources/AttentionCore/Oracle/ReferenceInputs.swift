import Tensors

/// q, k and v in Double, row-major: what the reference computes from.
public struct ReferenceInputs: Sendable {
  /// One set of projected inputs.
  public struct Projections: Sendable {
    /// `[batch, queryHeads, queryLength, headDim]`.
    public var query: [Double]
    /// `[batch, keyHeads, keyLength, headDim]`.
    public var key: [Double]
    /// `[batch, keyHeads, keyLength, valueDim]`.
    public var value: [Double]

    /// Creates a set.
    public init(query: [Double], key: [Double], value: [Double]) {
      self.query = query
      self.key = key
      self.value = value
    }
  }

  /// The inputs of all rows, or of the local rows when there is a second set.
  public var local: Projections
  /// The inputs of the global rows; `nil`: the same.
  public var global: Projections?

  /// Creates inputs.
  public init(local: Projections, global: Projections? = nil) {
    self.local = local
    self.global = global
  }

  /// Widens float32 inputs.
  public init(_ inputs: QKV) {
    func wide(_ tensor: Tensor) -> [Double] { tensor.array().map { Double($0) } }
    local = Projections(query: wide(inputs.query), key: wide(inputs.key), value: wide(inputs.value))
    global = inputs.global.map {
      Projections(query: wide($0.query), key: wide($0.key), value: wide($0.value))
    }
  }
}
