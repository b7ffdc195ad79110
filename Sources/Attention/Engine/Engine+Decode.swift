import AttentionCore
import Tensors

/// One query row against a cache, with several query heads on a key head: the heads become the rows of one tile, so
/// that K and V are read once for all of them instead of once a head.
struct SharedDecode: Sendable {
  /// The sizes of the call that takes its place; key padding is that of the call.
  let shape: AttentionShape
  let pattern: TilePattern

  /// - Returns: `nil` when the call is not of this kind: more than one query row, a head group of one, or more than one
  ///   list or tile.
  init?(shape: AttentionShape, pattern: TilePattern) {
    guard shape.queryLength == 1, shape.groupSize > 1, shape.groupSize <= TileList.lanes,
      pattern.lists.count == 1, pattern.lists[0].tiles.count == 1
    else { return nil }
    let list = pattern.lists[0]
    let tile = list.tiles[0]
    var shared = TileList()
    var segments: [TileList.Segment] = []
    for number in 0..<Int(tile.segmentCount) {
      let segment = list.segments[Int(tile.firstSegment) + number]
      if segment.mask == .full && segment.stride > 0 {
        segments.append(segment)
        continue
      }
      let keys = SharedDecode.keys(of: segment, in: list, position: shape.queryOffset)
      segments.append(contentsOf: SharedDecode.runs(keys))
    }
    shared.addTile(start: 0, count: shape.groupSize, segments: segments)
    var merged = shape
    (merged.queryHeads, merged.queryLength) = (shape.keyHeads, shape.groupSize)
    (merged.isCausal, merged.keyLengths, merged.scale, merged.softcap) = (false, nil, nil, nil)
    self.shape = merged
    self.pattern = TilePattern(shared: shared)
  }

  /// A tensor `[batch, queryHeads, 1, dim]` as `[batch, keyHeads, groupSize, dim]`; shares storage when it can.
  func grouped(_ tensor: Tensor, _ given: AttentionShape) -> Tensor {
    tensor.reshaped([given.batch, given.keyHeads, given.groupSize, tensor.shape[3]])
  }

  /// The keys of a segment that the row at `position` sees.
  private static func keys(
    of segment: TileList.Segment, in list: TileList, position: Int
  ) -> [Int32] {
    (0..<Int(segment.count)).compactMap { t in
      let key =
        segment.stride == 0
        ? list.keyIndices[Int(segment.start) + t] : segment.start + Int32(t) * segment.stride
      let distance = Int32(position) - key
      switch segment.mask {
      case .full: return key
      case .band(let low, let high): return distance >= low && distance <= high ? key : nil
      case .notSelf: return distance != 0 ? key : nil
      case .bits(let offset): return list.bits[Int(offset) + t] & 1 == 1 ? key : nil
      }
    }
  }

  /// Consecutive keys as runs.
  private static func runs(_ keys: [Int32]) -> [TileList.Segment] {
    var segments: [TileList.Segment] = []
    for key in keys {
      if let last = segments.last, last.start + last.count == key {
        segments[segments.count - 1].count += 1
      } else {
        segments.append(TileList.Segment(start: Int(key), count: 1))
      }
    }
    return segments
  }
}
