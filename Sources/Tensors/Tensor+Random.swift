import Basics

extension Tensor {
  /// A tensor of independent draws from [0, 1); row-major, so the values depend on key and shape alone.
  /// - Throws: `MemoryLimitExceeded` when the ledger refuses.
  public static func uniform(
    _ shape: [Int], key: RandomKey, ledger: MemoryLedger? = nil
  ) throws(MemoryLimitExceeded) -> Tensor {
    var tensor = try Tensor(uninitialized: shape, ledger: ledger)
    let count = tensor.count
    var generator = key.generator()
    let view = tensor.pinnedForWriting()
    // The largest float below 1: rounding up would leave the interval.
    for index in 0..<count { view[index] = min(Float(generator.uniform()), 1 - Float.ulpOfOne / 2) }
    return tensor
  }

  /// A tensor of independent N(0, σ²) draws; row-major, so the values depend on key and shape alone.
  /// - Throws: `MemoryLimitExceeded` when the ledger refuses.
  public static func normal(
    _ shape: [Int], key: RandomKey, standardDeviation: Double = 1, ledger: MemoryLedger? = nil
  ) throws(MemoryLimitExceeded) -> Tensor {
    var tensor = try Tensor(uninitialized: shape, ledger: ledger)
    let count = tensor.count
    var generator = key.generator()
    let view = tensor.pinnedForWriting()
    for index in 0..<count { view[index] = Float(standardDeviation * generator.normal()) }
    return tensor
  }
}
