import Attention
import Tensors

/// The states that come to a segment, and go from it: forward from the one before, backward from the one behind.
final class SegmentRelay: StateRelay {
  private let communicator: any Communicator
  private let tag: MessageTag
  private let target: Int?
  private let ledger: MemoryLedger?
  private var incoming: [any PendingReceive] = []
  private var outgoing: [any PendingSend] = []
  private var reached = 0

  /// Posts its receives at once, so that nobody's send waits.
  /// - Parameters:
  ///   - plan: who has which segments.
  ///   - index: the segment.
  ///   - counts: elements of the pieces.
  ///   - isBack: whether gradients pass, from the last segment to the first.
  ///   - communicator: the ranks.
  ///   - ledger: what counts messages that come.
  /// - Throws: `RankFailure`, `MemoryLimitExceeded`.
  init(
    _ plan: ScanPlan, _ index: Int, counts: [Int], isBack: Bool, over communicator: any Communicator,
    ledger: MemoryLedger?
  ) throws {
    func rank(_ place: Int) -> Int? {
      plan.shape.isCausal && plan.segments.indices.contains(place) ? plan.segments[place].rank : nil
    }
    let tag: MessageTag = isBack ? .stateGradients : .states
    (self.communicator, self.tag, self.ledger) = (communicator, tag, ledger)
    target = rank(isBack ? index - 1 : index + 1)
    if let source = rank(isBack ? index + 1 : index - 1) {
      incoming = try counts.map {
        try communicator.receive($0, .float32, from: source, tag: tag, ledger: ledger)
      }
    }
  }

  var passesOn: Bool { target != nil }

  func receive(_ piece: Int) throws -> Tensor? {
    guard !incoming.isEmpty else { return nil }
    precondition(piece == reached, "piece \(piece) of states is asked for in place of \(reached)")
    reached += 1
    return try incoming[piece].wait()
  }

  func send(_ state: Tensor, as piece: Int) throws {
    guard let target else { return }
    outgoing.append(try communicator.send(state, to: target, tag: tag))
    communicator.progress()
  }

  func total(_ own: Tensor) throws -> Tensor {
    // A copy: the sum goes where the own states are, and a message may still be read there when it counts as sent.
    let message = try own.copied(ledger: ledger)
    let all = try communicator.gathered(message, [Int](repeating: own.count, count: communicator.count))
    var sum = try Tensor(zeros: [1, 1, 1, own.count], ledger: ledger)
    for part in all { sum.add(part.reshaped(sum.shape), toRows: RowRuns(all: 1)) }
    return sum
  }

  /// Waits until all has left.
  /// - Throws: `RankFailure`.
  func finish() throws {
    for send in outgoing { try send.wait() }
    outgoing = []
  }
}
