import AttentionCore
import Tensors

extension LSH {
  /// The closed form of the workspace: the tables of the sorted tokens, the schedules, normalised keys and repeated values, the scratch
  /// of one thread, and in the backward pass what the engine needs: tables of colours, or where there are few keys, units that meet every block; of bfloat16
  /// inputs the float32 copies that are made.
  func workspaceBytes(_ pass: PassKind) -> Double {
    let float = Double(MemoryLayout<Float>.stride)
    let rows = Double(shape.batch * shape.queryHeads * shape.queryLength)
    // A shared query–key is computed in float32, whatever it is stored in.
    let computed = configuration.sharedQueryKey ? shape.with(precision: .float32) : shape
    var bytes = tableBytes(pass) + Double(Engine.scratchBytes(computed, backward: pass == .backward))
    bytes += upconvertedBytes
    if configuration.sharedQueryKey {
      bytes += rows * Double(shape.headDim) * float
      if shape.groupSize > 1 { bytes += rows * Double(shape.valueDim) * float }
    }
    guard pass == .backward else { return bytes }
    let keyHeads = configuration.sharedQueryKey ? shape.queryHeads : shape.keyHeads
    let heads = shape.batch * keyHeads
    let units = BackwardPlan.unitsPerHead(heads: heads, keyLength: shape.keyLength)
    let blocks = BackwardPlan.blockCount(keyLength: shape.keyLength)
    let keys = Double(shape.batch * keyHeads * blocks * BackwardPlan.blockKeys)
    if BackwardColours.serves(heads: heads, keyLength: shape.keyLength) {
      let tiles = ProcessorChoices.current.localBackwardTiles
      bytes += Double(BackwardColours.tableBytes(heads: heads, keyLength: shape.keyLength, tiles: tiles))
    } else {
      bytes += Double(units - 1) * keys * Double(shape.headDim + shape.valueDim) * float
    }
    // Gradients of keys and values of every query head, in place of those of a key head, which are counted as results.
    if configuration.sharedQueryKey {
      let keyRows = Double(shape.batch * shape.keyHeads * shape.keyLength)
      bytes += (rows - keyRows) * Double(shape.headDim + shape.valueDim) * float
    }
    return bytes
  }

  /// Float32 copies that live beside all else: of q and v with a shared query–key, which does not read k. Values that are
  /// repeated for every query head anyway are counted there. Copies to be hashed alone are given back before the output
  /// exists, which takes as much.
  private var upconvertedBytes: Double {
    guard configuration.sharedQueryKey, shape.precision != .float32 else { return 0 }
    func bytes(_ shape: [Int]) -> Double { shape.reduce(4) { $0 * Double($1) } }
    return bytes(shape.queryShape) + (shape.groupSize == 1 ? bytes(shape.valueShape) : 0)
  }

  /// Tiles, segments, and the tables of sorted tokens as rows and as keys; with masks of their own a word for every key
  /// that a tile meets. The forward schedule names every tile, the backward plan has an element for it.
  private func tableBytes(_ pass: PassKind) -> Double {
    let heads = Double(shape.batch * shape.queryHeads), hashes = Double(configuration.hashes)
    let index = Double(MemoryLayout<Int32>.stride), word = Double(MemoryLayout<UInt64>.stride)
    let tile = Double(MemoryLayout<TileList.QueryTile>.stride)
    let segment = Double(MemoryLayout<TileList.Segment>.stride)
    let (queries, keys) = (Double(shape.queryLength), Double(shape.keyLength))
    let visibleChunks = 1 + configuration.before + configuration.after
    let tiles: Double
    let met: Double
    if configuration.sharedQueryKey {
      let chunk = min(configuration.chunk, shape.queryLength)
      let lanes = TileList.lanes
      tiles = Double((shape.queryLength + chunk - 1) / chunk * ((chunk + lanes - 1) / lanes))
      met = min(keys, Double(visibleChunks * chunk))
    } else {
      let buckets = Double(rotations.sets.map(\.bucketCount).max() ?? 2)
      tiles = max(queries / Double(TileList.lanes), min(buckets, queries))
      met = keys / buckets
    }
    let drops = configuration.duplicates == .drop
    let masks = drops || (configuration.sharedQueryKey && configuration.sameBucketOnly) ? met * word : 0
    let segments =
      configuration.sharedQueryKey && (configuration.circular || masks == 0) ? Double(visibleChunks) : 1
    let planned = index + (pass == .backward ? Double(MemoryLayout<BackwardPlan.Element>.stride) : 0)
    return heads * hashes * (tiles * (tile + planned + segments * segment + masks) + (queries + keys) * index)
  }
}
