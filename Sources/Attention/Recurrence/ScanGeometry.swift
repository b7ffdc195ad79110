import AttentionCore
import CKernels
import Tensors

/// How the scan over a shape is cut: chunks of keys, and blocks of the query rows that read in them.
///
/// Chunks begin at multiples of their length, whatever the number of threads. Causal rows belong to the chunk of their position; without
/// causality rows have blocks of their own, which read the state behind all keys.
struct ScanGeometry: Sendable {
  /// Tokens of a chunk.
  static let defaultChunk = 64

  let shape: AttentionShape
  let hasNormalizer: Bool
  let chunk: Int

  init(_ shape: AttentionShape, hasNormalizer: Bool, chunk: Int = ScanGeometry.defaultChunk) {
    (self.shape, self.hasNormalizer, self.chunk) = (shape, hasNormalizer, chunk)
  }

  /// Chunks of keys.
  var keyBlocks: Int { (shape.keyLength + chunk - 1) / chunk }
  /// Blocks of query rows.
  var queryBlocks: Int { shape.isCausal ? keyBlocks : (shape.queryLength + chunk - 1) / chunk }
  /// States beside each other: one a sequence and key head.
  var heads: Int { shape.batch * shape.keyHeads }
  /// Floats of the matrix of a state.
  var matrixCount: Int { shape.headDim * shape.valueDim }
  /// Floats of a state.
  var stateCount: Int { matrixCount + (hasNormalizer ? shape.headDim : 0) }

  /// The valid keys of a chunk.
  func keys(_ block: Int, batch: Int) -> Range<Int> {
    let valid = shape.validKeys(batch: batch), first = min(valid, block * chunk)
    return first..<min(valid, first + chunk, (block + 1) * chunk)
  }

  /// The query rows of a block that have an output: rows before the first key have none.
  func rows(_ block: Int) -> Range<Int> {
    let all = covered
    let offset = shape.queryOffset, start = block * chunk - offset
    let end = min(start + chunk, shape.isCausal ? shape.keyLength - offset : shape.queryLength)
    let first = min(all.upperBound, max(all.lowerBound, start))
    return first..<max(first, min(end, all.upperBound))
  }

  /// The query rows that have an output at all.
  var covered: Range<Int> { min(shape.queryLength, max(0, -shape.queryOffset))..<shape.queryLength }

  /// Where the first row of a block stands among the keys of its chunk.
  func first(_ rows: Range<Int>, _ block: Int) -> Int {
    rows.lowerBound + shape.queryOffset - block * chunk
  }
}

extension Rows {
  /// Rows that are to be fetched ahead of their use.
  func ahead(_ batch: Int, _ head: Int, _ rows: Range<Int>, dim: Int, writes: Bool = false) -> attn_ahead {
    guard !rows.isEmpty else { return attn_ahead() }
    return attn_ahead(
      base: row(batch, head, rows.lowerBound), stride: rowStride, rows: rows.count, columns: dim,
      writes: writes ? 1 : 0)
  }
}

/// What a chunk fades by: e to differences of its summed log decays, which are never above 0.
struct ChunkDecays {
  let isa: Int32
  /// The log decays summed from the first key of the chunk on, that key's own included; one a key.
  let sums: UnsafeMutablePointer<Double>
  /// Keys.
  let count: Int

  /// Multiplies every row of a matrix `[rows, keys]` by numbers of the keys.
  static func scale(
    _ x: UnsafeMutablePointer<Float>, rows: Int, by factors: UnsafePointer<Float>, keys: Int, isa: Int32
  ) {
    attn_scan_columns(isa, x, factors, rows, keys)
  }

  /// Writes what the state before the chunk has faded by at rows, times a scale: one number a row.
  func writeRows(_ first: Int, _ rows: Int, scale: Float, to target: UnsafeMutablePointer<Float>) {
    for row in 0..<rows {
      let last = min(first + row, count - 1)
      target[row] = last < 0 ? 0 : Float(sums[last])
    }
    attn_scan_exp(isa, target, target, rows)
    guard scale != 1 else { return }
    for row in 0..<rows { target[row] *= scale }
  }

  /// Writes what every key has faded by at every row that does not stand before it, times a scale.
  func write(_ first: Int, _ rows: Int, scale: Float, to target: UnsafeMutablePointer<Float>) {
    attn_scan_decays(isa, sums, first, rows, count, scale, target)
  }

  /// Writes what every key has faded by behind the chunk.
  func writeKeys(to target: UnsafeMutablePointer<Float>) {
    for key in 0..<count { target[key] = Float(sums[count - 1] - sums[key]) }
    attn_scan_exp(isa, target, target, count)
  }

  /// What the state before the chunk has faded by behind it.
  var total: Float {
    guard count > 0 else { return 1 }
    var log = Float(sums[count - 1]), result: Float = 0
    attn_scan_exp(isa, &log, &result, 1)
    return result
  }
}
