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
    output.withRows { output in
      lse.withRows { lse in
        query.withReadRows { query in
          key.withReadRows { key in
            value.withReadRows { value in
              for batch in 0..<shape.batch {
                for head in 0..<shape.queryHeads {
                  let logSums = lse.head(batch, head)
                  for row in 0..<min(shape.queryLength, shape.validKeys(batch: batch))
                  where logSums[row] == -.infinity {
                    let (q, k) = (query.row(batch, head, row), key.row(batch, head, row))
                    let score = (0..<shape.headDim).reduce(0.0) { $0 + Double(q[$1]) * Double(k[$1]) }
                    let capped = shape.capped(scale * score)
                    let logSum = Float(capped.score + log(Double(count(batch, head, row))))
                    // −∞ would mean that the row has no key.
                    logSums[row] = logSum.isFinite ? logSum : .nan
                    output.row(batch, head, row).update(
                      from: value.row(batch, head, row), count: shape.valueDim)
                    lonely.rows.append(
                      Row(batch: batch, head: head, row: row, lse: logSum, slope: capped.slope))
                  }
                }
              }
            }
          }
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
    outputGradient.withReadRows { source in
      gradient.value.withRows { target in
        for item in rows {
          let share = Float(share(item, of: all))
          let dv = target.row(item.batch, item.head, item.row)
          let dO = source.row(item.batch, item.head, item.row)
          for t in 0..<dim { dv[t] += share * dO[t] }
        }
      }
      guard all.hasOtherKeys else { return }
      for item in rows {
        let place = (item.batch, item.head, item.row)
        func read(_ tensor: Tensor, _ count: Int) -> [Double] {
          tensor.withReadRows { rows in
            let row = rows.row(place.0, place.1, place.2)
            return (0..<count).map { Double(row[$0]) }
          }
        }
        let (dO, o, v) = (read(outputGradient, dim), read(all.output, dim), read(inputs.value, dim))
        let change = zip(dO, zip(v, o)).reduce(0.0) { $0 + $1.0 * ($1.1.0 - $1.1.1) }
        let slope = scale * item.slope * share(item, of: all) * change
        let (q, k) = (read(inputs.query, headDim), read(inputs.key, headDim))
        gradient.query.withRows { dq in
          for t in 0..<headDim { dq.row(place.0, place.1, place.2)[t] += Float(slope * k[t]) }
        }
        gradient.key.withRows { dk in
          for t in 0..<headDim { dk.row(place.0, place.1, place.2)[t] += Float(slope * q[t]) }
        }
      }
    }
  }

  private func share(_ item: Row, of all: SoftmaxRows) -> Double {
    guard all.hasOtherKeys else { return 1 }
    return all.lse.withReadRows { lse in
      SoftmaxRows.share(of: Double(item.lse), in: lse.head(item.batch, item.head)[item.row * lse.rowStride])
    }
  }
}
