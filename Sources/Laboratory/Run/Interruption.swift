import Foundation
import Synchronization

/// Ctrl-C and termination signals while a run is going on: the running cell is stopped, finished rows stay.
public final class Interruption: Sendable {
  /// The one that signals reach, after `installSignals()`.
  public static let ofProcess = Interruption()

  private let requested = Atomic<Bool>(false)
  private let process = Atomic<Int32>(0)

  /// Creates one that no signal reaches.
  public init() {}

  /// Whether a signal came.
  public var isRequested: Bool { requested.load(ordering: .sequentiallyConsistent) }

  /// Lets SIGINT, SIGTERM and SIGHUP reach `ofProcess` from now on: also when whoever started the program had them
  /// blocked, as the threads of some runtimes have; not when they are to be ignored, as `nohup` wants of SIGHUP.
  public static func installSignals() {
    _ = ofProcess
    var heard = sigset_t()
    sigemptyset(&heard)
    for number in [SIGINT, SIGTERM, SIGHUP] {
      // Only atomics and kill(2): both may be used in a signal handler.
      let before = signal(number) { _ in Interruption.ofProcess.request() }
      if unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) {
        _ = signal(number, SIG_IGN)
      } else {
        sigaddset(&heard, number)
      }
    }
    pthread_sigmask(SIG_UNBLOCK, &heard, nil)
  }

  /// Asks the run to stop, as a signal does.
  public func request() {
    requested.store(true, ordering: .sequentiallyConsistent)
    let running = process.load(ordering: .sequentiallyConsistent)
    if running > 0 { _ = kill(running, SIGKILL) }
  }

  /// Names the process that must not outlive the run; `nil`: there is none.
  func watch(_ running: Int32?) {
    process.store(running ?? 0, ordering: .sequentiallyConsistent)
    if isRequested, let running { _ = kill(running, SIGKILL) }
  }
}
