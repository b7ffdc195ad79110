import CKernels
import Synchronization

/// Multiply-adds of products, as they are done: what a closed form is checked against.
final class ProductCount: Sendable {
  private let count = Atomic(0)
  func add(_ more: Int) { count.add(more, ordering: .relaxed) }
  var value: Int { count.load(ordering: .relaxed) }
}

/// Products of the small matrices of a chunk, read where they lie.
///
/// Rows of the right side are vectors, elements of the left side are broadcast (`attn_chunk_product`): only a right side whose columns are
/// rows in memory is transposed before.
struct ChunkProducts: Sendable {
  let isa: Int32
  private let count: ProductCount?

  init(isa: Int32, count: ProductCount? = nil) { (self.isa, self.count) = (isa, count) }

  /// A left side as it lies.
  struct Matrix {
    var base: UnsafePointer<Float>
    var stride: Int
    var isTransposed = false

    /// Rows that are `stride` apart.
    init(_ base: UnsafePointer<Float>, stride: Int) { (self.base, self.stride) = (base, stride) }

    /// Rows and columns exchanged.
    var transposed: Matrix {
      var other = self
      other.isTransposed.toggle()
      return other
    }
  }

  /// Which part of a product there is, with rows that stand from `first` on among keys.
  enum Part {
    case whole
    /// Of a result `[rows, keys]` the keys up to a row's place.
    case lower(first: Int)
    /// The left side is 0 behind that place, or is the transpose of such a matrix.
    case byLower(first: Int), byLowerTransposed(first: Int)
  }

  /// What becomes of what stood there.
  enum Target: Int32 { case replaced = 0, added = 1, subtractedFrom = -1 }

  /// `C (+)= A·B`, C `[rows, columns]` with rows `stride` apart; B lies as it is read, rows of `[depth, columns]`.
  /// - Parameters:
  ///   - factors: one a row of A·B.
  ///   - ahead: what is fetched for later meanwhile.
  ///   - also: what else.
  func multiply(
    _ a: Matrix, _ b: UnsafePointer<Float>, _ bStride: Int, into c: UnsafeMutablePointer<Float>, stride: Int,
    rows: Int, columns: Int, depth: Int, _ part: Part = .whole, factors: UnsafePointer<Float>? = nil,
    target: Target = .replaced, ahead: attn_ahead = attn_ahead(), also: attn_ahead = attn_ahead()
  ) {
    guard rows > 0, columns > 0 else { return }
    let (code, first) =
      switch part {
      case .whole: (ATTN_WHOLE, 0)
      case .lower(let first): (ATTN_RESULT_LOWER, first)
      case .byLower(let first): (ATTN_LEFT_LOWER, first)
      case .byLowerTransposed(let first): (ATTN_LEFT_UPPER, first)
      }
    var product = attn_product(
      a: a.base, a_stride: a.stride, down: a.isTransposed ? 1 : 0, b: b, b_stride: bStride, c: c,
      c_stride: stride, rows: rows, columns: columns, depth: depth, factors: factors, adds: target.rawValue,
      part: Int32(code), first: first, ahead: ahead, also: also)
    attn_chunk_product(isa, &product)
    guard count != nil else { return }
    switch part {
    case .whole: tally(rows * columns * depth)
    case .lower(let first): tally(Self.pairs(first: first, rows: rows, keys: columns) * depth)
    case .byLower(let first): tally(Self.pairs(first: first, rows: rows, keys: depth) * columns)
    case .byLowerTransposed(let first): tally(Self.pairs(first: first, rows: depth, keys: rows) * columns)
    }
  }

  /// Pairs of rows, which stand from `first` on, and keys that do not stand behind them.
  static func pairs(first: Int, rows: Int, keys: Int) -> Int {
    (0..<rows).reduce(0) { $0 + min(keys, first + $1 + 1) }
  }

  /// y, `[columns, rows]` without gaps, from x, `[rows, columns]` with rows `stride` apart.
  /// - Parameter factors: what columns of x are multiplied by; `nil`: nothing.
  func transpose(
    _ x: UnsafePointer<Float>, stride: Int, rows: Int, columns: Int, factors: UnsafePointer<Float>? = nil,
    to y: UnsafeMutablePointer<Float>
  ) { attn_chunk_transpose(isa, x, stride, factors, y, rows, rows, columns) }

  /// A sum of rows of x, each times a number; no product that a closed form counts.
  func combine(
    _ factors: UnsafePointer<Float>, _ x: UnsafePointer<Float>, rows: Int, dim: Int,
    into y: UnsafeMutablePointer<Float>, target: Target = .replaced
  ) {
    var product = attn_product(
      a: factors, a_stride: rows, down: 0, b: x, b_stride: dim, c: y, c_stride: dim, rows: 1, columns: dim,
      depth: rows, factors: nil, adds: target.rawValue, part: Int32(ATTN_WHOLE), first: 0,
      ahead: attn_ahead(), also: attn_ahead())
    attn_chunk_product(isa, &product)
  }

  /// Counts multiply-adds.
  func tally(_ count: Int) { self.count?.add(count) }

  /// x ← (I + A)⁻¹ x, or (I + Aᵀ)⁻¹ x: A is the part of `a`, rows × rows without gaps, strictly below the diagonal.
  func solve(
    _ a: UnsafePointer<Float>, rows: Int, _ x: UnsafeMutablePointer<Float>, columns: Int,
    transposed: Bool = false
  ) {
    attn_scan_solve(isa, a, rows, x, columns, columns, transposed ? 1 : 0)
    tally(rows * (rows - 1) / 2 * columns)
  }
}
