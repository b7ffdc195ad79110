import AttentionCore
import Basics
import Tensors

extension Tensor {
  /// Keys or values `[batch, heads, length, dim]` whose padded rows are finite: themselves, or a copy with zeros there.
  ///
  /// A product over all keys multiplies padded rows by 0, and 0 · ∞ is not 0.
  /// - Throws: `MemoryLimitExceeded`.
  func withFinitePadding(
    _ attention: AttentionShape, ledger: MemoryLedger?
  ) throws(MemoryLimitExceeded) -> Tensor {
    let (batch, heads, length, dim) = (shape[0], shape[1], shape[2], shape[3])
    let padded = (0..<batch * heads).map { attention.validKeys(batch: $0 / heads)..<length }
    let source = rows()
    let isFinite = padded.indices.allSatisfy { index in
      padded[index].allSatisfy { row in
        let x = source.row(index / heads, index % heads, row)
        return (0..<dim).allSatisfy { x[$0].isFinite }
      }
    }
    if isFinite { return self }
    var result = try Tensor(array(), shape: shape, ledger: ledger)
    let target = result.rowsForWriting()
    for index in padded.indices {
      for row in padded[index] {
        target.row(index / heads, index % heads, row).update(repeating: 0, count: dim)
      }
    }
    return result
  }

  /// `[batch, heads, length, dim]` with every head repeated `times` times, in order: grouped-query values spelt out.
  /// - Throws: `MemoryLimitExceeded`.
  func repeatingHeads(_ times: Int, ledger: MemoryLedger?) throws(MemoryLimitExceeded) -> Tensor {
    guard times > 1 else { return self }
    let (batch, heads, length, dim) = (shape[0], shape[1], shape[2], shape[3])
    var result = try Tensor(uninitialized: [batch, heads * times, length, dim], ledger: ledger)
    let (target, source) = (result.rowsForWriting(), rows())
    for (sequence, head) in headPairs(batch, heads * times) {
      for row in 0..<length {
        target.row(sequence, head, row).update(from: source.row(sequence, head / times, row), count: dim)
      }
    }
    return result
  }

  /// `[heads, dim]`: the sum over sequences and rows of every head, in order and in Double.
  /// - Throws: `MemoryLimitExceeded`.
  func summedByHead(in context: ExecutionContext) throws(MemoryLimitExceeded) -> Tensor {
    let (batch, heads, length, dim) = (shape[0], shape[1], shape[2], shape[3])
    var result = try Tensor(zeros: [1, heads, 1, dim], ledger: context.ledger)
    let (target, source) = (result.rowsForWriting(), rows())
    Parallel.forEach(count: heads, threads: context.threads) { head, _ in
      var sums = [Double](repeating: 0, count: dim)
      for sequence in 0..<batch {
        for row in 0..<length {
          let part = source.row(sequence, head, row)
          for t in 0..<dim { sums[t] += Double(part[t]) }
        }
      }
      let own = target.row(0, head, 0)
      for t in 0..<dim { own[t] = Float(sums[t]) }
    }
    return result.reshaped([heads, dim])
  }

  /// The rows of one (batch, head), `[length, dim]`.
  func matrix(_ batch: Int, _ head: Int) -> Tensor {
    narrowed(axis: 0, to: batch..<batch + 1).narrowed(axis: 1, to: head..<head + 1)
      .reshaped([shape[2], shape[3]])
  }

  /// The inverse for gradients: sums of every `times` heads, in order.
  /// - Throws: `MemoryLimitExceeded`.
  func summingHeads(_ times: Int, ledger: MemoryLedger?) throws(MemoryLimitExceeded) -> Tensor {
    guard times > 1 else { return self }
    let (batch, heads, length, dim) = (shape[0], shape[1] / times, shape[2], shape[3])
    var result = try Tensor(zeros: [batch, heads, length, dim], ledger: ledger)
    let (target, source) = (result.rowsForWriting(), rows())
    for (sequence, head) in headPairs(batch, heads * times) {
      for row in 0..<length {
        let (sum, part) = (target.row(sequence, head / times, row), source.row(sequence, head, row))
        for t in 0..<dim { sum[t] += part[t] }
      }
    }
    return result
  }
}

/// All (batch, head), batch-major.
private func headPairs(_ batch: Int, _ heads: Int) -> [(Int, Int)] {
  (0..<batch * heads).map { ($0 / heads, $0 % heads) }
}
