/// How a cell ended. Failure is data: every cell leaves a row.
public enum MeasurementStatus: String, CaseIterable, Hashable, Sendable {
  /// Measured.
  case ok
  /// The memory limit would have been, or was, passed.
  case outOfMemory = "out_of_memory"
  /// The time limit was passed.
  case timeout
  /// The process died of what it did.
  case crashed
  /// Somebody else ended the process, twice: no result, and measured again by the same command.
  case killed
  /// The variant's result is not what its oracle defines; no number is given.
  case failedCheck = "failed_check"
  /// The variant does not exist at this shape, or the instruction set is not available here.
  case unsupported
  /// Anything else that went wrong; the reason says what.
  case error
}
