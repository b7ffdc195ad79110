import Tensors

/// The machine's limits, measured at the start of every session.
public enum MachinePeak {
  /// The fused multiply-add peak of a number of threads in GFLOP/s, or `nil` when the set is not available.
  public static func gflops(threads: Int, instructionSet: String) -> Double? { nil }

  /// The memory bandwidth of a number of threads in GB/s.
  public static func bandwidth(threads: Int) -> Double? { nil }
}
