import Attention
import Tensors

/// The machine's limits, measured at the start of every session: what fractions are fractions of.
public enum MachinePeak {
  /// Measures the limits of a number of threads; `nil` when the instruction set is not available here.
  /// - Parameter seconds: about how long it may take.
  public static func measure(threads: Int, instructionSet: String, seconds: Double = 1) -> Calibration? {
    guard let set = InstructionSet(rawValue: instructionSet), InstructionSet.available.contains(set) else {
      return nil
    }
    return try? Calibration.measure(
      instructionSet: set, threads: threads, seconds: seconds, bufferBytes: 128 << 20)
  }

  /// The fused multiply-add peak in GFLOP/s.
  public static func gflops(threads: Int, instructionSet: String) -> Double? {
    measure(threads: threads, instructionSet: instructionSet, seconds: 0.4).map {
      $0.peakFlopsAllThreads / 1e9
    }
  }

  /// The fused multiply-add peak for a cell in GFLOP/s.
  public static func gflops(_ cell: Cell) -> Double? {
    gflops(threads: cell.threads, instructionSet: cell.instructionSet)
  }
}
