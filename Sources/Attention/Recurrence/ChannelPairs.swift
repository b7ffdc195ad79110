import CKernels

/// How the pairs of a chunk are cut where channels fade apart: squares of rows behind keys, halved again and again, and few tokens at
/// the diagonal.
///
/// A square's rows fade from its middle on, its keys up to it: two factors of at most 1, so nothing overflows, and the pairs are a
/// product of matrices. A chunk of 64 tokens has squares of 32, 16 and 8 tokens.
struct ChannelBlocks: Sendable {
  /// Tokens at the diagonal whose decays are multiplied up one after the other.
  static let base = 8

  /// Rows `middle..<end` and keys `start..<middle`.
  struct Square: Sendable {
    var start: Int, middle: Int, end: Int
  }

  private(set) var squares: [Square] = []
  private(set) var bases: [Range<Int>] = []

  init(chunk: Int) { cut(0..<chunk) }

  private mutating func cut(_ range: Range<Int>) {
    guard range.count > Self.base else { return bases.append(range) }
    let half = (range.count + 1) / 2,
      middle = range.lowerBound + (half + Self.base - 1) / Self.base * Self.base
    squares.append(Square(start: range.lowerBound, middle: middle, end: range.upperBound))
    cut(range.lowerBound..<middle)
    cut(middle..<range.upperBound)
  }

  /// Multiply-adds of the products of pairs: those of squares are all needed, and so are those at the diagonal.
  /// - Parameters:
  ///   - first: where the first row stands.
  ///   - rows: how many there are.
  ///   - keys: how many there are.
  func pairs(first: Int, rows: Int, keys: Int) -> Int {
    var count = 0
    for square in squares {
      count +=
        max(0, min(square.end, first + rows) - max(square.middle, first))
        * max(0, min(square.middle, keys) - square.start)
    }
    for base in bases {
      for row in max(base.lowerBound, first)..<max(first, base.lowerBound, min(base.upperBound, first + rows))
      {
        count += max(0, min(row + 1, keys) - base.lowerBound)
      }
    }
    return count
  }
}

/// Products of the rows and keys of a chunk whose channels fade apart: `P_ij = Σ_c q_ic k_jc Π_{j < t ≤ i} a_tc`, and their way back.
///
/// All arrays are those of a chunk, `[tokens, d]` without gaps; P is `[rows, keys]` with rows `stride` apart. Gradients of log decays
/// are sums of what crosses a token, never differences.
/// - Complexity: O(rows·keys·d).
struct ChannelPairs {
  let blocks: ChannelBlocks, products: ChunkProducts, dim: Int
  /// What channels fade by before tokens; 1 of tokens behind the last key.
  let decays: UnsafePointer<Float>
  /// Where rows stand, and how many keys there are.
  let rows: Range<Int>, keys: Int
  let scratch: Scratch

  /// Room: rows and keys that have faded, results or transposed keys; back a few rows too.
  struct Scratch {
    var rows: UnsafeMutablePointer<Float>, keys: UnsafeMutablePointer<Float>
    var result: UnsafeMutablePointer<Float>, few: UnsafeMutablePointer<Float>? = nil
  }

  private var isa: Int32 { products.isa }

  /// The part of a square that exists: skipped rows, rows and keys; `nil` without any.
  private func part(_ square: ChannelBlocks.Square) -> (skip: Int, rows: Range<Int>, keys: Range<Int>)? {
    let first = max(square.middle, rows.lowerBound), last = min(square.end, rows.upperBound)
    let end = min(square.middle, keys)
    guard first < last, square.start < end else { return nil }
    return (first - square.middle, first..<last, square.start..<end)
  }

  private func part(_ base: Range<Int>) -> (skip: Int, count: Int, keys: Int)? {
    let first = max(base.lowerBound, rows.lowerBound), last = min(base.upperBound, rows.upperBound)
    guard first < last, base.lowerBound < keys else { return nil }
    return (first - base.lowerBound, last - base.lowerBound, min(base.upperBound, keys) - base.lowerBound)
  }

  /// Rows of a square, faded from its middle on.
  private func fadeRows(
    _ q: UnsafePointer<Float>, _ square: ChannelBlocks.Square,
    _ part: (skip: Int, rows: Range<Int>, keys: Range<Int>)
  ) {
    let place = square.middle * dim
    attn_scan_ahead(
      isa, q + place, decays + place, scratch.rows, part.skip, part.skip + part.rows.count, dim)
  }

