import Basics

extension ExecutionContext {
  /// Dense operations that throw `MemoryLimitExceeded`, in one line, where three quarters of the machine's memory would not
  /// be enough: a machine that is short of memory stands still long before the system ends a process.
  public static func limited(threads: Int = Parallel.processorCount) -> ExecutionContext {
    ExecutionContext(
      threads: threads, ledger: MemoryLedger(limitBytes: ProcessMemory.defaultLimit, recycles: true))
  }
}
