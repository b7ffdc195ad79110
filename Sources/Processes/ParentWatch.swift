import Foundation

/// Ends this process when the one that started it is gone: a runner that is killed leaves no cell behind.
public enum ParentWatch {
  /// The environment variable in which the runner tells a cell its process number.
  public static let variable = "ATTNLAB_RUNNER"

  /// The environment variable in which a launcher of ranks tells them its process number: their parent is mpirun.
  private static let launcherVariable = "ATTNLAB_LAUNCHER"

  /// The environment of ranks that this process launches on its own machine.
  package static var ranks: [String: String] { [variable: "", launcherVariable: "\(getpid())"] }

  /// Starts watching when a runner started this process.
  ///
  /// `PR_SET_PDEATHSIG` would fire when the *thread* that started the cell ends, which a thread pool does at will;
  /// looking at the parent's number five times a second costs nothing and works on every system.
  public static func begin() {
    let environment = ProcessInfo.processInfo.environment
    let runner = environment[variable].flatMap { Int32($0) }
    let launcher = environment[launcherVariable].flatMap { Int32($0) }
    guard runner != nil || launcher != nil else { return }
    let thread = Thread {
      while runner.map({ getppid() == $0 }) ?? launcher.map({ kill($0, 0) == 0 }) ?? false {
        usleep(200_000)
      }
      // What this process started goes with it, if it leads a group of its own.
      if getpgrp() == getpid() { kill(0, SIGKILL) }
      kill(getpid(), SIGKILL)
    }
    thread.start()
  }
}
