import Foundation
import Subprocess

/// How the process of a cell ended, as far as it can be known.
package enum ProcessEnding: Hashable, Sendable {
  /// By itself.
  case exited(Int32)
  /// By a fault of its own: a bad access, an illegal instruction, an abort.
  case fault(Int32)
  /// By the system's out-of-memory killer.
  case outOfMemory
  /// By a signal that somebody else sent, or a limit that somebody else set: this says nothing of the cell.
  case fromOutside(String)

  /// Judges a child that this program's own watcher did not end.
  /// - Parameter killsOfSystem: how many processes the out-of-memory killer ended while the child ran; `nil` where the
  ///   system does not say.
  package init(_ status: TerminationStatus, killsOfSystem: Int?) {
    switch status {
    // What this program's handlers exit with.
    case .exited(Interruption.exitCode): self = .fromOutside("it was interrupted")
    case .exited(let code): self = .exited(code)
    case .signaled(SIGKILL) where (killsOfSystem ?? 0) > 0: self = .outOfMemory
    case .signaled(let number) where Self.faults.contains(number): self = .fault(number)
    case .signaled(let number): self = .fromOutside("signal \(number) ended it")
    }
  }

  /// The signals that a process earns by what it does; Swift's traps are among them.
  private static let faults: Set<Int32> = [
    SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS,
  ]
}

/// How many processes the system's out-of-memory killer has ended: in this process's control group, else anywhere.
package enum OutOfMemoryKills {
  /// The count now; `nil` where the system keeps none.
  package static func count() -> Int? {
    #if os(Linux)
      let groups = (try? String(contentsOfFile: "/proc/self/cgroup", encoding: .utf8)) ?? ""
      for file in files(groups: groups) {
        if let count = count(in: (try? String(contentsOfFile: file, encoding: .utf8)) ?? "") { return count }
      }
    #endif
    return nil
  }

  /// Where a count may stand: version 2 of control groups, version 1, the whole machine.
  /// - Parameter groups: `/proc/self/cgroup`; a container may see its group as the root.
  static func files(groups: String) -> [String] {
    var files: [String] = []
    for line in groups.split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let path = fields[2] == "/" ? "" : String(fields[2])
      if fields[1].isEmpty {
        files += ["/sys/fs/cgroup\(path)/memory.events", "/sys/fs/cgroup/memory.events"]
      } else if fields[1].split(separator: ",").contains("memory") {
        files += [
          "/sys/fs/cgroup/memory\(path)/memory.oom_control", "/sys/fs/cgroup/memory/memory.oom_control",
        ]
      }
    }
    return files + ["/proc/vmstat"]
  }

  /// The number after `oom_kill` in such a file.
  static func count(in text: String) -> Int? {
    let line = text.split(separator: "\n").first { $0.hasPrefix("oom_kill ") }
    return line.flatMap { Int($0.dropFirst("oom_kill ".count)) }
  }
}
