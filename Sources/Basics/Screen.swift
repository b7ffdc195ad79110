import Foundation

/// The width that text for people is laid out in.
public enum Screen {
  /// Columns of a descriptor's screen: the variable COLUMNS, else the terminal, else 80.
  /// - Parameter descriptor: where the text goes; standard output when not said.
  /// - Returns: 40 to 1000 columns.
  public static func columns(of descriptor: Int32 = STDOUT_FILENO) -> Int {
    let given = ProcessInfo.processInfo.environment["COLUMNS"].flatMap { Int($0.trimmed) }
    if let given, given > 0 { return bounded(given) }
    var size = winsize()
    guard isatty(descriptor) == 1, ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
      return 80
    }
    return bounded(Int(size.ws_col))
  }

  /// In fewer columns than 40 nothing can be laid out, and a line of more than 1000 is read by no one.
  private static func bounded(_ columns: Int) -> Int { min(1000, max(40, columns)) }
}
