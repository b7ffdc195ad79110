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
    let isa = context.instructionSet.code, dim = shape.valueDim, size = geometry.stateCount
    try Parallel.forEach(count: geometry.heads * pieces, threads: context.threads) { index, _ in
      try context.checkCancellation()
      let head = index / pieces, first = index % pieces * Self.rowsOfPiece
      let rows = min(Self.rowsOfPiece, shape.headDim - first), own = running + head * size
      for step in 0..<count {
        let block = reversed ? count - 1 - step : step
        let slot = slots + (head * count + block) * size
        if isByChannel, let factors {
          let place = (head * count + block) * shape.headDim + first
          attn_scan_step(isa, own + first * dim, slot + first * dim, factors + place, 1, rows, dim)
          continue
        }
        var factor = factors.map { $0[head * count + block] } ?? 1
        attn_scan_step(isa, own + first * dim, slot + first * dim, &factor, 0, rows, dim)
        guard geometry.hasNormalizer else { continue }
        let place = geometry.matrixCount + first
        attn_scan_step(isa, own + place, slot + place, &factor, 0, 1, rows)
      }
    }
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
