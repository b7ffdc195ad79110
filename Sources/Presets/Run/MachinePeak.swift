import Tensors

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

  /// The fused multiply-add peak in GFLOP/s.
  public static func gflops(threads: Int, instructionSet: String) -> Double? {
    // The peak alone: the bandwidth needs memory that no cache holds, and nobody asks for it here.
    guard let set = InstructionSet(rawValue: instructionSet), InstructionSet.available.contains(set) else {
      return nil
    }
    return MachineLimits.peakFlops(instructionSet: set, threads: threads, seconds: 0.2) / 1e9
  }
}
