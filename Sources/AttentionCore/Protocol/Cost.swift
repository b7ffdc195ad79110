/// The passes that are measured and predicted.
public enum PassKind: String, CaseIterable, Hashable, Sendable {
  /// q, k, v → output and LSE.
  case forward
  /// Output gradient → the gradients of q, k and v.
  case backward
  /// One new query against a cache of keys and values.
  case decode
}

/// The closed-form cost of one pass: derived from parameters and shape, never measured.
public struct Cost: Hashable, Sendable {
  /// Floating-point operations on *needed* pairs (a fused multiply-add counts two).
  public var flops: Double
  /// Query–key pairs that the definition needs, over batch and query heads.
  public var neededPairs: Double
  /// Pairs that the tiles visit, `≥ neededPairs`; the quotient is the tile waste.
  public var visitedPairs: Double
  /// Bytes allocated beyond inputs, outputs and LSE.
  public var workspaceBytes: Double
  /// Bytes of inputs, outputs and LSE.
  public var inputOutputBytes: Double
  /// Bytes that a decoder must keep a sequence, over all key heads (its key–value cache bound).
  public var stateBytes: Double

  /// Creates a cost.
  public init(
    flops: Double, neededPairs: Double, visitedPairs: Double, workspaceBytes: Double,
    inputOutputBytes: Double,
    stateBytes: Double
  ) {
    self.flops = flops
    self.neededPairs = neededPairs
    self.visitedPairs = visitedPairs
    self.workspaceBytes = workspaceBytes
    self.inputOutputBytes = inputOutputBytes
    self.stateBytes = stateBytes
  }

  /// Needed pairs over all pairs of the shape.
  public func density(of shape: AttentionShape) -> Double {
    neededPairs
      / (Double(shape.batch) * Double(shape.queryHeads) * Double(shape.queryLength) * Double(shape.keyLength))
  }
}
