import AttentionCore
import Basics
import CKernels
import Tensors

extension Engine {
  /// Combines the softmax over some keys with that over others, row by row, in float32.
  ///
  /// `lse' = log(e^lse + e^lse_p)`, `o' = e^(lse − lse')·o + e^(lse_p − lse')·o_p`, both by their difference from the larger of
  /// the two, so that no exponential is larger than 1. A part without keys (LSE −∞) changes nothing, and nothing (−∞) takes the
  /// part as it is.
  /// - Parameters:
  ///   - part: `[batch, heads, rows.count, valueDim]`, and its LSE `[batch, heads, rows.count]`.
  ///   - output: `[batch, heads, length, valueDim]`, and its LSE `[batch, heads, length]`.
  ///   - lse: the LSE of `output`, changed with it.
  ///   - rows: the rows of the output that the part's rows are.
  ///   - context: threads and instruction set.
  /// - Complexity: O(elements of the part).
  public static func merge(
    _ part: (output: Tensor, lse: Tensor), into output: inout Tensor, lse: inout Tensor, at rows: RowRuns,
    in context: ExecutionContext
  ) {
    let (batch, heads, dim) = (output.shape[0], output.shape[1], output.shape[3])
    precondition(
      part.output.shape == [batch, heads, rows.count, dim], "\(part.output.shape) merged into \(output.shape)"
    )
    let isa = context.instructionSet.code
    let (target, targetLSE) = (output.rowsForWriting(), lse.rowsForWriting())
    let (source, sourceLSE) = (part.output.rows(), part.lse.rows())
    Parallel.forEach(count: batch * heads, threads: context.threads) { index, _ in
      let (batch, head) = (index / heads, index % heads)
      for (run, start) in zip(rows.runs, rows.starts) {
        for row in 0..<run.count {
          attn_merge_row(
            isa, target.row(batch, head, run.lowerBound + row),
            targetLSE.row(batch, head, run.lowerBound + row), source.row(batch, head, start + row),
            sourceLSE.row(batch, head, start + row).pointee, Int32(dim))
        }
      }
    }
  }

  /// The largest log-sum-exp by which parts of a row are put together, and its gradients found, to single precision; rows
  /// beyond it are computed whole, in Double, by whoever has all their keys (`VastRows`).
  public static let largestMergedLSE = VastRows.limit
}
