import AttentionCore
import Basics
import CKernels
import Tensors

/// `o_i += D_h v_i`: what a token passes by the state, v of the query's own position.
struct ScanSkip: Sendable {
  let shape: AttentionShape
  let operand: Operand.Name

  /// The query rows with a valid key at their position.
  private func rows(_ batch: Int) -> Range<Int> {
    let offset = shape.queryOffset, end = min(shape.queryLength, shape.validKeys(batch: batch) - offset)
    let first = min(shape.queryLength, max(0, -offset))
    return first..<max(first, end)
  }

  private func factors(_ inputs: Operands) -> [Float] {
    guard let tensor = inputs[operand] else { preconditionFailure("a skip reads \(operand)") }
    return tensor.array()
  }

  /// Adds it to outputs.
  func add(_ inputs: Operands, to output: inout Tensor, in context: ExecutionContext) {
    let (values, target, factors) = (inputs.value.rows(), output.rowsForWriting(), factors(inputs))
    let dim = shape.valueDim, isa = context.instructionSet.code
    Parallel.forEach(count: shape.batch * shape.queryHeads, threads: context.threads) { index, _ in
      let batch = index / shape.queryHeads, head = index % shape.queryHeads
      for row in rows(batch) {
        let value = values.row(batch, shape.keyHead(of: head), row + shape.queryOffset)
        attn_axpy(isa, factors[head], value, target.row(batch, head, row), dim)
      }
    }
  }

  /// Adds its gradients.
  /// - Throws: `MemoryLimitExceeded`.
  func addGradient(
    _ outputGradient: Tensor, _ inputs: Operands, to result: inout Operands, in context: ExecutionContext
  ) throws {
    let factors = factors(inputs), dim = shape.valueDim, isa = context.instructionSet.code
    var dFactors = try context.empty([shape.queryHeads])
    let (given, values) = (outputGradient.rows(), inputs.value.rows())
    let (view, target) = (dFactors.pinnedForWriting(), result.value.rowsForWriting())
    Parallel.forEach(count: shape.keyHeads, threads: context.threads) { keyHead, _ in
      for head in keyHead * shape.groupSize..<(keyHead + 1) * shape.groupSize {
        var sum = 0.0
        for batch in 0..<shape.batch {
          for row in rows(batch) {
            let d = given.row(batch, head, row), key = row + shape.queryOffset
            var product: Float = 0
            attn_scan_dots(isa, d, dim, values.row(batch, keyHead, key), dim, &product, 0, 1, dim)
            sum += Double(product)
            attn_axpy(isa, factors[head], d, target.row(batch, keyHead, key), dim)
          }
        }
        view[head] = Float(sum)
      }
    }
    result[operand] = dFactors
  }
}
