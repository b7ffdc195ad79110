import Basics
import RealModule
import Tensors

/// Uniform symbols from [1, vocabulary − 1).
func symbols(_ count: Int, vocabulary: Int, _ generator: inout RandomGenerator) -> [Int32] {
  (0..<count).map { _ in Int32(1 + generator.integer(below: vocabulary - 2)) }
}

/// Distinct uniform draws from a range, in random order.
/// - Complexity: O(count), whatever the range (Floyd's algorithm, then a shuffle).
func distinct(_ count: Int, in range: Range<Int>, _ generator: inout RandomGenerator) -> [Int] {
  precondition(count <= range.count, "\(count) distinct numbers of \(range)")
  var chosen = Set<Int>(minimumCapacity: count)
  var order: [Int] = []
  order.reserveCapacity(count)
  for last in (range.count - count)..<range.count {
    let draw = generator.integer(below: last + 1)
    let member = chosen.insert(draw).inserted ? draw : last
    chosen.insert(member)
    order.append(range.lowerBound + member)
  }
  order.shuffle(using: &generator)
  return order
}

/// Indices drawn one after another without replacement, each with probability ∝ its weight among those left.
///
/// The `count` smallest of eᵢ/wᵢ with eᵢ ~ Exp(1), in increasing order, have exactly this law (Efraimidis and
/// Spirakis 2006); NumPy's `choice(replace=False, p=w)`, by redrawing duplicates, has it too.
/// - Complexity: O(n log n).
func successiveSample(_ count: Int, weights: [Double], _ generator: inout RandomGenerator) -> [Int] {
  precondition(count <= weights.count, "\(count) draws from \(weights.count)")
  let clocks = weights.map { -Double.log(1 - generator.uniform()) / $0 }
  return Array(clocks.indices.sorted { clocks[$0] < clocks[$1] }.prefix(count))
}

/// An index with probability ∝ the increase of a cumulative sum.
/// - Complexity: O(log n).
func draw(cumulative: some RandomAccessCollection<Double>, _ generator: inout RandomGenerator) -> Int {
  guard let total = cumulative.last else { return 0 }
  let target = generator.uniform() * total
  var low = 0, high = cumulative.count - 1
  while low < high {
    let middle = (low + high) / 2
    if cumulative[cumulative.index(cumulative.startIndex, offsetBy: middle)] > target {
      high = middle
    } else {
      low = middle + 1
    }
  }
  return low
}
