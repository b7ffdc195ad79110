import Presets
import Tensors

extension MachinePeak {
  /// The peak for a cell in GFLOP/s: of what its pass multiplies.
  public static func gflops(_ cell: Cell) -> Double? {
    switch cell.productPrecision {
    case .float32: gflops(threads: cell.threads, instructionSet: cell.instructionSet)
    case .bfloat16: bfloat16Gflops(threads: cell.threads, instructionSet: cell.instructionSet)
    }
  }
}
