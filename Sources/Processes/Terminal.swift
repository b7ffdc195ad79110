import Basics
import Foundation
import Synchronization

/// Standard error: progress, warnings, complaints. Results go to standard output.
///
/// What is written may quote files and arguments. So no control character in it reaches the terminal, and no line is
/// longer than `longest`, whatever a message was made of.
public enum Terminal {
  /// Whether standard error is a terminal: progress bars are drawn only there.
  public static let isInteractive = isatty(STDERR_FILENO) == 1

  /// Whether a `progress` line stands on the screen.
  private static let hasProgress = Atomic<Bool>(false)
  private static let isQuiet = Atomic<Bool>(false)

  /// From now on no progress is shown, neither as a bar nor as lines; warnings and complaints are.
  public static func silenceProgress() { isQuiet.store(true, ordering: .sequentiallyConsistent) }

  /// Prints one line on standard error, in the place of a `progress` line.
  public static func complain(_ line: String) { write(erasing() + safe(line) + "\n") }

  /// Prints one line on standard error; for what is worth keeping.
  public static func note(_ line: String) { complain(line) }

  /// Prints one line of progress that is worth keeping, unless progress is silenced.
  public static func report(_ line: String) {
    if !isQuiet.load(ordering: .sequentiallyConsistent) { complain(line) }
  }

  /// Shows a line that the next one replaces, cut where the screen ends; nothing when standard error is no terminal.
  public static func progress(_ line: String) {
    guard isInteractive, !isQuiet.load(ordering: .sequentiallyConsistent) else { return }
    let width = Screen.columns(of: STDERR_FILENO) - 1
    let shown = safe(line)
    hasProgress.store(true, ordering: .sequentiallyConsistent)
    write("\r\u{1B}[K" + (shown.count > width ? shown.prefix(width - 1) + "…" : shown))
  }

  /// Removes the last `progress` line.
  public static func clearProgress() { write(erasing()) }

  /// What removes a `progress` line, with what the terminal added to it, such as `^C`.
  private static func erasing() -> String {
    hasProgress.exchange(false, ordering: .sequentiallyConsistent) ? "\r\u{1B}[K" : ""
  }

  /// The longest line that is written, in Unicode scalars; of a longer one the middle is left out.
  public static let longest = 4000

  /// A line as a terminal may be given it.
  public static func safe(_ line: String) -> String {
    let scalars = line.unicodeScalars
    guard scalars.count > longest else { return visible(line, keepingLineBreaks: true) }
    let tail = longest / 4
    let kept = String(scalars.prefix(longest - tail)) + " … " + String(scalars.suffix(tail))
    return visible(kept, keepingLineBreaks: true)
  }

  /// A run whose terminal is gone, or whose log fills the disk, goes on: its results are elsewhere.
  private static func write(_ text: String) { _ = Descriptor.write(text.utf8, to: STDERR_FILENO) }
}

/// Bytes into an open descriptor.
public enum Descriptor {
  /// Writes all of the bytes.
  /// - Returns: 0, or the system's error number: the rest was not written.
  public static func write(_ bytes: some Sequence<UInt8>, to descriptor: Int32) -> Int32 {
    let bytes = Array(bytes)
    var done = 0
    while done < bytes.count {
      let count = bytes[done...].withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if count >= 0 {
        done += count
        continue
      }
      switch errno {
      case EINTR: continue
      case EAGAIN:
        // Whoever shares the descriptor made it non-blocking.
        var room = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = poll(&room, 1, -1)
      default: return errno
      }
    }
    return 0
  }
}
