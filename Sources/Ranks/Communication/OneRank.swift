import Tensors

/// A rank without others: what is shared among ranks is all its own.
public struct OneRank: Communicator {
  /// The first.
  public let rank = 0
  /// One.
  public let count = 1
  /// Nothing.
  public let traffic = TrafficMeter()

  /// Creates it.
  public init() {}

  /// There is nobody to send to.
  /// - Throws: `RankFailure`, always.
  public func send(_ message: Tensor, to rank: Int, tag: MessageTag) throws -> any PendingSend {
    throw RankFailure(rank: 0, reason: "a message to rank \(rank) of one")
  }

  /// There is nobody to hear from.
  /// - Throws: `RankFailure`, always.
  public func receive(
    _ elements: Int, _ precision: Precision, from rank: Int, tag: MessageTag, ledger: MemoryLedger?
  ) throws -> any PendingReceive {
    throw RankFailure(rank: 0, reason: "a message from rank \(rank) of one")
  }

  /// Nothing is under way.
  public func progress() {}

  /// Nobody else works on it.
  public func fail(_ reason: String) {}
}
