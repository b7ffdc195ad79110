import AttentionCore
import Basics
import Processes
import Records
import Tasks
import Tensors

/// What a run is given from outside: the preset, the limits, the program, and whom it tells.
public struct RunSetting: Sendable {
  /// What is to be run.
  public let preset: Preset
  /// The variants that exist.
  public let catalog: Catalog
  /// The program that a cell's process runs: this one.
  public let program: String
  /// Bytes that a cell may use.
  public let memoryLimit: Int
  /// Seconds that a cell may use; `nil`: no limit.
  public let timeLimit: Double?
  /// Whether everything that did not end well is run again.
  public let retries: Bool
  /// The part of the preset that is run; `nil`: everything, as a run of its own, not as a part of a sweep.
  public let shard: Shard?
  /// Ids that cells had on other machines, each with the one that it has here.
  public let formerIDs: [String: String]
  /// What stops the run.
  public let interruption: Interruption
  /// Told a line that is worth keeping.
  public let note: @Sendable (String) -> Void
  /// Told a line that the next one replaces.
  public let progress: @Sendable (String) -> Void
  /// Told a line of every cell that has ended, and whether it ended well.
  public let ended: @Sendable (String, _ well: Bool) -> Void

  /// Creates a setting.
  public init(
    _ preset: Preset, catalog: Catalog, program: String = "", retries: Bool = false,
    shard: Shard? = nil, formerIDs: [String: String] = [:], interruption: Interruption = .init(),
    note: @escaping @Sendable (String) -> Void = { _ in },
    progress: @escaping @Sendable (String) -> Void = { _ in },
    ended: (@Sendable (String, Bool) -> Void)? = nil
  ) {
    (self.preset, self.catalog, self.program, self.retries) = (preset, catalog, program, retries)
    (self.shard, self.formerIDs) = (shard, formerIDs)
    (self.interruption, self.note, self.progress) = (interruption, note, progress)
    self.ended = ended ?? { line, _ in note(line) }
    memoryLimit = preset.memoryLimit ?? ProcessMemory.defaultLimit
    timeLimit = preset.timeLimit
  }
}

/// What a session measures and records before its first cell.
public struct RunMeans: Sendable {
  /// The peaks that rates are fractions of.
  public var peaks: [PeakNeed] = []
  /// The text in use.
  public var text: TextCorpus?
  /// How bfloat16 rows are multiplied; `nil`: there are none.
  public var bfloat16: BFloat16Choice?

  /// Nothing.
  public init() {}
}

/// A session of a run, as far as running its cells needs it.
public struct RunSession<Kind: ExperimentKind>: Sendable {
  /// What the run was given.
  public let setting: RunSetting
  /// The measured peaks.
  public let peaks: [EnvironmentRecord.Peak]
  /// All cells that were asked for, those with rows among them.
  public let cells: [Kind.Cell]
  /// The rows of earlier sessions that stand.
  public let rows: [Kind.Row]
  let titles: [String: String]
  let bar: RunBar

  /// The name of a cell with its number, as progress begins: `[ 3/12] full forward n=64`.
  public func title(of cell: Kind.Cell) -> String { titles[cell.id] ?? cell.id }

  /// Draws how far the run is.
  /// - Parameters:
  ///   - detail: what the running cell says of itself.
  ///   - secondsLeft: what it still needs.
  public func show(_ detail: String, secondsLeft: Double? = nil) {
    bar.draw(detail, secondsLeft: secondsLeft)
  }

  /// Ends the session when the user asked for it.
  /// - Throws: `Interrupted`.
  public func checkInterruption() throws(Interrupted) {
    if setting.interruption.isRequested { throw Interrupted() }
  }
}
