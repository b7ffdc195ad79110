import Attention
import AttentionCore
import Tensors

/// The machine's limits, measured at the start of every session.
public enum MachinePeak {
  /// The fused multiply-add peak of a number of threads in GFLOP/s; `nil` when the instruction set is not available.
  /// - Complexity: a quarter of a second.
  public static func gflops(threads: Int, instructionSet: String) -> Double? { nil }

  /// The peak for a cell.
  public static func gflops(_ cell: Cell) throws -> Double? {
    gflops(threads: cell.threads, instructionSet: cell.instructionSet)
  }

  /// The memory bandwidth of a number of threads in GB/s.
  public static func bandwidth(threads: Int) -> Double? { nil }
}
