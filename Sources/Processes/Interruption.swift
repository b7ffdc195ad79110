import Basics
import Foundation
import Synchronization

/// The signals by which users, terminals and schedulers end a program, and what it makes of them.
///
/// A program that has nothing to save ends at once, with nothing half-written. One that runs cells or trainings takes a
/// signal for a request: it stops its cell or saves its training, and ends with `Interrupted`.
public final class Interruption: Sendable {
  /// The one that signals reach, after `listen()`.
  public static let ofProcess = Interruption()

  /// The exit code of an interrupted program.
  public static let exitCode: Int32 = 130

  /// Ctrl-C, termination, a lost terminal, and the two that schedulers send as a warning before they kill.
  public static let signals = [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2]

  /// Those two: more time is not given, but the same command may go on later.
  private static let warnings = [SIGUSR1, SIGUSR2]

  private let requested = Atomic<Bool>(false)
  private let cause = Atomic<Int32>(0)
  private let process = Atomic<Int32>(0)
  private let isAnswered = Atomic<Bool>(false)
  /// What this rank of MPI says when a signal comes.
  private let rankLine = Mutex<String?>(nil)

  /// Creates one that no signal reaches.
  public init() {}

  /// Whether a signal came.
  public var isRequested: Bool { requested.load(ordering: .sequentiallyConsistent) }

  /// Whether what came first was the warning of a scheduler.
  public var isWarning: Bool { Self.warnings.contains(cause.load(ordering: .sequentiallyConsistent)) }

  /// Where the signal handler writes a byte for every signal: its number.
  private static let bell = Atomic<Int32>(-1)

  /// From now on the signals reach `ofProcess`: also when whoever started the program had them blocked, as the threads
  /// of some runtimes have; not when they are to be ignored, as `nohup` wants of SIGHUP.
  ///
  /// A handler may neither lock nor allocate, so it only wakes a thread that may. (Blocking the signals and waiting for
  /// them would not do: the thread of swift-subprocess that waits for children unblocks all of them.) A file that may
  /// grow no further (SIGXFSZ) is an error of the write, not the end of the process; so is a pipe that nobody reads
  /// (SIGPIPE).
  public static func listen() {
    _ = signal(SIGXFSZ, SIG_IGN)
    _ = signal(SIGPIPE, SIG_IGN)
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { return }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    bell.store(ends[1], ordering: .sequentiallyConsistent)
    let reader = ends[0]
    Thread {
      var byte: UInt8 = 0
      while true {
        if read(reader, &byte, 1) == 1 { ofProcess.hear(Int32(byte)) }
      }
    }.start()
    var heard = sigset_t()
    sigemptyset(&heard)
    for number in signals where handle(number) { sigaddset(&heard, number) }
    pthread_sigmask(SIG_UNBLOCK, &heard, nil)
  }

  /// Installs the handler; `false` for a signal that is to be ignored.
  private static func handle(_ number: Int32) -> Bool {
    let before = signal(number) { number in
      // Only write(2) and atomics: a signal may come anywhere.
      let code = errno
      var byte = UInt8(truncatingIfNeeded: number)
      _ = write(Interruption.bell.load(ordering: .sequentiallyConsistent), &byte, 1)
      errno = code
    }
    guard unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) else { return true }
    _ = signal(number, SIG_IGN)
    return false
  }

  /// From now on a signal that is no warning is said to be mpirun's: it sends one to all ranks when one has ended, and kills those
  /// that are still there a second later. So every rank says in one line why it ends, also one that would finish its step first.
  /// - Parameter rank: which of the ranks this process is, such as `rank 0 of 3`.
  public func tellsAs(_ rank: String) {
    rankLine.withLock { $0 = "\(rank): interrupted, as mpirun does when another rank has ended" }
  }

  private func hear(_ number: Int32) {
    let line = rankLine.withLock { $0 }
    if isAnswered.load(ordering: .sequentiallyConsistent) {
      if let line, !isRequested, !Self.warnings.contains(number) { Terminal.complain(line) }
      return request(number)
    }
    Leftovers.clear {
      Terminal.complain(line ?? "attnlab: interrupted")
      _exit(Self.exitCode)
    }
  }

  /// From now on a signal is a request that the run answers when it can.
  public func answersBetweenSteps() { isAnswered.store(true, ordering: .sequentiallyConsistent) }

  /// From now on a signal ends the process at once; one that came before is answered here.
  /// - Throws: `Interrupted`.
  public func endsAtOnce() throws(Interrupted) {
    isAnswered.store(false, ordering: .sequentiallyConsistent)
    if isRequested { throw Interrupted() }
  }

  /// Asks the run to stop, as a signal does.
  /// - Parameter number: the signal.
  public func request(_ number: Int32 = SIGINT) {
    _ = cause.compareExchange(expected: 0, desired: number, ordering: .sequentiallyConsistent)
    requested.store(true, ordering: .sequentiallyConsistent)
    Leftovers.endChild(process.load(ordering: .sequentiallyConsistent))
  }

  /// Names the child that is ended by a request; `nil`: there is none.
  package func watch(_ running: Int32?) {
    process.store(running ?? 0, ordering: .sequentiallyConsistent)
    if isRequested, let running { Leftovers.endChild(running) }
  }
}
