import AttentionCore
import Basics
import CKernels
import Tensors

/// A recurrence as a scan over chunks.
///
/// With G the log decays summed within a chunk and H the state before it (Sᵀ, `[d, d_v]`):
/// `o_i = e^{G_i} q_i H + Σ_{j ≤ i} e^{G_i − G_j} (q_i·k_j) v_j` and `H' = e^{G_C} H + Σ_j e^{G_C − G_j} k_j v_jᵀ`.
///
/// Three passes: what every chunk adds to the state; the states before all chunks, by a scan over them; the outputs of every chunk.
/// The first and the last run over chunks, the second over rows of states, so a single long head keeps all threads busy, and every sum
/// has a fixed order. The way back is the same, from the states that were kept.
/// - Complexity: O(n·(C·(d + d_v) + d·d_v)) time; n/C states of d·d_v floats.
struct RecurrentScan: Sendable {
  let shape: AttentionShape
  let recurrence: Recurrence
  let geometry: ScanGeometry
  let blocks: ChannelBlocks
  /// Counts multiply-adds; `nil`: nobody does.
  var count: ProductCount?

  init(_ shape: AttentionShape, _ recurrence: Recurrence, chunk: Int = ScanGeometry.defaultChunk) {
    (self.shape, self.recurrence) = (shape, recurrence)
    geometry = ScanGeometry(shape, hasNormalizer: recurrence.normalizer != nil, chunk: chunk)
    blocks = ChannelBlocks(chunk: recurrence.isByChannel ? chunk : 0)
  }

  /// What a forward pass leaves for its way back.
  struct Kept: Sendable {
    /// The states before all chunks, `[heads, chunks, state]`.
    var states: Tensor
    /// What every chunk fades a state by, `[heads, chunks]`; with channels `[heads, chunks, headDim]`.
    var factors: Tensor
    /// The state behind all keys, `[heads, state]`.
    var last: Tensor
    /// 1/(z·q + ε), `[batch, queryHeads, queryLength]`; `nil` without a normaliser.
    var inverses: Tensor?
    /// With the delta rule, what was written in place of v, and what the state is multiplied by to be taken from it:
    /// `[batch, keyHeads, keys, valueDim]` and `[…, headDim]`.
    var written: Tensor?, erasing: Tensor?
    /// Padded rows whose outputs are not finite, as places in all rows.
    var overflowed: [Int]
  }

  /// Whether states fade.
  var fades: Bool {
    switch recurrence.decay {
    case .none: false
    case .fixed, .gated: true
    }
  }

  /// Whether decays and strengths are data.
  var isGated: Bool { recurrence.gate != nil }

  /// Whether channels fade apart.
  var isByChannel: Bool { recurrence.isByChannel }

  /// Whether rows of q and k are read where they lie, and their gradients written in place: then decays are times the scale of q.
  var readsInPlace: Bool {
    guard case .identity = recurrence.map else { return false }
    return !isByChannel && !recurrence.isDelta && recurrence.normalizer == nil
  }

  /// What decays are multiplied by.
  var fadingScale: Float { readsInPlace ? Float(recurrence.scale) : 1 }

  /// Whether rows of the state are multiplied by a number when they are read.
  var scalesRows: Bool { fades || readsInPlace }

  /// Whether products of a row and a key are multiplied by anything.
  var fadesPairs: Bool { fades || fadingScale != 1 }

  /// Whether pairs of a chunk fade as those of one next to it do: decays are no data, and as many rows and keys stand at the same places.
  func keepsDecays(of block: Int, from other: Int, batch: Int) -> Bool {
    if case .gated = recurrence.decay { return false }
    guard !recurrence.isDelta else { return false }
    let (rows, before) = (geometry.rows(block), geometry.rows(other))
    return rows.count == before.count && geometry.first(rows, block) == geometry.first(before, other)
      && geometry.keys(block, batch: batch).count == geometry.keys(other, batch: batch).count
  }

  /// Factors of a chunk that a state fades by: one, or one a row of it.
  var factorCount: Int { isByChannel ? shape.headDim : 1 }

