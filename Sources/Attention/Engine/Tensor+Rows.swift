import AttentionCore
import CKernels
import Tensors

extension Rows {
  /// Rows at a base pointer with the strides `[batch, heads, length, …]`.
  init(_ base: UnsafeMutablePointer<Float>, strides: [Int]) {
    self.base = base
    batchStride = strides[0]
    headStride = strides[1]
    rowStride = strides[2]
  }

  /// Prefetches the first `dim` floats of rows: to be written, or to be read after other work.
  func prefetch(_ batch: Int, _ head: Int, _ rows: attn_list, dim: Int, writes: Bool = false) {
    let float = MemoryLayout<Float>.stride
    attn_prefetch_rows(
      self.head(batch, head), Int64(rowStride * float), rows, Int32(dim * float), writes ? 1 : 0)
  }

  /// One row of a (batch, head).
  func row(_ batch: Int, _ head: Int, _ row: Int) -> UnsafeMutablePointer<Float> {
    self.head(batch, head) + row * rowStride
  }
}

extension Tensor {
  /// Reads through rows `[batch, heads, length]`.
  func withReadRows<R>(_ body: (Rows) throws -> R) rethrows -> R {
    try withUnsafePointer { (base: UnsafePointer<Float>) throws in try body(Rows(reading: base, self)) }
  }

  /// Writes through rows `[batch, heads, length]`.
  mutating func withRows<R>(_ body: (Rows) throws -> R) rethrows -> R {
    // The strides alone: a copy of the tensor would share its storage and make the write copy it.
    let strides = self.strides
    return try withUnsafeMutablePointer { (base: UnsafeMutablePointer<Float>) throws in
      try body(Rows(base, strides: strides))
    }
  }

  /// Keys or values `[batch, heads, length, dim]` whose padded rows are finite: themselves, or a copy with zeros there.
  ///
  /// A product over all keys multiplies padded rows by 0, and 0 · ∞ is not 0.
  /// - Throws: `MemoryLimitExceeded`.
  func withFinitePadding(
    _ attention: AttentionShape, ledger: MemoryLedger?
  ) throws(MemoryLimitExceeded) -> Tensor {
    let (batch, heads, length, dim) = (shape[0], shape[1], shape[2], shape[3])
    let padded = (0..<batch * heads).map { attention.validKeys(batch: $0 / heads)..<length }
    let isFinite = withReadRows { rows in
      padded.indices.allSatisfy { index in
        padded[index].allSatisfy { row in
          let x = rows.row(index / heads, index % heads, row)
          return (0..<dim).allSatisfy { x[$0].isFinite }
        }
      }
    }
    if isFinite { return self }
    var result = try Tensor(array(), shape: shape, ledger: ledger)
    result.withRows { rows in
      for index in padded.indices {
        for row in padded[index] {
          rows.row(index / heads, index % heads, row).update(repeating: 0, count: dim)
        }
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
    result.withRows { target in
      withReadRows { source in
        for sequence in 0..<batch {
          for head in 0..<heads * times {
            for row in 0..<length {
              target.row(sequence, head, row).update(
                from: source.row(sequence, head / times, row), count: dim)
            }
          }
        }
      }
    }
    return result
  }

  /// The inverse for gradients: sums of every `times` heads, in order.
  /// - Throws: `MemoryLimitExceeded`.
  func summingHeads(_ times: Int, ledger: MemoryLedger?) throws(MemoryLimitExceeded) -> Tensor {
    guard times > 1 else { return self }
    let (batch, heads, length, dim) = (shape[0], shape[1] / times, shape[2], shape[3])
    var result = try Tensor(zeros: [batch, heads, length, dim], ledger: ledger)
    result.withRows { target in
      withReadRows { source in
        for sequence in 0..<batch {
          for head in 0..<heads * times {
            for row in 0..<length {
              let (sum, part) = (target.row(sequence, head / times, row), source.row(sequence, head, row))
              for t in 0..<dim { sum[t] += part[t] }
            }
          }
        }
      }
    }
    return result
  }
}
