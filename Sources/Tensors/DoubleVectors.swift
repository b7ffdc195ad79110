/// The few Double vector operations of the naive reference, over parts of arrays.
///
/// They exist so that the reference can index plain arrays and still finish in a debug build.
public enum DoubleVectors {
  /// `Σ a_t b_t` and `Σ |a_t b_t|` over `count` elements from the given starts.
  /// - Precondition: both parts lie inside their arrays.
  public static func dot(
    _ a: [Double], _ aStart: Int, _ b: [Double], _ bStart: Int, count: Int
  ) -> (sum: Double, magnitude: Double) {
    check(a.count, aStart, count)
    check(b.count, bStart, count)
    return a.withUnsafeBufferPointer { a in
      b.withUnsafeBufferPointer { b in
        var sum = 0.0
        var magnitude = 0.0
        var t = 0
        while t < count {
          let product = a[aStart + t] * b[bStart + t]
          sum += product
          magnitude += product.magnitude
          t += 1
        }
        return (sum, magnitude)
      }
    }
  }

  /// `target_t += factor · source_t` over `count` elements; with `absolute`, of `|source_t|`.
  /// - Precondition: both parts lie inside their arrays.
  public static func add(
    _ factor: Double, _ source: [Double], _ sourceStart: Int, to target: inout [Double], _ targetStart: Int,
    count: Int, absolute: Bool = false
  ) {
    check(source.count, sourceStart, count)
    check(target.count, targetStart, count)
    source.withUnsafeBufferPointer { source in
      target.withUnsafeMutableBufferPointer { target in
        var t = 0
        while t < count {
          let value = source[sourceStart + t]
          target[targetStart + t] += factor * (absolute ? value.magnitude : value)
          t += 1
        }
      }
    }
  }

  private static func check(_ size: Int, _ start: Int, _ count: Int) {
    precondition(start >= 0 && count >= 0 && start + count <= size, "\(start) + \(count) of \(size)")
  }
}
