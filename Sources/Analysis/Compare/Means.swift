import Foundation

/// The geometric mean of positive values.
/// - Complexity: O(n).
func logMean(_ values: [Double]) -> Double { exp(values.reduce(0) { $0 + log($1) } / Double(values.count)) }
