import Foundation
import Synchronization

/// Ctrl-C and termination signals while a run is going on: the running cell is stopped, finished rows stay.
public final class Interruption: Sendable {
  /// The one that signals reach, after `installSignals()`.
  public static let ofProcess = Interruption()

  private let requested = Atomic<Bool>(false)
  private let process = Atomic<Int32>(0)
  private let endsAtOnce = Atomic<Bool>(false)

  /// Creates one that no signal reaches.
  public init() {}

  /// Whether a signal came.
  public var isRequested: Bool { requested.load(ordering: .sequentiallyConsistent) }

  /// Lets SIGINT, SIGTERM and SIGHUP reach `ofProcess` from now on: also when whoever started the program had them
  /// blocked, as the threads of some runtimes have; not when they are to be ignored, as `nohup` wants of SIGHUP.
  /// - Parameter atOnce: until `answersBetweenSteps()` a signal ends the process, which has nothing to save yet.
  public static func installSignals(atOnce: Bool = false) {
    ofProcess.endsAtOnce.store(atOnce, ordering: .sequentiallyConsistent)
    var heard = sigset_t()
    sigemptyset(&heard)
    for number in [SIGINT, SIGTERM, SIGHUP] {
      // Only atomics, write(2), _exit(2) and kill(2): these may be used in a signal handler.
      let before = signal(number) { _ in
        if Interruption.ofProcess.endsAtOnce.load(ordering: .sequentiallyConsistent) {
          endAtOnce()
        }
        Interruption.ofProcess.request()
      }
      if unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) {
        _ = signal(number, SIG_IGN)
      } else {
        sigaddset(&heard, number)
      }
    }
    pthread_sigmask(SIG_UNBLOCK, &heard, nil)
  }

  /// From now on a signal is a request that the run answers when it can.
  public static func answersBetweenSteps() {
    ofProcess.endsAtOnce.store(false, ordering: .sequentiallyConsistent)
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

/// What a signal handler may do to end the process as `Interrupted` would.
private func endAtOnce() {
  let line: StaticString = "attnlab: interrupted before anything was begun\n"
  _ = write(2, line.utf8Start, line.utf8CodeUnitCount)
  _exit(130)
}
