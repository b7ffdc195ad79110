import CKernels

/// The few Double vector operations of the naive reference, over parts of arrays.
///
/// They exist so that the reference can index plain arrays and still finish in a debug build: the loops are in C, term by term.
public enum DoubleVectors {
  /// Rows of `count` elements in an array: row n begins at `start + n · step`. A step of 0 is the same row again and again.
  public struct Rows: Sendable {
    /// The array.
    public let array: [Double]
    /// The first element of row 0.
    public let start: Int
    /// Elements from a row to the next.
    public let step: Int
    /// Elements of a row.
    public let count: Int

    /// Names rows.
    /// - Parameters:
    ///   - array: the array.
    ///   - start: the first element of row 0.
    ///   - step: elements from a row to the next.
    ///   - count: elements of a row.
    public init(_ array: [Double], from start: Int, step: Int, count: Int) {
      (self.array, self.start, self.step, self.count) = (array, start, step, count)
    }
  }

  /// `Σ a_t b_t` and `Σ |a_t b_t|` over `count` elements from the given starts.
  /// - Precondition: both parts lie inside their arrays.
  public static func dot(
    _ a: [Double], _ aStart: Int, _ b: [Double], _ bStart: Int, count: Int
  ) -> (sum: Double, magnitude: Double) {
    check(a.count, aStart, count)
    check(b.count, bStart, count)
    var row = 0, sum = 0.0, magnitude = 0.0
    attn_reference_dots(1, a, aStart, 0, b, bStart, 0, &row, 1, count, &sum, &magnitude)
    return (sum, magnitude)
  }

  /// `sums_n += factor · Σ_t a_t b_t` and `magnitudes_n += |factor| · Σ_t |a_t b_t|`, row after row.
  /// - Parameters:
  ///   - factor: on all of it.
  ///   - a: rows, as long as those of b.
  ///   - b: rows.
  ///   - rows: which rows of both.
  ///   - sums: a number a row.
  ///   - magnitudes: a number a row.
  /// - Precondition: all rows lie inside their arrays.
  public static func addDots(
    _ factor: Double, _ a: Rows, _ b: Rows, _ rows: [Int], to sums: inout [Double],
    _ magnitudes: inout [Double]
  ) {
    precondition(a.count == b.count && sums.count == rows.count && magnitudes.count == rows.count)
    check(a.array.count, a.start, a.step, rows, a.count)
    check(b.array.count, b.start, b.step, rows, b.count)
    attn_reference_dots(
      factor, a.array, a.start, a.step, b.array, b.start, b.step, rows, rows.count, a.count, &sums,
      &magnitudes)
  }

  /// `target_t += factor · source_t` over `count` elements; with `absolute`, of `|source_t|`.
  /// - Precondition: both parts lie inside their arrays.
  public static func add(
    _ factor: Double, _ source: [Double], _ sourceStart: Int, to target: inout [Double], _ targetStart: Int,
    count: Int, absolute: Bool = false
  ) {
    check(source.count, sourceStart, count)
    check(target.count, targetStart, count)
    var row = 0, one = 1.0
    attn_reference_add(
      factor, &one, source, sourceStart, 0, &target, targetStart, 0, &row, 1, count, absolute ? 1 : 0)
  }

  /// `target_t += factor · factors_n · source_t`, row after row.
  /// - Parameters:
  ///   - factors: a number a row.
  ///   - source: rows.
  ///   - rows: which rows of source and target.
  ///   - factor: on all of it.
  ///   - target: where it is added.
  ///   - start: the first element of row 0 of the target.
  ///   - step: elements from a row of the target to the next.
  ///   - absolute: whether it is `|source_t|` that is added.
  /// - Precondition: all rows lie inside their arrays.
  public static func addRows(
    _ factors: [Double], _ source: Rows, _ rows: [Int], times factor: Double = 1,
    to target: inout [Double], from start: Int, step: Int, absolute: Bool = false
  ) {
    precondition(factors.count == rows.count)
    check(source.array.count, source.start, source.step, rows, source.count)
    check(target.count, start, step, rows, source.count)
    attn_reference_add(
      factor, factors, source.array, source.start, source.step, &target, start, step, rows, rows.count,
      source.count, absolute ? 1 : 0)
  }

  private static func check(_ size: Int, _ start: Int, _ step: Int, _ rows: [Int], _ count: Int) {
    precondition(
      attn_reference_fits(size, start, step, rows, rows.count, count) != 0,
      "rows of \(count) elements from \(start) on, \(step) apart, do not lie in \(size)")
  }

  private static func check(_ size: Int, _ start: Int, _ count: Int) {
    precondition(start >= 0 && count >= 0 && start + count <= size, "\(start) + \(count) of \(size)")
  }
}
