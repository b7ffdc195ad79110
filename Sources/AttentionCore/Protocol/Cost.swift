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
  /// Floating-point operations on *needed* pairs, or those that the chunks of a recurrence need (a fused multiply-add counts two).
  public var flops: Double
  /// Those of them by which keys are chosen: scores of keys or blocks that only say what a row sees.
  public private(set) var choiceFlops = 0.0
  /// Query–key pairs that the definition needs, over batch and query heads; `nil` of a mechanism without pairs.
  public var neededPairs: Double?
  /// Pairs that the tiles execute, `≥ neededPairs`; `nil` of a mechanism without pairs.
  public var executedPairs: Double?
  /// What is executed over what is needed, at least 1: of pairs where there are any, else of operations; `nil` where nothing is
  /// needed.
  public var paddingOverhead: Double?
  /// Bytes allocated beyond inputs, outputs and LSE.
  public var workspaceBytes: Double
  /// Bytes of inputs, outputs and LSE.
  public var inputOutputBytes: Double
  /// Bytes that a decoder keeps a sequence, over all key heads.
  public var stateBytes: Double

  /// Creates the cost of a mechanism without pairs.
  /// - Parameters:
  ///   - flops: operations that it needs.
  ///   - executedFlops: operations that it executes, at least as many.
  ///   - workspaceBytes: what is allocated beyond inputs and results.
  ///   - inputOutputBytes: bytes of inputs and results.
  ///   - stateBytes: what a decoder must keep a sequence.
  public init(
    flops: Double, executedFlops: Double, workspaceBytes: Double, inputOutputBytes: Double, stateBytes: Double
  ) {
    self.flops = flops
    paddingOverhead = flops > 0 ? executedFlops / flops : nil
    self.workspaceBytes = workspaceBytes
    self.inputOutputBytes = inputOutputBytes
    self.stateBytes = stateBytes
  }

  /// Creates the cost of a mechanism over pairs.
  public init(
    flops: Double, neededPairs: Double, executedPairs: Double, workspaceBytes: Double,
    inputOutputBytes: Double,
    stateBytes: Double
  ) {
    self.flops = flops
    self.neededPairs = neededPairs
    self.executedPairs = executedPairs
    paddingOverhead = neededPairs > 0 ? executedPairs / neededPairs : nil
    self.workspaceBytes = workspaceBytes
    self.inputOutputBytes = inputOutputBytes
    self.stateBytes = stateBytes
  }

  /// The cost of a pass over counted pairs: the one place where operations and bytes are worked out.
  ///
  /// A forward pair takes `2·(headDim + valueDim)` operations, a product each for the score and the weighted value; a backward
  /// pair `2·(3·headDim + 2·valueDim)`, five products. `decode` is one query row a head against the keys that the last row
  /// sees.
  /// - Parameters:
  ///   - pass: forward, backward or one decoding step.
  ///   - shape: the sizes.
  ///   - operands: what is read; q, k and v are counted in any case.
  ///   - neededPairs: what the definition needs, over batch and query heads.
  ///   - executedPairs: what the tiles execute.
  ///   - workspaceBytes: what is allocated beyond inputs and results.
  ///   - stateBytes: what a decoder must keep a sequence (`AttentionVariant.stateBytes`).
  public init(
    of pass: PassKind, shape: AttentionShape, operands: [Operand] = Operand.standard, neededPairs: Double,
    executedPairs: Double, workspaceBytes: Double, stateBytes: Double
  ) {
    let (headDim, valueDim) = (Double(shape.headDim), Double(shape.valueDim))
    let fraction = pass == .decode ? 1 / Double(shape.queryLength) : 1
    let perPair = pass == .backward ? 3 * headDim + 2 * valueDim : headDim + valueDim
    self.init(
      flops: 2 * perPair * neededPairs * fraction, neededPairs: neededPairs * fraction,
      executedPairs: executedPairs * fraction, workspaceBytes: workspaceBytes,
      inputOutputBytes: Cost.inputOutputBytes(of: pass, shape: shape, operands: operands),
      stateBytes: stateBytes)
  }

  /// Adds operations by which keys are chosen.
  public mutating func addChoice(_ operations: Double) {
    flops += operations
    choiceFlops += operations
  }

  /// Bytes of the operands as they are stored, of output and log-sum-exp; for backward also of all gradients.
  /// - Parameters:
  ///   - pass: forward, backward or one decoding step.
  ///   - shape: the sizes.
  ///   - operands: what is read; q, k and v are counted in any case.
  ///   - hasLSE: whether there is a log-sum-exp: of a softmax.
  /// - Returns: bytes.
  public static func inputOutputBytes(
    of pass: PassKind, shape: AttentionShape, operands: [Operand] = Operand.standard, hasLSE: Bool = true
  ) -> Double {
    let all = Operand.all(operands)
    func bytes(_ shape: [Int]) -> Double { shape.reduce(4) { $0 * Double($1) } }
    let results = bytes(shape.outputShape) + (hasLSE ? bytes(shape.lseShape) : 0)
    let forward = shape.inputBytes(all) + results
    return pass == .backward ? forward + shape.gradientBytes(all) + bytes(shape.outputShape) : forward
  }

  /// Needed pairs over all pairs of the shape; `nil` of a mechanism without pairs.
  public func density(of shape: AttentionShape) -> Double? {
    let (queries, keys) = (Double(shape.queryLength), Double(shape.keyLength))
    return neededPairs.map { $0 / (Double(shape.batch) * Double(shape.queryHeads) * queries * keys) }
  }
}
