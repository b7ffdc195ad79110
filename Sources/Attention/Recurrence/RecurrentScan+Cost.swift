import AttentionCore
import CKernels
import Tensors

extension RecurrentScan {
  /// The closed-form cost of a pass: workspace is that of one thread, with the best instruction set.
  ///
  /// Of n tokens a forward pass needs `2·d·d_v` multiply-adds a token for the state and as many for reading it, less what a group of heads
  /// shares, and `(C + 1)/2·(d + d_v)` for the pairs within a chunk. A way back needs three times the pairs' (five products of which two
  /// are those of the way forward; d counts three times, d_v twice) and five products with states. `decode` is one token against the state,
  /// which is among what it reads and writes; keys and values of earlier tokens are not.
  ///
  /// The delta rule adds what solves for the values that are written, a key head and chunk of m tokens: `m(m − 1)/2·(2d + d_v)` for the
  /// products of keys and the two triangular solutions, and `m·d·d_v` for what the state holds; back `m(m − 1)/2·(3d + 2d_v)`, of which
  /// d are the products of keys once more, and `2·m·d·d_v`.
  func cost(of pass: PassKind, operands: [Operand]) -> Cost {
    let (needed, executed) = operations(of: pass)
    let stateBytes = Double(RecurrentState.byteCount(of: shape, recurrence))
    var read = shape
    if pass == .decode { (read.queryLength, read.keyLength, read.keyLengths) = (1, 1, nil) }
    let given = Cost.inputOutputBytes(of: pass, shape: read, operands: operands, hasLSE: false)
    return Cost(
      flops: 2 * needed, executedFlops: 2 * executed,
      workspaceBytes: Double(pass == .decode ? tokenWorkspaceBytes() : workspaceBytes(of: pass)),
      inputOutputBytes: given + (pass == .decode ? Double(shape.batch) * stateBytes : 0),
      stateBytes: stateBytes)
  }

  /// Multiply-adds that are needed and those that are executed: the delta rule makes the products of a key with itself too, and on its
  /// way back those of rows and keys twice, but where channels fade apart or every chunk is taken from its first step to its last. Pairs above the diagonal that lie in a register tile with
  /// others are not counted. Those of `decode` are needed ones.
  func operations(
    of pass: PassKind, in context: ExecutionContext = ExecutionContext(threads: 1)
  ) -> (needed: Double, executed: Double) {
    let (d, v, isDelta) = (shape.headDim, shape.valueDim, recurrence.isDelta)
    if pass == .decode {
      let steps = shape.batch * (shape.keyHeads * (isDelta ? 2 : 1) + shape.queryHeads) * d * v
      return (Double(steps), Double(steps))
    }
    var needed = 0, executed = 0
    for batch in 0..<shape.batch {
      for block in 0..<max(geometry.keyBlocks, geometry.queryBlocks) {
        let keys = block < geometry.keyBlocks ? geometry.keys(block, batch: batch).count : 0
        let rows = block < geometry.queryBlocks ? geometry.rows(block) : 0..<0
        let counts =
          pass == .backward
          ? backward(keys: keys, rows: rows, block, isTwice: !takesHeads(in: context) || shape.groupSize > 1)
          : forward(keys: keys, rows: rows, block)
        needed += counts.needed
        executed += counts.executed
      }
    }
    return (Double(needed), Double(executed))
  }

  /// Pairs of a chunk of which the key does not stand behind the row.
  private func pairs(keys: Int, rows: Range<Int>, _ block: Int) -> Int {
    guard shape.isCausal, keys > 0, !rows.isEmpty else { return 0 }
    return ChunkProducts.pairs(first: geometry.first(rows, block), rows: rows.count, keys: keys)
  }

  /// Pairs of keys among themselves, below the diagonal and on it.
  private func keyPairs(_ keys: Int) -> (needed: Int, all: Int) {
    (keys * (keys - 1) / 2, keys * (keys + 1) / 2)
  }

  private func forward(keys: Int, rows: Range<Int>, _ block: Int) -> (needed: Int, executed: Int) {
    let (d, v, heads, group) = (shape.headDim, shape.valueDim, shape.keyHeads, shape.groupSize)
    let state = d * v * (keys + group * rows.count), pairs = pairs(keys: keys, rows: rows, block)
    var needed = state + group * pairs * (d + v)
    var executed = needed
    if recurrence.isDelta, keys > 0 {
      let own = keyPairs(keys), solved = own.needed * (d + v), held = keys * d * v
      needed += held + solved + own.needed * d
      executed += held + solved + own.all * d
    }
    return (heads * needed, heads * executed)
  }

  private func backward(
    keys: Int, rows: Range<Int>, _ block: Int, isTwice: Bool
  ) -> (needed: Int, executed: Int) {
    let (d, v, heads, group) = (shape.headDim, shape.valueDim, shape.keyHeads, shape.groupSize)
    // The states' gradients by rows, q by rows, k and v by keys; with the delta rule not v, but what was written, erased and held.
    let state = d * v * (2 * group * rows.count + 2 * keys), pairs = pairs(keys: keys, rows: rows, block)
    var needed = state + group * pairs * (3 * d + 2 * v)
    var executed = needed
    if recurrence.isDelta {
      executed += isByChannel || !isTwice ? 0 : group * pairs * d
      guard keys > 0 else { return (heads * needed, heads * executed) }
      let own = keyPairs(keys), solved = own.needed * v, held = 2 * keys * d * v
      needed += held + solved + own.needed * (3 * d + v)
      executed += held + solved + own.all * (3 * d + v)
    }
    return (heads * needed, heads * executed)
  }

  /// What a pass allocates beyond its results, to the byte; a way back counts what the forward pass kept for it.
  func workspaceBytes(
    of pass: PassKind, in context: ExecutionContext = ExecutionContext(threads: 1)
  ) -> Int {
    let size = geometry.stateCount
    let blocks = shape.isCausal ? geometry.keyBlocks : geometry.queryBlocks + geometry.keyBlocks
    let rows = recurrence.normalizer == nil ? 0 : shape.lseShape.reduce(1, *)
    let tokens = geometry.heads * shape.keyLength
    let gates = isGated ? tokens * (factorCount + (recurrence.gate?.strength == .one ? 0 : 1)) : 0
    let delta = recurrence.isDelta ? tokens * (shape.headDim + shape.valueDim) : 0
    let kept = geometry.heads * (geometry.keyBlocks * (size + factorCount) + size) + rows + gates + delta
    let forward = kept + workers(geometry.keyBlocks, context) * ForwardLayout(self).count
    guard pass == .backward else { return 4 * forward }
    let backDelta = recurrence.isDelta ? tokens * (1 + shape.valueDim) : 0
    let slots =
      geometry.heads * ((takesHeads(in: context) ? 1 : geometry.queryBlocks) + 1) * size + gates + backDelta
    let skip = recurrence.skip == nil ? 0 : shape.queryHeads * (shape.batch * blocks + 1)
    return 4 * (kept + slots + skip + workers(blocks, context) * BackwardLayout(self).count)
  }
}
