import AttentionCore
import CKernels
import Tensors

/// The gradients of decays and strengths that are data.
extension ScanBackward {
  /// Zeros for the sums of a piece.
  func clearGates(_ piece: Piece) {
    let keys = piece.keys.count
    (piece.base + layout.strengthGradient).update(repeating: 0, count: keys)
    doubles(piece, layout.logGradient).update(repeating: 0, count: keys)
    doubles(piece, layout.positions).update(repeating: 0, count: keys)
  }

  /// What the reading of the state before the chunk says of the decays up to every row. dQ holds that part alone.
  func noteReading(
    _ piece: Piece, _ read: ChunkProducts.Matrix, _ gradient: UnsafePointer<Float>
  ) {
    let d = shape.headDim, base = piece.base, rows = piece.rows.count
    let inner = base + layout.inner, positions = doubles(piece, layout.positions)
    attn_scan_dots(isa, read.base, read.stride, gradient, d, inner, 0, rows, d)
    for row in 0..<rows {
      positions[min(piece.first + row, piece.keys.count - 1)] += Double(inner[row])
    }
  }

  /// What pairs within the chunk say of the decays between them, and of the strengths: scores hold `e^{G_i − G_j} q_i·k_j`, slopes
  /// their gradient.
  func noteCrossings(_ piece: Piece, _ strengths: UnsafePointer<Float>) {
    let base = piece.base, rows = piece.rows.count, keys = piece.keys.count
    let terms = base + layout.crossings
    attn_scan_fade(isa, base + layout.slopes, base + layout.scores, terms, piece.first, rows, keys)
    if !scan.recurrence.isDelta {
      attn_column_sums(isa, terms, base + layout.strengthGradient, rows, keys, keys)
      ChunkDecays.scale(terms, rows: rows, by: strengths, keys: keys, isa: isa)
    }
    if countsCrossingsOnce(piece) { return }
    attn_scan_crossings(
      isa, terms, piece.first, rows, keys, doubles(piece, layout.logGradient))
  }

  /// Whether products of rows and keys and those of keys cross the same tokens, and wait for each other.
  func countsCrossingsOnce(_ piece: Piece) -> Bool {
    scan.recurrence.isDelta && shape.groupSize == 1 && piece.first == 0 && !piece.rows.isEmpty
      && piece.rows.count == piece.keys.count
  }

  /// The gradients of the decays and strengths of a chunk: sums of what crosses a key, without differences.
  func writeGates(_ piece: Piece, _ decays: ChunkDecays) {
    guard let logGradient, let strengthGradient, let strengths = strengths(piece) else { return }
    let base = piece.base, keys = piece.keys.count, size = geometry.stateCount, start = place(piece)
    let dots = base + layout.stateDots, logs = doubles(piece, layout.logGradient)
    var through: Float = 0
    if let state = piece.state, let gradient = piece.stateGradient {
      attn_scan_dots(isa, state, size, gradient, size, &through, 0, 1, size)
    }
    let whole = Double(decays.total) * Double(through), positions = doubles(piece, layout.positions)
    var before = 0.0, behind = 0.0
    for key in 0..<keys {
      logs[key] += whole + before
      before += Double(dots[key]) * Double(strengths[key])
    }
    for key in (0..<keys).reversed() {
      behind += positions[key]
      logGradient[start + key] = Float(logs[key] + behind)
      strengthGradient[start + key] =
        scan.recurrence.isDelta
        ? base[layout.deltaStrength + key] : base[layout.strengthGradient + key] + dots[key]
    }
  }
}
