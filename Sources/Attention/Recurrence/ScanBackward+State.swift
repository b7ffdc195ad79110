import AttentionCore
import CKernels
import Tensors

/// The way back from the state behind a chunk.
extension ScanBackward {
  /// What the state behind a chunk gives its keys and values, to which others add.
  func backThroughState(_ piece: Piece) {
    guard let gradient = piece.stateGradient else { return }
    let (d, v) = (shape.headDim, shape.valueDim), base = piece.base, keys = piece.keys.count
    let own = keyRows(piece), sums = keySums(piece), tails = base + layout.tails
    products.transpose(gradient, stride: v, rows: d, columns: v, to: base + layout.gradientColumns)
    products.multiply(
      values(piece), base + layout.gradientColumns, d, into: sums, stride: d, rows: keys, columns: d,
      depth: v, factors: scan.fades && !geometry.hasNormalizer ? UnsafePointer(tails) : nil,
      ahead: key.ahead(piece.batch, piece.keyHead, piece.nextKeys, dim: d))
    if geometry.hasNormalizer {
      (base + layout.ones).update(repeating: 1, count: keys)
      attn_scan_outer(isa, base + layout.ones, gradient + geometry.matrixCount, sums, d, keys, d)
      if scan.fades { attn_scan_scale(isa, sums, d, tails, sums, d, keys, d) }
    }
    if scan.isGated {
      attn_scan_dots(isa, own.base, own.stride, sums, d, base + layout.stateDots, 0, keys, d)
    }
    guard !scan.recurrence.isDelta else { return }
    if let strengths = strengths(piece) {
      attn_scan_scale(isa, sums, d, strengths, sums, d, keys, d)
      attn_scan_multiply(isa, tails, strengths, tails, keys)
    }
    products.multiply(
      own, gradient, v, into: valueGradient.row(piece.batch, piece.keyHead, piece.keys.lowerBound), stride: v,
      rows: keys, columns: v, depth: d, factors: scan.fades ? UnsafePointer(tails) : nil,
      ahead: given.ahead(piece.batch, piece.keyHead, piece.nextKeys, dim: v))
  }
}
