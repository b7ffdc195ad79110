import Basics
import Foundation
import Settings
import Tensors

/// Ranks that are processes, whether this program was built to be one, and whether it is.
public enum RankProcesses {
  /// Whether the program was built with the package trait MPI.
  public static var areBuiltIn: Bool {
    #if MPI
      true
    #else
      false
    #endif
  }

  /// Whether `mpirun` started this process: Open MPI says so in its environment.
  public static var isOne: Bool { ProcessInfo.processInfo.environment["OMPI_COMM_WORLD_SIZE"] != nil }

  /// How many processes `mpirun` started together with this one; 1 when it did not start this one.
  public static var count: Int {
    ProcessInfo.processInfo.environment["OMPI_COMM_WORLD_SIZE"].flatMap { Int($0) } ?? 1
  }

  /// This process among those that `mpirun` started, such as `rank 0 of 3`; `nil` when it did not start this one.
  public static var name: String? {
    guard isOne, let rank = ProcessInfo.processInfo.environment["OMPI_COMM_WORLD_RANK"] else { return nil }
    return "rank \(rank) of \(count)"
  }

  /// The environment variable that has the words before `-n P`.
  private static let variable = "ATTNLAB_MPIRUN"

  /// The words that start a program as so many processes: those of `ATTNLAB_MPIRUN` if that is set, `-n P`, the program's own. By
  /// default ranks may be more than processors, and threads go where the system puts them.
  /// - Parameters:
  ///   - words: the program and its arguments.
  ///   - count: how many processes.
  /// - Throws: `UsageError` when the variable is empty.
  public static func command(_ words: [String], on count: Int) throws(UsageError) -> [String] {
    let launcher =
      ProcessInfo.processInfo.environment[variable]
      ?? "mpirun --allow-run-as-root --oversubscribe --bind-to none"
    let before = launcher.split(separator: " ").map(String.init)
    guard !before.isEmpty else { throw UsageError("\(variable) is empty") }
    return before + ["-n", "\(count)"] + words
  }

  /// Says that there are no processes to share the work with.
  /// - Throws: `ConfigurationError`, when the program was built without MPI.
  public static func check(_ count: Int) throws(ConfigurationError) {
    guard count > 1, !areBuiltIn else { return }
    throw ConfigurationError(
      field: "ranks", value: "\(count)",
      allowed: "1 in a program without MPI; swift build --traits MPI makes one with it")
  }

  /// Runs `body` as one of some processes. When it throws, all of them end.
  /// - Throws: `ConfigurationError` when there are not so many; what `body` throws; `RankFailure`.
  public static func join<R>(_ count: Int, _ body: (any Communicator) throws -> R) throws -> R {
    try check(count)
    #if MPI
      let group = try MPIGroup()
      do {
        guard group.count == count else {
          throw ConfigurationError(
            field: "ranks", value: "\(count)", allowed: "\(group.count), the processes that mpirun started")
        }
        let result = try body(group)
        try group.finish()
        return result
      } catch {
        group.fail("\(error)")
        throw error
      }
    #else
      throw ConfigurationError(
        field: "ranks", value: "\(count)", allowed: "this process alone: mpirun started it without MPI")
    #endif
  }
}

extension Communicator {
  /// Numbers of all ranks, on every rank, in the order of ranks. Nobody has them before all have come this far.
  /// - Throws: `RankFailure`, `MemoryLimitExceeded`.
  public func gathered(_ own: [Double]) throws -> [[Double]] {
    // Bits travel as pairs of float32 patterns.
    let halves = own.flatMap { value -> [Float] in
      let bits = value.bitPattern
      return [Float(bitPattern: UInt32(bits >> 32)), Float(bitPattern: UInt32(truncatingIfNeeded: bits))]
    }
    return try gathered(Tensor(halves, shape: [halves.count]), [Int](repeating: halves.count, count: count))
      .map { tensor in
        let halves = tensor.array()
        return own.indices.map {
          Double(
            bitPattern: UInt64(halves[2 * $0].bitPattern) << 32 | UInt64(halves[2 * $0 + 1].bitPattern))
        }
      }
  }

  /// Tensors of all ranks, on every rank, each flat.
  /// - Parameters:
  ///   - own: this rank's.
  ///   - counts: how many elements each has.
  /// - Throws: `RankFailure`, `MemoryLimitExceeded`.
  public func gathered(_ own: Tensor, _ counts: [Int]) throws -> [Tensor] {
    let flat = own.reshaped([own.count])
    let incoming = try (0..<count).map { other in
      other == rank ? nil : try receive(counts[other], .float32, from: other, tag: .exchange, ledger: nil)
    }
    let sends = try (0..<count).filter { $0 != rank }.map { try send(flat, to: $0, tag: .exchange) }
    let all = try incoming.map { try $0?.wait() ?? flat }
    for send in sends { try send.wait() }
    return all
  }

  /// Rows of all ranks put together, on every rank.
  /// - Throws: `RankFailure`, `MemoryLimitExceeded`.
  public func whole(_ part: Tensor, _ layout: SequenceLayout) throws -> Tensor {
    func extents(_ rank: Int) -> [Int] {
      [part.shape[0], part.shape[1], layout.rows[rank].count, part.shape[3]]
    }
    let parts = try gathered(part, (0..<count).map { extents($0).reduce(1, *) })
    return try layout.whole(parts.enumerated().map { $1.reshaped(extents($0)) })
  }
}
