import AttentionCore
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Rows that see no key but themselves: Reformer's rule that a token attends to itself only when it has nothing else.
struct LonelyRows: Sendable {
  private struct Row {
    var batch: Int, head: Int, row: Int
    /// The log-sum-exp of its own key.
    var lse: Float
    /// The derivative of the score under the soft cap.
    var slope: Double
  }
  private var rows: [Row] = []

  /// Where the LSE is −∞ and the row's own key is valid: output ← v_i, LSE ← score_ii + log(count). Returns the rows.
  static func fill(
    query: Tensor, key: Tensor, value: Tensor, shape: AttentionShape, scale: Double,
    count: (Int, Int, Int) -> Int,
    output: inout Tensor, lse: inout Tensor
  ) -> LonelyRows {
    var lonely = LonelyRows()
    let outputs = output.rowsForWriting(), logSums = lse.rowsForWriting()
    let queries = query.rows(), keys = key.rows(), values = value.rows()
    for batch in 0..<shape.batch {
      for head in 0..<shape.queryHeads {
        for row in 0..<min(shape.queryLength, shape.validKeys(batch: batch)) {
          let logSum = logSums.head(batch, head) + row
          guard logSum.pointee == -.infinity else { continue }
          let (q, k) = (queries.row(batch, head, row), keys.row(batch, head, row))
          let score = (0..<shape.headDim).reduce(0.0) { $0 + Double(q[$1]) * Double(k[$1]) }
          let capped = shape.capped(scale * score)
          let own = Float(capped.score + log(Double(count(batch, head, row))))
          // −∞ would mean that the row has no key.
          logSum.pointee = own.isFinite ? own : .nan
          outputs.row(batch, head, row).update(from: values.row(batch, head, row), count: shape.valueDim)
          lonely.rows.append(Row(batch: batch, head: head, row: row, lse: own, slope: capped.slope))
        }
      }
    }
    return lonely
  }

  /// Adds their part of the gradients: `dv_i += p dO_i`, `dS = p (dO_i·v_i − dO_i·o_i)`, with the share p that the own key has
  /// of the row. Without other keys p is 1 and the score has no gradient, whatever rounding says.
  /// - Parameter inputs: what the pass read: a key and a value for every query row.
  func addGradient(
    _ outputGradient: Tensor, of all: SoftmaxRows, reading inputs: Operands, scale: Double,
    to gradient: inout Operands
  ) {
    guard !rows.isEmpty else { return }
    let dim = outputGradient.shape[3], headDim = inputs.query.shape[3]
    let source = outputGradient.rows(), target = gradient.value.rowsForWriting()
    for item in rows {
      let share = Float(share(item, of: all))
      let dv = target.row(item.batch, item.head, item.row)
      let dO = source.row(item.batch, item.head, item.row)
      for t in 0..<dim { dv[t] += share * dO[t] }
    }
    guard all.hasOtherKeys else { return }
    let outputs = all.output.rows(), values = inputs.value.rows()
    let queries = inputs.query.rows(), keys = inputs.key.rows()
    let queryGradient = gradient.query.rowsForWriting(), keyGradient = gradient.key.rowsForWriting()
    for item in rows {
      func row(_ rows: Rows) -> UnsafeMutablePointer<Float> { rows.row(item.batch, item.head, item.row) }
      let (dO, o, v) = (row(source), row(outputs), row(values))
      let change = (0..<dim).reduce(0.0) { $0 + Double(dO[$1]) * (Double(v[$1]) - Double(o[$1])) }
      let slope = scale * item.slope * share(item, of: all) * change
      let (q, k) = (row(queries), row(keys)), (dq, dk) = (row(queryGradient), row(keyGradient))
      for t in 0..<headDim { dq[t] += Float(slope * Double(k[t])) }
      for t in 0..<headDim { dk[t] += Float(slope * Double(q[t])) }
    }
  }

  private func share(_ item: Row, of all: SoftmaxRows) -> Double {
    guard all.hasOtherKeys else { return 1 }
    let lse = all.lse.rows()
    return SoftmaxRows.share(
      of: Double(item.lse), in: lse.head(item.batch, item.head)[item.row * lse.rowStride])
  }
}
