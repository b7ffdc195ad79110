import Tensors

/// The tile lists of all (batch, head): one shared by all, one per head, or one per (batch, head).
public struct TilePattern: Sendable, Hashable {
  /// The distinct lists.
  public let lists: [TileList]
  private let perBatch: Int
  private let perHead: Int
  /// Neighbouring heads that share a list.
  private var group = 1
  /// Where the lists of a sequence begin, when sequences share them; empty: `perBatch` apart.
  private var starts: [Int] = []
  /// What engines have worked out about the pattern.
  public let schedules = ScheduleStore()

  /// One list for every batch and head.
  public init(shared list: TileList) {
    lists = [list]
    perBatch = 0
    perHead = 0
  }

  /// One list a head, the same for every sequence.
  public init(perHead lists: [TileList]) {
    self.lists = lists
    perBatch = 0
    perHead = 1
  }

  /// One list a (batch, head), batch-major.
  /// - Parameters:
  ///   - lists: the lists.
  ///   - heads: lists of a sequence.
  ///   - group: neighbouring heads that share one.
  public init(perBatchAndHead lists: [TileList], heads: Int, sharedBy group: Int = 1) {
    precondition(lists.count % heads == 0, "\(lists.count) lists for \(heads) heads")
    self.group = group
    self.lists = lists
    perBatch = heads
    perHead = 1
  }

  /// A pattern for every sequence; sequences of the same number, such as their valid keys, share one.
  /// - Parameters:
  ///   - numbers: one a sequence.
  ///   - make: the pattern of a number, each of one list, or of one list a head.
  /// - Throws: what `make` throws.
  public init<Failure: Error>(
    perBatch numbers: [Int], _ make: (Int) throws(Failure) -> TilePattern
  ) throws(Failure) {
    var lists: [TileList] = []
    var starts: [Int: Int] = [:]
    var perHead = 0
    for number in numbers where starts[number] == nil {
      let pattern = try make(number)
      starts[number] = lists.count
      lists += pattern.lists
      perHead = pattern.perHead
    }
    self.lists = lists
    self.perHead = perHead
    perBatch = 0
    self.starts = numbers.map { starts[$0] ?? 0 }
  }

  /// The index in `lists` of a (batch, query head).
  public func index(batch: Int, head: Int) -> Int {
    (starts.isEmpty ? batch * perBatch : starts[batch]) + head / group * perHead
  }

  /// The list of a (batch, query head).
  public func list(batch: Int, head: Int) -> TileList { lists[index(batch: batch, head: head)] }

  /// Bytes that the lists hold.
  public var byteCount: Int { lists.reduce(0) { $0 + $1.byteCount } }

  /// Bytes of the lists and of the schedules that were made of them.
  public var planBytes: Int { byteCount + schedules.byteCount }

  /// The same lists without what was worked out about them: what a schedule keeps, so that a pattern and its schedules do not
  /// keep each other alive.
  public var withoutSchedules: TilePattern { TilePattern(listsOf: self) }

  private init(listsOf pattern: TilePattern) { self.init(pattern, lists: pattern.lists) }

  /// Other lists in the places of a pattern's.
  init(_ pattern: TilePattern, lists: [TileList]) {
    self.lists = lists
    (perBatch, perHead, group, starts) = (pattern.perBatch, pattern.perHead, pattern.group, pattern.starts)
  }

  /// Counts the lists and all schedules in a ledger, as long as the pattern lives. The first owner counts: who shares a pattern
  /// with it adds nothing.
  /// - Throws: `MemoryLimitExceeded`.
  public func count(in ledger: MemoryLedger?) throws(MemoryLimitExceeded) {
    try schedules.count(byteCount, in: ledger)
  }

  /// Whether two patterns have the same lists in the same places.
  public static func == (first: TilePattern, second: TilePattern) -> Bool {
    first.perBatch == second.perBatch && first.perHead == second.perHead && first.group == second.group
      && first.starts == second.starts && first.lists == second.lists
  }

  /// Hashes the lists and their places.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(lists)
    hasher.combine(perBatch)
    hasher.combine(perHead)
    hasher.combine(group)
    hasher.combine(starts)
  }
}
