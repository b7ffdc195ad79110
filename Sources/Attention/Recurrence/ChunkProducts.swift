import CKernels
import Synchronization

/// Multiply-adds of products, as they are done: what a closed form is checked against.
final class ProductCount: Sendable {
  private let count = Atomic(0)
  func add(_ more: Int) { count.add(more, ordering: .relaxed) }
  var value: Int { count.load(ordering: .relaxed) }
}

/// Products of the small matrices of a chunk on the packed kernels; whoever calls brings the room.
///
/// The left side is packed in groups of rows, the right side in panels of columns (`attn_gemm_pack_a`, `attn_gemm_pack_b`): what is
/// packed once can be multiplied several times.
struct ChunkProducts: Sendable {
  let isa: Int32
  private let tileRows: Int, tileColumns: Int
  private let count: ProductCount?

  init(isa: Int32, count: ProductCount? = nil) {
    (self.isa, self.count) = (isa, count)
    tileRows = Int(attn_gemm_tile_rows(isa))
    tileColumns = Int(attn_gemm_tile_columns(isa))
  }

  /// Floats of a packed left side.
  func leftCount(rows: Int, depth: Int) -> Int { (rows + tileRows - 1) / tileRows * tileRows * depth }
  /// Floats of a packed right side.
  func rightCount(columns: Int, depth: Int) -> Int {
    (columns + tileColumns - 1) / tileColumns * tileColumns * depth
  }

  /// A matrix as it lies: element (i, j) stands at `i·strides.0 + j·strides.1`.
  struct Matrix {
    var base: UnsafePointer<Float>
    var strides: (Int, Int)

    /// Rows that are `stride` apart.
    init(_ base: UnsafePointer<Float>, stride: Int) { (self.base, strides) = (base, (stride, 1)) }

    private init(_ base: UnsafePointer<Float>, strides: (Int, Int)) {
      (self.base, self.strides) = (base, strides)
    }

    /// Rows and columns exchanged.
    var transposed: Matrix { Matrix(base, strides: (strides.1, strides.0)) }
  }

  /// Packs a left side `[rows, depth]`.
  func packLeft(_ a: Matrix, rows: Int, depth: Int, to target: UnsafeMutablePointer<Float>) {
    attn_gemm_pack_a(isa, a.base, a.strides.0, a.strides.1, rows, depth, target)
  }

  /// Packs a right side `[depth, columns]`.
  func packRight(_ b: Matrix, columns: Int, depth: Int, to target: UnsafeMutablePointer<Float>) {
    attn_gemm_pack_b(isa, b.base, b.strides.1, b.strides.0, columns, depth, target)
  }

  /// `C (+)= A·B` of packed sides, C `[rows, columns]` with rows `stride` apart.
  func multiply(
    _ left: UnsafePointer<Float>, _ right: UnsafePointer<Float>, into c: UnsafeMutablePointer<Float>,
    stride: Int, rows: Int, columns: Int, depth: Int, adds: Bool = false
  ) {
    guard rows > 0, columns > 0 else { return }
    tally(rows * columns * depth)
    attn_gemm_block(isa, left, right, c, stride, rows, columns, depth, 1, adds ? UnsafePointer(c) : nil, nil)
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
