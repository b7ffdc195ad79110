import AttentionCore
import Basics
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The means of keys and values of all levels, and the way back for their gradients.
///
/// A mean is made of the two of the level below, `½a + ½b`, so that equal rows have themselves for a mean, to the bit; where a
/// sequence ends within the block the halves count by their valid keys. A key row has one element more: the logarithm of how
/// many keys it stands for.
struct PyramidMeans: Sendable {
  let shape: AttentionShape
  let rows: PyramidRows

  /// Valid keys of a block.
  private func count(_ level: Int, _ block: Int, valid: Int) -> Int {
    max(0, min(valid, (block + 1) << level) - block << level)
  }

  /// Keys that a row of all levels stands for.
  func count(of row: Int, batch: Int) -> Int {
    let level = rows.starts.lastIndex { $0 <= row } ?? 0
    return count(level, row - rows.starts[level], valid: shape.validKeys(batch: batch))
  }

  /// The parts of a block's two halves in it.
  private func parts(_ level: Int, _ block: Int, valid: Int) -> (Float, Float) {
    let whole = count(level, block, valid: valid)
    guard whole < 1 << level else { return (0.5, 0.5) }
    guard whole > 0 else { return (0, 0) }
    let first = count(level - 1, 2 * block, valid: valid)
    return (Float(first) / Float(whole), Float(whole - first) / Float(whole))
  }

  /// Rows of all levels, `[batch, key heads, rows, dim]`, or one element wider with the logarithm of their counts.
  /// - Throws: `MemoryLimitExceeded`.
  func make(_ tensor: Tensor, counting: Bool, in context: ExecutionContext) throws -> Tensor {
    let dim = tensor.shape[3], heads = shape.keyHeads
    var result = try Tensor(
      zeros: [shape.batch, heads, rows.count, counting ? dim + 1 : dim], ledger: context.ledger)
    let (source, target) = (tensor.rows(), result.rowsForWriting())
    Parallel.forEach(count: shape.batch * heads, threads: context.threads) { index, _ in
      let (batch, head) = (index / heads, index % heads), valid = shape.validKeys(batch: batch)
      for key in 0..<valid {
        target.row(batch, head, key).update(from: source.row(batch, head, key), count: dim)
      }
      for level in rows.starts.indices.dropFirst() {
        for block in 0..<rows.blocks(level) where block << level < valid {
          let row = target.row(batch, head, rows.starts[level] + block)
          let below = rows.starts[level - 1] + 2 * block
          let (a, b) = parts(level, block, valid: valid)
          let first = target.row(batch, head, below)
          guard b > 0 else {
            row.update(from: first, count: dim)
            continue
          }
          let second = target.row(batch, head, below + 1)
          for t in 0..<dim { row[t] = a * first[t] + b * second[t] }
        }
      }
      guard counting else { return }
      for level in rows.starts.indices {
        for block in 0..<rows.blocks(level) where block << level < valid {
          target.row(batch, head, rows.starts[level] + block)[dim] = Float(
            log(Double(count(level, block, valid: valid))))
        }
      }
    }
    return result
  }

  /// The gradient of the rows that means were made of, from that of all levels.
  ///
  /// Level by level from the top, in the rows of the result: those of a level are gone when its halves have theirs.
  /// - Throws: `MemoryLimitExceeded`.
  func gradient(_ levels: Tensor, dim: Int, in context: ExecutionContext) throws -> Tensor {
    let heads = shape.keyHeads
    var result = try Tensor(zeros: [shape.batch, heads, shape.keyLength, dim], ledger: context.ledger)
    let (source, target) = (levels.rows(), result.rowsForWriting())
    Parallel.forEach(count: shape.batch * heads, threads: context.threads) { index, _ in
      let (batch, head) = (index / heads, index % heads), valid = shape.validKeys(batch: batch)
      func validBlocks(_ level: Int) -> Int { (valid + (1 << level) - 1) >> level }
      let top = rows.starts.count - 1
      for block in 0..<validBlocks(top) {
        target.row(batch, head, block)
          .update(from: source.row(batch, head, rows.starts[top] + block), count: dim)
      }
      for level in rows.starts.indices.dropFirst().reversed() {
        // The last first: halves of a block stand at its place or behind it.
        for block in (0..<validBlocks(level)).reversed() {
          let (row, below) = (target.row(batch, head, block), rows.starts[level - 1] + 2 * block)
          let (a, b) = parts(level, block, valid: valid)
          if b > 0 {
            let (half, own) = (target.row(batch, head, 2 * block + 1), source.row(batch, head, below + 1))
            for t in 0..<dim { half[t] = own[t] + b * row[t] }
          }
          let (half, own) = (target.row(batch, head, 2 * block), source.row(batch, head, below))
          for t in 0..<dim { half[t] = own[t] + a * row[t] }
        }
      }
    }
    return result
  }

  /// `[scale · q, 1]`.
  /// - Throws: `MemoryLimitExceeded`.
  func queries(_ query: Tensor, in context: ExecutionContext) throws -> Tensor {
    let dim = shape.headDim, factor = Float(shape.effectiveScale)
    var result = try Tensor(
      uninitialized: [shape.batch, shape.queryHeads, shape.queryLength, dim + 1], ledger: context.ledger)
    let (source, target) = (query.rows(), result.rowsForWriting())
    forEachQuery(context) { batch, head, row in
      let (q, extended) = (source.row(batch, head, row), target.row(batch, head, row))
      for t in 0..<dim { extended[t] = factor * q[t] }
      extended[dim] = 1
    }
    return result
  }

  /// The gradient of q.
  /// - Throws: `MemoryLimitExceeded`.
  func queryGradient(_ gradient: Tensor, in context: ExecutionContext) throws -> Tensor {
    let dim = shape.headDim, factor = Float(shape.effectiveScale)
    var result = try Tensor(uninitialized: shape.queryShape, ledger: context.ledger)
    let (source, target) = (gradient.rows(), result.rowsForWriting())
    forEachQuery(context) { batch, head, row in
      let (extended, d) = (source.row(batch, head, row), target.row(batch, head, row))
      for t in 0..<dim { d[t] = factor * extended[t] }
    }
    return result
  }

  private func forEachQuery(_ context: ExecutionContext, _ body: @Sendable (Int, Int, Int) -> Void) {
    let heads = shape.queryHeads
    Parallel.forEach(count: shape.batch * heads, threads: context.threads) { index, _ in
      for row in 0..<shape.queryLength { body(index / heads, index % heads, row) }
    }
  }

  /// Bytes of what a pass makes.
  func bytes(of pass: PassKind) -> Double {
    let keys = Double(shape.batch * shape.keyHeads * rows.count)
    let queries = Double(shape.batch * shape.queryHeads * shape.queryLength)
    let (d, v) = (Double(shape.headDim), Double(shape.valueDim))
    let made = keys * (d + 1 + v) + queries * (d + 1)
    // Going back, the gradients of all of it beside it.
    return 4 * (pass == .backward ? 2 * made : made)
  }

  /// Operations of making means, or of passing their gradients down.
  var operations: Double {
    3 * Double(shape.batch * shape.keyHeads * shape.keyLength) * Double(shape.headDim + shape.valueDim)
  }
}
