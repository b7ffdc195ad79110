/// Order statistics by linear interpolation between neighbours (type 7 of Hyndman and Fan, 1996).
public enum Quantiles {
  /// The value at a fraction of sorted values; NaN of none. A fraction outside 0 … 1 is taken as the nearer end.
  /// - Precondition: the values rise.
  /// - Complexity: O(1).
  public static func ofSorted(_ values: [Double], _ fraction: Double) -> Double {
    guard let last = values.last else { return .nan }
    let position = min(max(fraction, 0), 1) * Double(values.count - 1)
    let lower = Int(position)
    guard lower + 1 < values.count else { return last }
    return values[lower] + (position - Double(lower)) * (values[lower + 1] - values[lower])
  }

  /// The value at a fraction of values in any order; NaN of none.
  /// - Complexity: O(n log n).
  public static func of(_ values: [Double], _ fraction: Double) -> Double {
    ofSorted(values.sorted(), fraction)
  }

  /// The middle value, or the mean of the two middle ones; NaN of none.
  /// - Complexity: O(n log n).
  public static func median(_ values: [Double]) -> Double { of(values, 0.5) }
}
