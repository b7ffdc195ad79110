import AttentionCore
import CKernels
import Tensors

/// Where the float32 rows of a tensor `[batch, heads, length, dim]` or `[batch, heads, length]` lie.
///
/// Parallel loops share it: the engine only reads inputs, and writes outputs in disjoint rows (phases, units and partial
/// results in the plans see to that).
struct Rows: Sendable {
  private let view: PinnedView<Float>
  let batchStride: Int, headStride: Int, rowStride: Int

  /// Rows from a first element on, with the strides `[batch, heads, length, …]`.
  init(_ view: PinnedView<Float>, strides: [Int]) {
    self.view = view
    (batchStride, headStride, rowStride) = (strides[0], strides[1], strides[2])
  }

  /// Row 0 of the first (batch, head).
  var base: UnsafeMutablePointer<Float> { view.pointer }

  /// Row 0 of a (batch, head).
  func head(_ batch: Int, _ head: Int) -> UnsafeMutablePointer<Float> {
    base + batch * batchStride + head * headStride
  }

  /// One row of a (batch, head).
  func row(_ batch: Int, _ head: Int, _ row: Int) -> UnsafeMutablePointer<Float> {
    self.head(batch, head) + row * rowStride
  }

  /// Prefetches the first `dim` floats of rows: to be written, or to be read after other work.
  func prefetch(_ batch: Int, _ head: Int, _ rows: attn_list, dim: Int, writes: Bool = false) {
    let float = MemoryLayout<Float>.stride
    attn_prefetch_rows(
      self.head(batch, head), Int64(rowStride * float), rows, Int32(dim * float), writes ? 1 : 0)
  }
}

extension Tensor {
  /// The rows, to be read.
  func rows() -> Rows { Rows(pinned(), strides: strides) }

  /// The rows, to be written.
  mutating func rowsForWriting() -> Rows { Rows(pinnedForWriting(), strides: strides) }
}

/// Where the rows of an input lie, whatever its precision.
struct InputRows: Sendable {
  private let view: PinnedView<UInt8>
  private let batchBytes: Int, headBytes: Int, elementBytes: Int
  /// Elements between rows.
  let rowStride: Int

  init(_ tensor: Tensor) {
    view = tensor.pinnedBytes()
    elementBytes = tensor.precision.byteCount
    batchBytes = tensor.strides[0] * elementBytes
    headBytes = tensor.strides[1] * elementBytes
    rowStride = tensor.strides[2]
  }

  /// Row 0 of a (batch, head).
  func head(_ batch: Int, _ head: Int) -> UnsafeRawPointer {
    UnsafeRawPointer(view.pointer) + (batch * batchBytes + head * headBytes)
  }

  /// One element of a row, up-converted.
  func element(_ batch: Int, _ head: Int, _ row: Int, _ at: Int) -> Double {
    let address = self.head(batch, head) + (row * rowStride + at) * elementBytes
    return elementBytes == MemoryLayout<Float>.stride
      ? Double(address.load(as: Float.self))
      : Double(BrainPrecision.float(address.load(as: UInt16.self)))
  }

  /// Prefetches the first `dim` elements of rows to the second-level cache.
  func prefetch(_ batch: Int, _ head: Int, _ rows: attn_list, dim: Int) {
    attn_prefetch_rows(
      self.head(batch, head), Int64(rowStride * elementBytes), rows, Int32(dim * elementBytes), 0)
  }

  /// Warms the cache with them, sequentially.
  func warm(_ batch: Int, _ head: Int, _ rows: attn_list, dim: Int) {
    attn_warm_rows(
      self.head(batch, head), Int64(rowStride * elementBytes), rows, Int32(dim * elementBytes))
  }
}

/// Floats that the workers of a pass divide between them: every worker, partial result or unit has its own.
struct Region: Sendable {
  private let view: PinnedView<Float>

  /// Unspecified contents, counted in a ledger.
  /// - Throws: `MemoryLimitExceeded`.
  init(_ shape: [Int], in ledger: MemoryLedger?) throws(MemoryLimitExceeded) {
    var space = try Tensor(uninitialized: shape, ledger: ledger)
    view = space.pinnedForWriting()
  }

  /// Those from `offset` on.
  func at(_ offset: Int) -> UnsafeMutablePointer<Float> { view.pointer + offset }
  /// The same, untyped: scratch of the C kernels.
  func scratch(_ offset: Int) -> UnsafeMutableRawPointer { UnsafeMutableRawPointer(view.pointer + offset) }
}
