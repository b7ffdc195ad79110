import AttentionCore
import CKernels
import Tensors

/// What a softmax over chosen blocks costs, in closed form: choosing and attending apart.
///
/// What a row chooses depends on the data, how much of it does not: it takes as many blocks as it may, and all past ones are whole. Only
/// without causality a short last block may be among them or not; it is counted as a whole one.
struct SelectionCost: Sendable {
  let blocks: KeyBlocks
  /// Blocks of a row, its own counted.
  let count: Int
  /// Heads that choose; the others share what these have chosen.
  let choosingHeads: Int

  private var shape: AttentionShape { blocks.shape }

  /// Pairs of a query and a key that the definition needs and that tiles execute, and of a query and a block that are scored, each for
  /// one head and all sequences.
  /// - Complexity: O(rows).
  func pairs() -> (needed: Double, executed: Double, scored: Double) {
    var needed = 0.0, executed = 0.0, scored = 0.0
    let isTiled = shape.isCausal && shape.queryLength > BlockTiles.fewRows
    for batch in 0..<shape.batch {
      for row in 0..<shape.queryLength {
        let (candidates, own) = blocks.reach(batch: batch, row: row)
        let visible = shape.visibleKeys(batch: batch, row: row)
        let others = max(0, min(count - own.count, candidates.count - (shape.isCausal ? 0 : own.count)))
        scored += Double(candidates.count)
        let inOthers = min(others * blocks.size, visible)
        let inOwn = own.isEmpty ? 0 : blocks.keys(own.lowerBound, valid: visible).count
        needed += Double(inOthers + inOwn)
        executed += Double(inOthers + (isTiled ? 0 : inOwn))
      }
      guard isTiled else { continue }
      BlockTiles.forEachOwnRun(blocks, batch: batch) { rows, keys in
        for tile in shape.rowTiles(of: rows, cutAt: shape.validKeys(batch: batch)) {
          let end = min(keys.upperBound, tile.upperBound + shape.queryOffset)
          executed += Double(tile.count * max(0, end - keys.lowerBound))
        }
      }
    }
    return (needed, executed, scored)
  }

  /// The tables of a pass: the choice, the tiles, what is planned of them, the scratch of one thread, and going back the sums that
  /// units keep apart.
  func workspaceBytes(of pass: PassKind) -> Double {
    let rows = Double(shape.batch * shape.queryLength), heads = Double(shape.queryHeads)
    let kept = Double(min(count, blocks.count))
    let isBackward = pass == .backward
    let tile = MemoryLayout<TileList.QueryTile>.stride + MemoryLayout<TileList.Segment>.stride
    let plan = MemoryLayout<Int32>.stride + (isBackward ? MemoryLayout<BackwardPlan.Element>.stride : 0)
    let lanes = Double(TileList.lanes), lists = rows / Double(shape.queryLength) * Double(choosingHeads)
    let tiles = lists * (Double(shape.queryLength) * kept / lanes + Double(2 * blocks.count))
    var bytes = RowChoice.byteCount(Int(kept), rows: rows * Double(choosingHeads))
    bytes += tiles * Double(tile + plan) + 4 * rows * Double(choosingHeads) * kept
    bytes += Double(Engine.scratchBytes(shape.with(precision: .float32), backward: isBackward))
    guard isBackward else { return bytes }
    let groups = shape.batch * shape.keyHeads
    let units = BackwardPlan.unitsPerHead(heads: groups, keyLength: shape.keyLength)
    let keys = Double(groups * BackwardPlan.blockCount(keyLength: shape.keyLength) * BackwardPlan.blockKeys)
    bytes += Double(units - 1) * keys * Double(shape.headDim + shape.valueDim) * 4
    return bytes + 4 * rows * heads / lanes
  }
}
