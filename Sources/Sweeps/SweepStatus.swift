import Basics
import Presets
import Records

/// How far a sweep is, from its folders alone: no scheduler is asked.
public struct SweepStatus: Sendable {
  /// What became of a cell.
  public enum State: String, Sendable {
    /// It has its result.
    case done
    /// It ended without one, and the same command would not run it again.
    case failed
    /// A task that has it is running.
    case running
    /// Nobody has run it, or somebody else ended it.
    case missing
  }

  /// A cell that is known.
  public struct Cell: Sendable {
    /// Its number in the preset.
    public let number: Int
    /// What became of it.
    public let state: State
    /// The cell in a few words; empty when no task that has it was begun.
    public let name: String
    /// How it failed, in one line.
    public let reason: String
  }

  /// A folder with a part, or with everything.
  public struct Task: Sendable {
    /// The folder.
    public let folder: String
    /// `3/12`; empty where nobody wrote it down.
    public let shard: String
    /// The computers that ran it, the last one last.
    public let hosts: [String]
    /// Whether it is running.
    public let isRunning: Bool
    /// Cells that it was asked for.
    public let cells: Int
    /// Those that have their results.
    public let done: Int
    /// Those that failed.
    public let failed: Int

    /// In a word.
    public var state: String { isRunning ? "running" : done + failed == cells ? "finished" : "stopped" }
  }

  /// The cells, by number; none where no folder says what was asked for.
  public let cells: [Cell]
  /// The folders.
  public let tasks: [Task]
  /// Into how many parts the preset was cut; as many as cells where it was not, or in several ways.
  public let shards: Int

  /// Looks at folders of one sweep.
  /// - Parameter isPart: only the cells that were asked for are counted, not all of the preset.
  /// - Throws: `UsageError` for tables that are none.
  init(
    _ folders: [SweepFolder], kinds: ExperimentCatalog, isPart: Bool = false
  ) throws(UsageError) {
    var endings: [Int: (state: State, reason: String)] = [:]
    var tasks: [Task] = []
    var isRunning: Set<Int> = []
    for folder in folders {
      var own: [Int: (state: State, reason: String)] = [:]
      func add<Kind: ExperimentKind>(_ kind: Kind.Type) throws(UsageError) {
        for cell in try folder.cells(of: kind).cells {
          guard let number = cell.number, let last = cell.last else { continue }
          let state = Self.state(last.ending)
          own[number] = (state, state == .failed ? Kind.summary(of: last) : "")
        }
      }
      for kind in kinds.types { try add(kind) }
      endings.merge(own) { old, new in new.state == .done || old.state == .missing ? new : old }
      let runs = folder.isRunning
      if runs { isRunning.formUnion(folder.entries.map(\.number)) }
      let hasParts = folders.contains { $0.path.hasPrefix(folder.path + "/") }
      if let task = Self.task(folder, own.values.map(\.state), runs, isMerged: hasParts) {
        tasks.append(task)
      }
    }
    let entries = folders.flatMap(\.entries)
    let names = Dictionary(entries.map { ($0.number, $0.cell) }) { first, _ in first }
    let total = entries.map(\.cells).max() ?? 0
    let numbers = isPart ? names.keys.sorted() : Array(1..<total + 1)
    cells = numbers.map { number in
      let (state, reason) = endings[number] ?? (.missing, "")
      let isWorkedOn = state == .missing && isRunning.contains(number)
      return Cell(
        number: number, state: isWorkedOn ? .running : state, name: names[number] ?? "", reason: reason)
    }
    let cuts = Set(entries.map(\.shards)).subtracting([1])
    shards = cuts.count == 1 ? cuts.first ?? total : total
    self.tasks = tasks
  }

  private static func state(_ ending: RowEnding) -> State {
    switch ending {
    case .done: .done
    case .outside: .missing
    case .failed, .timeLimit, .memoryLimit: .failed
    }
  }

  private static func task(
    _ folder: SweepFolder, _ states: [State], _ isRunning: Bool, isMerged: Bool
  ) -> Task? {
    guard let first = folder.entries.first else { return nil }
    let hosts = folder.environment?["sessions"].arrayValue.compactMap { $0["host"].stringValue } ?? []
    let isMerged = isMerged || Set(folder.entries.map(\.shard)).count > 1
    let numbers = Set(folder.entries.map(\.number))
    return Task(
      folder: folder.path, shard: isMerged ? "" : "\(first.shard)/\(first.shards)",
      hosts: hosts.reduce(into: []) { all, host in if !all.contains(host) { all.append(host) } },
      isRunning: isRunning, cells: numbers.count, done: states.count { $0 == .done },
      failed: states.count { $0 == .failed })
  }

  /// How many cells are in a state.
  public func count(_ state: State) -> Int { cells.count { $0.state == state } }

  /// The parts that have cells which are missing.
  public var missingTasks: [Int] {
    guard shards > 0 else { return [] }
    return Set(cells.filter { $0.state == .missing }.map { ($0.number - 1) % shards + 1 }).sorted()
  }

  /// Whether every cell was run to its end.
  public var isComplete: Bool { count(.missing) == 0 && count(.running) == 0 }
}
