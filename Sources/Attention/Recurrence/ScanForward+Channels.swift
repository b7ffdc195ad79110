import AttentionCore
import CKernels
import Tensors

/// A chunk whose channels fade apart.
extension ScanForward {
  /// A chunk without keys fades nothing.
  func keepAll(_ place: Int) {
    (factors + place * scan.factorCount).update(repeating: 1, count: scan.factorCount)
  }

  /// What channels fade by before the tokens of a chunk, up to `end`; 1 behind the last key. Read where it lies if there is no such token.
  func channels(
    _ head: Int, _ keys: Range<Int>, to end: Int, _ base: UnsafeMutablePointer<Float>
  ) -> UnsafePointer<Float> {
    let d = shape.headDim, own = base + layout.channels
    guard let logs else { return UnsafePointer(own) }
    let place = (head * shape.keyLength + keys.lowerBound) * d
    guard end > keys.count else { return UnsafePointer(logs + place) }
    own.update(from: logs + place, count: keys.count * d)
    (own + keys.count * d).update(repeating: 1, count: (end - keys.count) * d)
    return UnsafePointer(own)
  }

  /// Products of rows, which stand at these places of the chunk, and its keys.
  func channelPairs(
    _ rows: Range<Int>, keys: Int, _ channels: UnsafePointer<Float>, _ base: UnsafeMutablePointer<Float>
  ) -> ChannelPairs {
    ChannelPairs(
      blocks: scan.blocks, products: products, dim: shape.headDim, decays: channels, rows: rows,
      keys: keys,
      scratch: .init(
        rows: base + layout.fadedRows, keys: base + layout.fadedKeys, result: base + layout.keyColumns))
  }

  /// The outputs of rows, which stand from `first` on in the chunk; pairs of the first `gentle` ones are a product.
  func readChannels(
    _ batch: Int, _ queryHead: Int, _ block: Int, _ rows: Range<Int>, _ keys: Int, _ first: Int, gentle: Int,
    _ channels: UnsafePointer<Float>, _ state: UnsafeMutablePointer<Float>, _ values: UnsafePointer<Float>,
    _ base: UnsafeMutablePointer<Float>
  ) {
    let (d, v) = (shape.headDim, shape.valueDim), count = rows.count
    let own = base + layout.queries, scores = base + layout.scores, faded = base + layout.fadedRows
    let target = output.row(batch, queryHead, rows.lowerBound)
    let keyHead = shape.keyHead(of: queryHead)
    if gentle == count, scan.mapsNothing {
      attn_scan_ahead_all(
        isa, query.row(batch, queryHead, rows.lowerBound), query.rowStride, Float(scan.recurrence.scale),
        channels, faded, count, d)
    } else {
      loadQueries(batch, queryHead, rows, own + first * d)
      attn_scan_ahead(isa, own, channels, faded, first, first + count, d)
    }
    products.multiply(
      .init(faded + first * d, stride: d), state, v, into: target, stride: v, rows: count, columns: v,
      depth: d, ahead: query.ahead(batch, queryHead, nextRows(block), dim: d),
      also: scan.ahead(of: logs, batch, keyHead, nextKeys(block, batch)))
    guard keys > 0 else { return }
    if gentle > 0, gentle < count { exchangeKeys(keys, base) }
    pairGently(
      faded, gentle, keys, to: scores, base,
      ahead: value.ahead(batch, keyHead, nextKeys(block, batch), dim: v))
    if gentle < count {
      channelPairs(first + gentle..<first + count, keys: keys, channels, base).write(
        own, base + layout.keys, to: scores + gentle * keys, stride: keys)
    }
    products.multiply(
      .init(scores, stride: keys), values, added.rowStride, into: target, stride: v, rows: count, columns: v,
      depth: keys, .byLower(first: first), target: .added,
      ahead: output.ahead(batch, queryHead, nextRows(block), dim: v, writes: true))
  }
}
