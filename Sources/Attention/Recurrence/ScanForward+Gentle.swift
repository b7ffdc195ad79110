import AttentionCore
import CKernels
import Tensors

extension RecurrentScan {
  /// Whether the pairs of a chunk may be one product where channels fade apart: its rows are those of its keys.
  func isAligned(_ block: Int, keys: Int) -> Bool {
    guard shape.isCausal, keys > 0 else { return false }
    let rows = geometry.rows(block)
    return rows.count == keys && geometry.first(rows, block) == 0
  }

  /// What channels fade by in a chunk that comes next.
  func ahead(of logs: PinnedView<Float>?, _ batch: Int, _ keyHead: Int, _ keys: Range<Int>) -> attn_ahead {
    guard let logs, !keys.isEmpty else { return attn_ahead() }
    let d = shape.headDim, place = (batch * shape.keyHeads + keyHead) * shape.keyLength + keys.lowerBound
    return attn_ahead(
      base: UnsafePointer(logs + place * d), stride: d, rows: keys.count, columns: d, writes: 0)
  }

  /// Whether rows of q and k are what they are given as, but for a scale of q.
  var mapsNothing: Bool { map.code == Int32(ATTN_MAP_IDENTITY) }
}

/// Rows up to which no channel of a chunk fades by much: `P_ij = Σ_c (q_ic Λ_ic)(k_jc/Λ_jc)` with `Λ_i = Π_{t ≤ i} a_t` is one product of
/// matrices. Later rows of the chunk are taken in squares (`ChannelPairs`). Which rows these are depends on no later token and on no number
/// of threads.
extension ScanForward {
  /// Keys of a chunk, as they are behind it and divided by what channels have faded by, what it fades a state by, and how many of its rows
  /// are gentle.
  func fadeKeys(_ head: Int, _ block: Int, _ keys: Range<Int>, _ base: UnsafeMutablePointer<Float>) {
    let (batch, keyHead) = (head / shape.keyHeads, head % shape.keyHeads), d = shape.headDim
    var (x, stride) = (UnsafePointer(base + layout.keys), d)
    if scan.mapsNothing, !scan.recurrence.isDelta {
      (x, stride) = (UnsafePointer(key.row(batch, keyHead, keys.lowerBound)), key.rowStride)
    } else {
      loadKeys(batch, keyHead, keys, base)
    }
    let decays = channels(head, keys, to: keys.count, base)
    _ = attn_scan_behind_all(
      isa, x, stride, decays, base + layout.fadedKeys, factors + (head * geometry.keyBlocks + block) * d,
      base + layout.inverses, keys.count, d)
    base[layout.gentle] = 0
    guard scan.isAligned(block, keys: keys.count) else { return }
    base[layout.gentle] = Float(
      attn_scan_unfade(isa, x, stride, decays, base + layout.unfadedKeys, keys.count, d))
  }

  /// How many rows of a chunk are gentle. One that was not just begun is looked at again.
  func gentleRows(_ head: Int, _ block: Int, _ keys: Range<Int>, _ base: UnsafeMutablePointer<Float>) -> Int {
    guard scan.isAligned(block, keys: keys.count) else { return 0 }
    if !inOrder { fadeKeys(head, block, keys, base) }
    return Int(base[layout.gentle])
  }

  /// k_j/Λ_j, rows and columns exchanged.
  func exchangeKeys(_ keys: Int, _ base: UnsafeMutablePointer<Float>) {
    products.transpose(
      base + layout.unfadedKeys, stride: shape.headDim, rows: keys, columns: shape.headDim,
      to: base + layout.keyColumns)
  }

  /// Products of the first rows of a chunk, which have faded, and its exchanged keys; 0 where a key stands behind a row.
  func pairGently(
    _ faded: UnsafePointer<Float>, _ rows: Int, _ keys: Int, to pairs: UnsafeMutablePointer<Float>,
    _ base: UnsafeMutablePointer<Float>, ahead: attn_ahead = attn_ahead()
  ) {
    guard rows > 0 else { return }
    products.multiply(
      .init(faded, stride: shape.headDim), base + layout.keyColumns, keys, into: pairs, stride: keys,
      rows: rows,
      columns: keys, depth: shape.headDim, .lower(first: 0), ahead: ahead)
    attn_scan_clear(isa, pairs, 0, rows, keys)
  }
}
