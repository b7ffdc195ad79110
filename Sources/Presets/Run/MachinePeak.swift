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

  /// Measures the peaks that a session needs, each with the bandwidth of its threads, which is that of all precisions. What an
  /// instruction set that is not available here would need is left out.
  /// - Complexity: about 0.5 s for each, and the time to fill what is read.
  static func measure(_ needs: [PeakNeed]) -> [EnvironmentRecord.Peak] {
    var bandwidths: [PeakNeed: Double] = [:]
    return needs.compactMap { need in
      guard let set = InstructionSet(rawValue: need.instructionSet), let gflops = gflops(need) else {
        return nil
      }
      let reading = PeakNeed(
        threads: need.threads, instructionSet: need.instructionSet, precision: .float32)
      let bandwidth =
        bandwidths[reading]
        ?? (try? MachineLimits.bandwidth(instructionSet: set, threads: need.threads, seconds: 0.25)).map {
          $0 / 1e9
        }
      bandwidths[reading] = bandwidth
      return EnvironmentRecord.Peak(
        threads: need.threads, instructionSet: need.instructionSet, precision: need.precision, gflops: gflops,
        bandwidth: bandwidth)
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
