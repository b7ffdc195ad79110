import Basics
import Tensors

extension Operands {
  /// Gaussian operands of a variant, named by a key, in float32. What no row reads and what is optional is left out.
  /// - Parameters:
  ///   - variant: whose operands they are.
  ///   - shape: the sizes; `nil`: those of the variant.
  ///   - key: names the draws.
  ///   - inputScale: the standard deviation of q, k and what stands for them.
  /// - Throws: `MemoryLimitExceeded`.
  package static func drawn(
    for variant: any AttentionVariant, at shape: AttentionShape? = nil, key: RandomKey, inputScale: Double = 1
  ) throws -> Operands {
    let shape = shape ?? variant.shape, scaled: Set<Operand.Name?> = [.query, .key]
    func draw(_ operand: Operand) throws -> Tensor {
      var name: Operand.Name? = operand.name
      if case .projected(let like?) = operand.source { name = like }
      return try operand.drawn(
        at: shape, key: key(operand.shortName), standardDeviation: scaled.contains(name) ? inputScale : 1)
    }
    var inputs = Operands(query: try draw(.query), key: try draw(.key), value: try draw(.value))
    for operand in variant.operandsRead where !operand.isStandard && !operand.isOptional {
      inputs[operand.name] = try draw(operand)
    }
    return inputs
  }
}
