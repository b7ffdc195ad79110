import AttentionCore
import CKernels
import Tensors

/// `o_i += D_h v_i`: what a token passes by the state, v of the query's own position; taken along with the rows of a chunk.
struct ScanSkip: Sendable {
  let shape: AttentionShape
  let isa: Int32
  let values: Rows
  /// D, one a query head.
  let factors: [Float]

  init(_ operand: Operand.Name, _ inputs: Operands, shape: AttentionShape, isa: Int32) {
    guard let tensor = inputs[operand] else { preconditionFailure("a skip reads \(operand)") }
    (self.shape, self.isa, values, factors) = (shape, isa, inputs.value.rows(), tensor.array())
  }

  /// Those of some query rows that have a valid key at their position.
  private func own(_ rows: Range<Int>, _ batch: Int) -> Range<Int> {
    let offset = shape.queryOffset, end = min(rows.upperBound, shape.validKeys(batch: batch) - offset)
    let first = min(rows.upperBound, max(rows.lowerBound, -offset))
    return first..<max(first, end)
  }

  /// Adds it to the outputs of some rows.
  func add(_ batch: Int, _ head: Int, _ rows: Range<Int>, to output: Rows) {
    for row in own(rows, batch) {
      let value = values.row(batch, shape.keyHead(of: head), row + shape.queryOffset)
      attn_axpy(isa, factors[head], value, output.row(batch, head, row), shape.valueDim)
    }
  }

  /// Adds what some rows give to the gradient of their values; the result is their part of that of D.
  func addGradient(
    _ outputGradient: Rows, _ batch: Int, _ head: Int, _ rows: Range<Int>, to gradient: Rows
  ) -> Float {
    var sum = 0.0
    let dim = shape.valueDim, keyHead = shape.keyHead(of: head)
    for row in own(rows, batch) {
      let d = outputGradient.row(batch, head, row), key = row + shape.queryOffset
      var product: Float = 0
      attn_scan_dots(isa, d, dim, values.row(batch, keyHead, key), dim, &product, 0, 1, dim)
      sum += Double(product)
      attn_axpy(isa, factors[head], d, gradient.row(batch, keyHead, key), dim)
    }
    return Float(sum)
  }
}
