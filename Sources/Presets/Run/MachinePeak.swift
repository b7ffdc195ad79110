import Tensors

/// A peak that rates are fractions of: of what threads multiply with an instruction set.
public struct PeakNeed: Hashable, Sendable {
  /// Threads.
  public let threads: Int
  /// The instruction set.
  public let instructionSet: String
  /// What is multiplied.
  public let precision: Precision

  /// Creates a need.
  public init(threads: Int, instructionSet: String, precision: Precision) {
    (self.threads, self.instructionSet, self.precision) = (threads, instructionSet, precision)
  }
}

/// The machine's limits, measured at the start of every session: what fractions are fractions of.
public enum MachinePeak {
  /// Measures the limits of a number of threads; `nil` when the instruction set is not available here.
  /// - Parameters:
  ///   - threads: how many work at once.
  ///   - instructionSet: the name of one.
  ///   - seconds: about how long it may take.
  public static func measure(threads: Int, instructionSet: String, seconds: Double = 1) -> MachineLimits? {
    guard let set = InstructionSet(rawValue: instructionSet), InstructionSet.available.contains(set) else {
      return nil
    }
    return try? MachineLimits.measure(instructionSet: set, threads: threads, seconds: seconds)
  }

  /// The peak of multiply-adds of bfloat16 pairs in GFLOP/s; `nil` where there is no instruction for them.
  public static func bfloat16Gflops(threads: Int, instructionSet: String, seconds: Double = 0.25) -> Double? {
    guard let set = InstructionSet(rawValue: instructionSet), set.hasBFloat16Products else { return nil }
    return MachineLimits.peakFlops(
      instructionSet: set, threads: threads, seconds: seconds, precision: .bfloat16) / 1e9
  }

  /// Measures a peak; `nil` when the instruction set is not available here.
  static func measure(_ need: PeakNeed) -> EnvironmentRecord.Peak? {
    let found = measure(threads: need.threads, instructionSet: need.instructionSet)
    return found.map { found in
      EnvironmentRecord.Peak(
        threads: need.threads, instructionSet: need.instructionSet, precision: need.precision,
        gflops: need.precision == .float32 ? found.peakFlopsAllThreads / 1e9 : gflops(need) ?? 0,
        bandwidth: found.bandwidthAllThreads / 1e9)
    }
  }

  /// The peak in GFLOP/s of what is multiplied.
  public static func gflops(_ need: PeakNeed) -> Double? {
    switch need.precision {
    case .float32: gflops(threads: need.threads, instructionSet: need.instructionSet)
    case .bfloat16: bfloat16Gflops(threads: need.threads, instructionSet: need.instructionSet)
    }
  }

  /// The fused multiply-add peak in GFLOP/s.
  public static func gflops(threads: Int, instructionSet: String) -> Double? {
    // The peak alone: the bandwidth needs memory that no cache holds, and nobody asks for it here.
    guard let set = InstructionSet(rawValue: instructionSet), InstructionSet.available.contains(set) else {
      return nil
    }
    return MachineLimits.peakFlops(instructionSet: set, threads: threads, seconds: 0.2) / 1e9
  }
}
