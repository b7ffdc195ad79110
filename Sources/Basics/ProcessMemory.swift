import Foundation

/// Memory of processes and of the machine, as the system counts it.
public enum ProcessMemory {
  /// The high-water mark of this process in bytes, since its start or the last `resetPeak`.
  ///
  /// Linux: `VmHWM`, not `ru_maxrss`, which a process inherits from the one that started it.
  public static func peakBytes() -> Int? {
    #if os(Linux)
      return status("VmHWM:", of: "self")
    #else
      var usage = rusage()
      return getrusage(RUSAGE_SELF, &usage) == 0 ? Int(usage.ru_maxrss) : nil
    #endif
  }

  /// Makes the present size the new high-water mark, where the system can (Linux).
  public static func resetPeak() {
    #if os(Linux)
      let descriptor = open("/proc/self/clear_refs", O_WRONLY)
      guard descriptor >= 0 else { return }
      _ = write(descriptor, "5", 1)
      close(descriptor)
    #endif
  }

  /// The resident bytes of a process, or `nil` when it is gone.
  public static func residentBytes(of process: Int32) -> Int? {
    #if os(Linux)
      return status("VmRSS:", of: "\(process)")
    #else
      var info = rusage_info_v2()
      let code = withUnsafeMutablePointer(to: &info) { pointer in
        pointer.withMemoryRebound(to: rusage_info_t?.self, capacity: 1) {
          proc_pid_rusage(process, RUSAGE_INFO_V2, $0)
        }
      }
      return code == 0 ? Int(info.ri_resident_size) : nil
    #endif
  }

  /// The machine's memory in bytes, or less when a control group allows less.
  public static var machineBytes: Int {
    let physical = Int(clamping: ProcessInfo.processInfo.physicalMemory)
    let limit = (try? String(contentsOfFile: "/sys/fs/cgroup/memory.max", encoding: .utf8))
      .flatMap { Int($0.trimmed) }
    return min(physical, limit ?? physical)
  }

  /// What a pass may use when nothing else is said: three quarters of the machine's memory.
  public static var defaultLimit: Int { machineBytes / 4 * 3 }

  #if os(Linux)
    private static func status(_ field: String, of process: String) -> Int? {
      guard let text = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8) else {
        return nil
      }
      guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(field) }) else { return nil }
      return line.split(separator: " ", omittingEmptySubsequences: true).dropFirst().first
        .flatMap { Int($0.filter(\.isNumber)) }.map { $0 * 1024 }
    }
  #endif
}
