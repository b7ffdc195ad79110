import Foundation

/// Standard error: progress, warnings, complaints. Results go to standard output by `print`.
public enum Terminal {
  /// Whether standard error is a terminal: progress bars are drawn only there.
  public static let isInteractive = isatty(STDERR_FILENO) == 1

  /// Prints one line on standard error.
  public static func complain(_ line: String) { write(line + "\n") }

  /// Prints one line on standard error; for progress that is worth keeping.
  public static func note(_ line: String) { write((isInteractive ? "\r\u{1B}[K" : "") + line + "\n") }

  /// Shows a line that the next one replaces; nothing when standard error is no terminal.
  public static func progress(_ line: String) {
    if isInteractive { write("\r\u{1B}[K" + line) }
  }

  /// Removes the last `progress` line.
  public static func clearProgress() {
    if isInteractive { write("\r\u{1B}[K") }
  }

  private static func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}
