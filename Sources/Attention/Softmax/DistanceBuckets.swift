import AttentionCore
import Settings
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A number that every head learns for every bucket of distances, added to scores.
///
/// Small distances have a bucket each, larger ones share buckets that grow geometrically up to `distance`, from which on all are in
/// the last. A causal shape has buckets for `i − j ≥ 0`; else half of them are for keys after the query.
/// - Source: Raffel et al., 2020, T5; buckets as Hugging Face's code computes them, in single precision.
struct DistanceBuckets: Sendable {
  let count: Int, distance: Int
  let isCausal: Bool

  /// The biases, `[heads, buckets]`.
  static func operand(count: Int) -> Operand {
    Operand(
      "position_bias", [.queryHeads, .fixed(count)], .learned(.normal(0.02)), isShared: true,
      help: "b, what a head adds to scores for every bucket of distances")
  }

  /// Checks the numbers.
  /// - Throws: `ConfigurationError`.
  static func validate(count: Int, distance: Int) throws(ConfigurationError) {
    guard count >= 4, count % 4 == 0 else {
      throw ConfigurationError(
        field: "bias_buckets", value: "\(count)",
        allowed: "a multiple of 4: half are for each side, and half of those for single distances")
    }
    guard distance > count / 2 else {
      throw ConfigurationError(
        field: "bias_distance", value: "\(distance)",
        allowed: "more than half of the \(count) buckets, which have a distance each")
    }
  }

  /// The bucket of `i − j`.
  func bucket(_ offset: Int) -> Int {
    let own = isCausal ? count : count / 2
    let first = !isCausal && offset < 0 ? own : 0
    let size = isCausal ? max(0, offset) : offset.magnitude.clamped
    let single = own / 2
    guard size >= single else { return first + size }
    let growth = Float(log(Double(distance) / Double(single)))
    let place = log(Float(size) / Float(single)) / growth * Float(own - single)
    return first + min(own - 1, single + Int(place))
  }

  /// The biases by distance, for the kernels.
  /// - Throws: `MemoryLimitExceeded`.
  func table(
    _ biases: Tensor, shape: AttentionShape, ledger: MemoryLedger?
  ) throws(MemoryLimitExceeded) -> DistanceBias {
    let values = biases.array()
    let byHead = (0..<shape.queryHeads).map { Array(values[$0 * count..<($0 + 1) * count]) }
    return try DistanceBias(byHead, shape: shape, ledger: ledger) { bucket($0) }
  }

  /// As the definition has it.
  func term(_ shape: AttentionShape) -> SoftmaxDefinition.Term {
    .own(BucketTerm(buckets: self, shape: shape))
  }
}

extension UInt {
  /// As a signed number.
  fileprivate var clamped: Int { Int(clamping: self) }
}

/// `b_h[bucket(i − j)]`.
private struct BucketTerm: PairTerm {
  let buckets: DistanceBuckets
  let shape: AttentionShape

  func row(_ row: DefinitionRow, _ inputs: DefinitionInputs) -> any PairTermRow {
    let name = DistanceBuckets.operand(count: buckets.count).name, start = row.head * buckets.count
    return Row(
      buckets: buckets, name: name, start: start, position: row.query + shape.queryOffset,
      biases: inputs.part(of: name, from: start, count: buckets.count))
  }

  struct Row: PairTermRow {
    let buckets: DistanceBuckets
    let name: Operand.Name
    let start: Int, position: Int
    let biases: DefinitionVector

    func value(key: Int) -> (sum: Double, magnitude: Double) {
      let bias = biases[buckets.bucket(position - key)]
      return (bias, bias.magnitude)
    }

    func addGradient(_ slopes: [PairSlope], into gradient: inout some DefinitionGradientCollector) {
      let one = DefinitionVector([1], from: 0, count: 1)
      for pair in slopes {
        let place = start + buckets.bucket(position - pair.key)
        gradient.add(to: name, at: place, pair.slope, one)
        gradient.addMagnitude(to: name, at: place, pair.size, one)
      }
    }
  }
}
