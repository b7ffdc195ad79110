import AttentionCore
import Basics
import Foundation
import Settings
import Tensors

/// The textbook loop in single precision, with the textbook's faults: -1e30 stands for "no score yet" and "masked", no
/// weight is below 2⁻¹⁰⁰, and an infinite score is a score.
struct Sentinel: Fake {
  static let id = "sentinel"
  static let idea = "takes hugely negative scores for masked ones"
  let configuration: FakeConfiguration
  let shape: AttentionShape

  func forward(_ inputs: Operands, in context: ExecutionContext) throws -> Forward {
    let (q, k, v) = (inputs.query.array(), inputs.key.array(), inputs.value.array())
    var output: [Float] = []
    var lse: [Float] = []
    for row in 0..<shape.batch * shape.queryHeads * shape.queryLength {
      let head = row / shape.queryLength, batch = head / shape.queryHeads
      let keyRow =
        (batch * shape.keyHeads + shape.keyHead(of: head % shape.queryHeads)) * shape.keyLength
      var largest: Float = -1e30
      var scores: [(key: Int, score: Float)] = []
      for key in 0..<shape.validKeys(batch: batch) where multiplicity(row % shape.queryLength, key) > 0 {
        var score: Float = 0
        for t in 0..<shape.headDim {
          score += q[row * shape.headDim + t] * k[(keyRow + key) * shape.headDim + t]
        }
        scores.append((key, score * Float(shape.effectiveScale)))
        largest = max(largest, scores[scores.count - 1].score)
      }
      var sum: Float = 0
      var mean = [Float](repeating: 0, count: shape.valueDim)
      for (key, score) in scores where score > -1e30 {
        let weight = max(Float(exp(Double(score - largest))), 0x1p-100)
        sum += weight
        for t in mean.indices { mean[t] += weight * v[(keyRow + key) * shape.valueDim + t] }
      }
      output += mean.map { sum > 0 ? $0 / sum : 0 }
      lse.append(sum > 0 ? largest + Float(log(Double(sum))) : -.infinity)
    }
    return Forward(
      output: try Tensor(output, shape: shape.outputShape, ledger: context.ledger),
      lse: try Tensor(lse, shape: shape.lseShape, ledger: context.ledger),
      pullback: pullback(inputs))
  }
}
