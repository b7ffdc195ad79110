import Foundation

/// Ends this process when the one that started it is gone: a runner that is killed leaves no cell behind.
public enum ParentWatch {
  /// The environment variable in which the runner tells a cell its process number.
  public static let variable = "ATTNLAB_RUNNER"

  /// Starts watching when a runner started this process.
  ///
  /// `PR_SET_PDEATHSIG` would fire when the *thread* that started the cell ends, which a thread pool does at will;
  /// looking at the parent's number five times a second costs nothing and works on every system.
  public static func begin() {
    guard let runner = ProcessInfo.processInfo.environment[variable].flatMap({ Int32($0) }) else { return }
    let thread = Thread {
      while getppid() == runner { usleep(200_000) }
      // What this process started goes with it, if it leads a group of its own.
      if getpgrp() == getpid() { kill(0, SIGKILL) }
      kill(getpid(), SIGKILL)
    }
    thread.start()
  }
}