  /// Keys of a square, faded up to its middle.
  private func fadeKeys(_ k: UnsafePointer<Float>, _ part: (skip: Int, rows: Range<Int>, keys: Range<Int>)) {
    let place = part.keys.lowerBound * dim
    attn_scan_behind(isa, k + place, decays + place, scratch.keys, part.keys.count, dim)
  }

  /// Writes P; 0 where a key stands behind a row.
  func write(
    _ q: UnsafePointer<Float>, _ k: UnsafePointer<Float>, to s: UnsafeMutablePointer<Float>, stride: Int
  ) {
    for row in 0..<rows.count { (s + row * stride).update(repeating: 0, count: keys) }
    for square in blocks.squares {
      guard let part = part(square) else { continue }
      fadeRows(q, square, part)
      fadeKeys(k, part)
      products.transpose(
        scratch.keys, stride: dim, rows: part.keys.count, columns: dim, to: scratch.result)
      products.multiply(
        .init(scratch.rows + part.skip * dim, stride: dim), scratch.result, part.keys.count,
        into: s + element(part, stride), stride: stride, rows: part.rows.count, columns: part.keys.count,
        depth: dim)
    }
    for base in blocks.bases {
      guard let part = part(base) else { continue }
      let place = base.lowerBound * dim
      attn_scan_pairs(
        isa, q + place, k + place, decays + place, s + element(base, part.skip, stride), stride, part.skip,
        part.count, part.keys, dim)
      products.tally(pairs(base, part) * dim)
    }
  }

  private func element(
    _ part: (skip: Int, rows: Range<Int>, keys: Range<Int>), _ stride: Int
  ) -> Int { (part.rows.lowerBound - rows.lowerBound) * stride + part.keys.lowerBound }

  private func element(_ base: Range<Int>, _ skip: Int, _ stride: Int) -> Int {
    (base.lowerBound + skip - rows.lowerBound) * stride + base.lowerBound
  }

  private func pairs(_ base: Range<Int>, _ part: (skip: Int, count: Int, keys: Int)) -> Int {
    (part.skip..<part.count).reduce(0) { $0 + min($1 + 1, part.keys) }
  }

  /// Adds the gradients of rows, keys and log decays from that of P, of which only pairs are read whose key does not stand behind
  /// their row. The gradients of rows and keys may be one array.
  func back(
    _ ds: UnsafePointer<Float>, stride: Int, _ q: UnsafePointer<Float>, _ k: UnsafePointer<Float>,
    dq: UnsafeMutablePointer<Float>, dk: UnsafeMutablePointer<Float>, dLogs: UnsafeMutablePointer<Float>
  ) {
    for square in blocks.squares {
      guard let part = part(square) else { continue }
      let (height, width) = (part.rows.count, part.keys.count)
      fadeRows(q, square, part)
      fadeKeys(k, part)
      let slopes = ChunkProducts.Matrix(ds + element(part, stride), stride: stride)
      products.multiply(
        slopes, scratch.keys, dim, into: scratch.result + part.skip * dim, stride: dim, rows: height,
        columns: dim, depth: width)
      let middle = square.middle * dim
      attn_scan_ahead_back(
        isa, scratch.result, decays + middle, q + middle, dq + middle, dLogs + middle, part.skip,
        part.skip + height, dim)
      products.multiply(
        slopes.transposed, scratch.rows + part.skip * dim, dim, into: scratch.result, stride: dim,
        rows: width,
        columns: dim, depth: height)
      let start = part.keys.lowerBound * dim
      attn_scan_behind_back(
        isa, scratch.result, decays + start, k + start, dk + start, dLogs + start, width, dim)
    }
    guard let few = scratch.few else { return }
    for base in blocks.bases {
      guard let part = part(base) else { continue }
      let place = base.lowerBound * dim
      attn_scan_pairs_back(
        isa, ds + element(base, part.skip, stride), stride, q + place, k + place, decays + place, dq + place,
        dk + place, dLogs + place, part.skip, part.count, part.keys, dim, few)
      products.tally(2 * pairs(base, part) * dim)
    }
  }
}