  /// The code of the map of q and k, and its ε.
  var map: (code: Int32, epsilon: Float) {
    switch recurrence.map {
    case .identity: (Int32(ATTN_MAP_IDENTITY), 0)
    case .eluPlusOne: (Int32(ATTN_MAP_ELU), 0)
    case .unit(let epsilon): (Int32(ATTN_MAP_UNIT), Float(epsilon))
    }
  }

  /// The decays of the keys of a chunk.
  /// - Parameter logs: the log decays of these keys, where they are data.
  func decays(
    _ keyHead: Int, count: Int, logs: UnsafePointer<Float>?, isa: Int32, sums: UnsafeMutablePointer<Double>
  ) -> ChunkDecays {
    var sum = 0.0
    for key in 0..<count {
      switch recurrence.decay {
      case .none: break
      case .fixed(let fixed): sum = Double(key + 1) * fixed[keyHead]
      case .gated: sum += Double(logs?[key] ?? 0)
      }
      sums[key] = sum
    }
    return ChunkDecays(isa: isa, sums: sums, count: count)
  }

  // MARK: - The scan over states

  /// Rows of states that one piece of work takes through all chunks.
  static let rowsOfPiece = 8

  /// Replaces what chunks add by the states before them (or, in reverse, gradients by those behind them).
  /// - Parameters:
  ///   - running: the state before the first, `[heads, state]`; becomes the one behind the last.
  ///   - slots: what chunks add, `[heads, count, state]`.
  ///   - factors: what chunks fade a state by, `[heads, chunks]`, times headDim with channels; `nil`: nothing.
  ///   - reversed: from the last to the first.
  func scan(
    _ running: PinnedView<Float>, _ slots: PinnedView<Float>, count: Int, factors: PinnedView<Float>?,
    reversed: Bool, in context: ExecutionContext
  ) throws {
    let pieces = (shape.headDim + Self.rowsOfPiece - 1) / Self.rowsOfPiece
    try ScanLoop.forEach(count: geometry.heads * pieces, threads: context.threads) { index, _ in
      try context.checkCancellation()
      let first = index % pieces * Self.rowsOfPiece
      let rows = first..<min(first + Self.rowsOfPiece, shape.headDim)
      for turn in 0..<count {
        let block = reversed ? count - 1 - turn : turn
        step(
          index / pieces, block, block, rows: rows, running, slots, count: count, factors: factors,
          in: context)
      }
    }
  }

  /// A step of the scan: a slot takes some rows of the running state, which fades and takes what the slot had.
  /// - Parameters:
  ///   - head: among all heads.
  ///   - block: the chunk, whose factors these are.
  ///   - slot: among those of a head.
  ///   - rows: of the state.
  ///   - running: as of `scan`.
  ///   - slots: as of `scan`, `[heads, count, state]`.
  ///   - count: slots of a head.
  ///   - factors: as of `scan`.
  ///   - context: instruction set.
  func step(
    _ head: Int, _ block: Int, _ slot: Int, rows: Range<Int>, _ running: PinnedView<Float>,
    _ slots: PinnedView<Float>, count: Int, factors: PinnedView<Float>?, in context: ExecutionContext
  ) {
    let isa = context.instructionSet.code, dim = shape.valueDim, size = geometry.stateCount
    let own = running + head * size, slot = slots + (head * count + slot) * size, first = rows.lowerBound
    let place = head * geometry.keyBlocks + block
    if isByChannel, let factors {
      return attn_scan_step(
        isa, own + first * dim, slot + first * dim, factors + (place * shape.headDim + first), 1, rows.count,
        dim)
    }
    var factor = factors.map { $0[place] } ?? 1
    attn_scan_step(isa, own + first * dim, slot + first * dim, &factor, 0, rows.count, dim)
    guard geometry.hasNormalizer else { return }
    let sums = geometry.matrixCount + first
    attn_scan_step(isa, own + sums, slot + sums, &factor, 0, 1, rows.count)
  }
}

/// Where the parts of a worker's scratch begin: each on a cache line of its own.
struct ScratchLayout: Sendable {
  /// Floats of all parts.
  private(set) var count = 0

  /// Room for more floats.
  mutating func take(_ floats: Int) -> Int {
    defer { count += (floats + 15) / 16 * 16 }
    return count
  }
}
