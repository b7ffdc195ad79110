import Foundation
import Testing

@testable import Processes

/// What is said of a process that this program did not end itself: only what is known.
@Suite struct ProcessEndingTests {
  @Test("a kill is the system's only where the system counted one")
  func kills() {
    #expect(ProcessEnding(.signaled(SIGKILL), killsOfSystem: 1) == .outOfMemory)
    for count in [0, nil] {
      #expect(
        ProcessEnding(.signaled(SIGKILL), killsOfSystem: count) == .fromOutside("signal \(SIGKILL) ended it"))
    }
    // Memory may run out elsewhere while a process dies of its own fault.
    #expect(ProcessEnding(.signaled(SIGSEGV), killsOfSystem: 1) == .fault(SIGSEGV))
  }

  @Test(
    "what others send says nothing of the cell",
    arguments: [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT, SIGXCPU, SIGALRM])
  func others(_ number: Int32) {
    #expect(ProcessEnding(.signaled(number), killsOfSystem: 0) == .fromOutside("signal \(number) ended it"))
  }

  @Test(
    "what a process does to itself is a fault",
    arguments: [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS])
  func faults(_ number: Int32) {
    #expect(ProcessEnding(.signaled(number), killsOfSystem: nil) == .fault(number))
  }

  @Test func exits() {
    #expect(ProcessEnding(.exited(0), killsOfSystem: 3) == .exited(0))
    #expect(ProcessEnding(.exited(130), killsOfSystem: 0) == .fromOutside("it was interrupted"))
  }

  @Test("the count of a control group comes before that of the machine")
  func counts() {
    let old = OutOfMemoryKills.files(groups: "9:name=systemd:/\n4:cpu,memory:/a/b\n0::/\n")
    #expect(old.first == "/sys/fs/cgroup/memory/a/b/memory.oom_control" && old.last == "/proc/vmstat")
    let new = OutOfMemoryKills.files(groups: "0::/user.slice/x:y\n")
    #expect(new.first == "/sys/fs/cgroup/user.slice/x:y/memory.events")
    #expect(OutOfMemoryKills.count(in: "low 0\noom 3\noom_kill 2\noom_group_kill 9\n") == 2)
    #expect(OutOfMemoryKills.count(in: "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n") == 0)
    #expect(OutOfMemoryKills.count(in: "oom_kill_disable 0\n") == nil)
  }
}
