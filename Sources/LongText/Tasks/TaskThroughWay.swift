import Basics
import Settings
import Synchronization
import Tasks
import Tensors

/// A task whose rows a model reads by a way around them: `task: {id: passkey, length: 4096, way: "extract(tokens=256)"}`.
///
/// Rows, splits and scored targets are those of the task, as far as the way leaves them.
public struct TaskThroughWay<Base: SequenceTask>: PartedTask {
  /// Where rows come from.
  public let base: Base
  /// What is read in place of them.
  public let way: any TextWay
  private let line: String
  private let counter = WayCounter()

  /// Puts a way before a task.
  /// - Throws: `ConfigurationError` when they do not fit.
  init(_ base: Base, _ way: any TextWay, line: String) throws(ConfigurationError) {
    try way.check(base)
    (self.base, self.way, self.line) = (base, way, line)
  }

  /// Not used: a way goes before a task that there is.
  public init(_ configuration: Base.Configuration, key: RandomKey) throws {
    try self.init(Base(configuration, key: key), Windows(Windows.Configuration()), line: Windows.card.id)
  }

  /// The task's.
  public static var card: TaskCard { Base.card }
  /// The task's.
  public var configuration: Base.Configuration { base.configuration }
  /// The task's, with the way.
  public var configurationSummary: String {
    [base.configurationSummary, "way=\(line)"].filter { !$0.isEmpty }.joined(separator: ";")
  }
  /// The task's.
  public var kind: TaskKind { base.kind }
  /// The task's.
  public var vocabularySize: Int { base.vocabularySize }
  /// The most tokens of what is read in place of a row.
  public var length: Int { way.length(of: base.length) }
  /// The task's.
  public var readsBytes: Bool { base.readsBytes }
  /// The task's.
  public func batchCount(of split: Split) -> Int? { base.batchCount(of: split) }
  /// The task's.
  public var classCount: Int { base.classCount }
  /// The task's.
  public var text: TextCorpus? { base.text }
  /// The task's: a window of a text has rows that are not scored, and asks for no answer.
  public func hasAnswers() throws -> Bool { try base.hasAnswers() }
  /// As the way says, where a class is asked for.
  public var join: PartJoin? { base.kind == .classification ? way.join : nil }

  /// What is read in place of the rows of a batch.
  public func batch(split: Split, index: Int, batchSize: Int) throws -> TaskBatch {
    try parts(split: split, index: index, batchSize: batchSize).batch
  }

  /// The same, with the number of the row that each is of.
  public func parts(split: Split, index: Int, batchSize: Int) throws -> (batch: TaskBatch, examples: [Int]) {
    let whole = try base.batch(split: split, index: index, batchSize: batchSize)
    let clock = ContinuousClock(), start = clock.now
    var rows: [Example] = [], examples: [Int] = [], read = 0
    for (number, row) in whole.rows.enumerated() {
      let parts = way.parts(of: row)
      read += row.inputs.count
      rows += parts
      examples += [Int](repeating: number, count: parts.count)
    }
    let kept = rows.reduce(0) { $0 + $1.inputs.count }
    counter.add(WayCount(read: read, kept: kept, seconds: (clock.now - start) / .seconds(1)))
    return (TaskBatch(rows, of: self), examples)
  }
}

extension TaskThroughWay: WayCounting {
  /// Since the task was made.
  public var count: WayCount { counter.count }
}

/// A task that counts what a way reads and keeps.
public protocol WayCounting {
  /// What it has counted.
  var count: WayCount { get }
}

/// What a way has done.
public struct WayCount: Hashable, Sendable {
  /// Tokens of the rows as they were.
  public var read = 0
  /// Tokens of what is read in their place.
  public var kept = 0
  /// The time that it took.
  public var seconds = 0.0

  /// What came after an earlier count.
  public static func - (later: WayCount, earlier: WayCount) -> WayCount {
    WayCount(
      read: later.read - earlier.read, kept: later.kept - earlier.kept,
      seconds: later.seconds - earlier.seconds)
  }
}

/// A sum of counts, from any thread.
private final class WayCounter: Sendable {
  private let sum = Mutex(WayCount())
  var count: WayCount { sum.withLock { $0 } }
  func add(_ more: WayCount) {
    sum.withLock {
      $0 = WayCount(read: $0.read + more.read, kept: $0.kept + more.kept, seconds: $0.seconds + more.seconds)
    }
  }
}

extension TaskCatalog {
  /// The setting of every task that puts a way before it.
  public static let way = "way"

  /// Configures a task by id and settings, of which `way` puts a way before it.
  /// - Throws: `ConfigurationError`, `TextError`.
  public func prepared(
    _ id: String, settings: [String: ParameterValue] = [:], key: RandomKey
  ) throws -> any SequenceTask {
    var own = settings
    guard let line = own.removeValue(forKey: Self.way).map({ "\($0)" }) else {
      return try make(id, settings: settings, key: key)
    }
    let base = try make(id, settings: own, key: key)
    guard let way = try WayCatalog.standard.make(line) else { return base }
    func open<Base: SequenceTask>(_ base: Base) throws -> any SequenceTask {
      try TaskThroughWay(base, way, line: line.replacing(";", with: ","))
    }
    return try open(base)
  }
}
