import Basics
import Foundation
import Synchronization

/// Standard output, where results go: what cannot be written there is an error like any other.
package enum StandardOutput {
  private static let problem = Mutex<String?>(nil)

  /// Writes bytes. After the first that cannot be written the rest is dropped: files are still written, and
  /// `check` says so in the end.
  ///
  /// A reader that has gone away (`attnlab list | head -1`) ends the program as it ends others: by SIGPIPE, without a word.
  package static func write(_ bytes: some Sequence<UInt8>) {
    guard problem.withLock({ $0 }) == nil else { return }
    switch Descriptor.write(bytes, to: STDOUT_FILENO) {
    case 0: return
    case EPIPE: Leftovers.clear(then: endByPipe)
    case let code: problem.withLock { $0 = String(cString: strerror(code)) }
    }
  }

  /// What went wrong since the last call; `nil`: nothing.
  package static func takeProblem() -> String? {
    // What variants of a user's own print goes through the C library.
    let flushed = fflush(nil) == 0 || errno == EBADF
    let reason = flushed ? nil : String(cString: strerror(errno))
    return problem.withLock { problem in
      defer { problem = nil }
      return problem ?? reason
    }
  }

  /// Gives the three standard streams a place when whoever started the program had closed them: else the next file
  /// that is opened would be standard output.
  package static func reserve() {
    for (descriptor, flags) in [
      (STDIN_FILENO, O_WRONLY), (STDOUT_FILENO, O_RDONLY), (STDERR_FILENO, O_RDONLY),
    ]
    where fcntl(descriptor, F_GETFD) < 0 {
      // The wrong way round: reading and writing fail there as they do when it is closed.
      _ = open("/dev/null", flags)
    }
  }

  private static func endByPipe() -> Never {
    _ = signal(SIGPIPE, SIG_DFL)
    var pipe = sigset_t()
    sigemptyset(&pipe)
    sigaddset(&pipe, SIGPIPE)
    pthread_sigmask(SIG_UNBLOCK, &pipe, nil)
    _ = raise(SIGPIPE)
    _exit(128 + SIGPIPE)
  }
}
