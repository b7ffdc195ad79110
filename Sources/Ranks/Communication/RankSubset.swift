import Tensors

/// Some of the ranks, numbered from 0 among themselves: those that share a sequence, where others share other sequences.
///
/// Messages are the base's. Two subsets that have two ranks in common must not use one tag at a time.
public struct RankSubset: Communicator {
  private let base: any Communicator
  /// The ranks of the base that belong to it, rising.
  public let members: [Int]
  /// Which of the members this is.
  public let rank: Int

  /// The subset that this rank is in, of consecutive ones of equal size.
  /// - Parameters:
  ///   - base: all ranks.
  ///   - size: ranks of a subset.
  /// - Precondition: `size` divides the number of ranks.
  public init(of base: any Communicator, size: Int) {
    precondition(size >= 1 && base.count % size == 0, "\(base.count) ranks in subsets of \(size)")
    let first = base.rank / size * size
    self.base = base
    members = Array(first..<first + size)
    rank = base.rank - first
  }

  /// Ranks of the subset.
  public var count: Int { members.count }
  /// All that this rank sends, in the subset and elsewhere.
  public var traffic: TrafficMeter { base.traffic }

  /// Begins to send to a member.
  /// - Parameters:
  ///   - message: what is sent.
  ///   - target: the number of a member.
  ///   - tag: what it holds.
  /// - Returns: the message on its way.
  /// - Throws: `RankFailure`.
  public func send(_ message: Tensor, to target: Int, tag: MessageTag) throws -> any PendingSend {
    try base.send(message, to: members[target], tag: tag)
  }

  /// Begins to receive from a member.
  /// - Parameters:
  ///   - elements: how many come.
  ///   - precision: of what type they are.
  ///   - source: the number of a member.
  ///   - tag: what the message holds.
  ///   - ledger: what counts them.
  /// - Returns: the message on its way.
  /// - Throws: `RankFailure`, `MemoryLimitExceeded`.
  public func receive(
    _ elements: Int, _ precision: Precision, from source: Int, tag: MessageTag, ledger: MemoryLedger?
  ) throws -> any PendingReceive {
    try base.receive(elements, precision, from: members[source], tag: tag, ledger: ledger)
  }

  /// Lets messages go on.
  public func progress() { base.progress() }

  /// Ends the work of all ranks, not of the subset alone.
  /// - Parameter reason: why.
  public func fail(_ reason: String) { base.fail(reason) }
}
