import AttentionCore
import Tensors

extension Cost {
  /// The cost of a pass over counted pairs.
  ///
  /// Forward: `(2·headDim + 2·valueDim)` operations a pair; backward: five products, `6·headDim + 4·valueDim`.
  public init(
    pass: PassKind, shape: AttentionShape, neededPairs: Double, visitedPairs: Double, workspaceBytes: Double,
    stateKeys: Int
  ) {
    let (headDim, valueDim) = (Double(shape.headDim), Double(shape.valueDim))
    let float = Double(MemoryLayout<Float>.stride)
    func bytes(_ shape: [Int]) -> Double { shape.reduce(float) { $0 * Double($1) } }
    let gradients = bytes(shape.queryShape) + bytes(shape.keyShape) + bytes(shape.valueShape)
    let results = bytes(shape.outputShape) + bytes(shape.lseShape)
    self.init(
      flops: neededPairs * (pass == .backward ? 6 * headDim + 4 * valueDim : 2 * headDim + 2 * valueDim),
      neededPairs: neededPairs, visitedPairs: visitedPairs,
      workspaceBytes: workspaceBytes,
      inputOutputBytes: pass == .backward
        ? shape.inputBytes + gradients + results + bytes(shape.outputShape) : shape.inputBytes + results,
      stateBytes: Double(stateKeys * shape.keyHeads) * (headDim + valueDim)
        * Double(shape.precision.byteCount))
  }
}

extension AttentionShape {
  /// Pairs of full attention in one head: all, or those with `j ≤ i`; keys from `validKeys` on left out.
  func prefixPairs(validKeys: Int) -> Double {
    guard isCausal else { return Double(queryLength) * Double(validKeys) }
    // Row r sees min(valid, r + offset + 1) keys, none when that is negative.
    let first = max(0, -queryOffset)
    let saturated = min(max(first, validKeys - queryOffset), queryLength)
    let rising = Double(saturated - first)
    let start = Double(first + queryOffset + 1)
    return rising * start + rising * (rising - 1) / 2 + Double(queryLength - saturated) * Double(validKeys)
  }
}
