import AttentionCore
import RankCases
import Synchronization
import Tensors
import Testing

@testable import Ranks

/// Notes when messages are asked for and when they are waited for.
private final class Recording: Communicator {
  let base: any Communicator
  private let notes = Mutex<[String]>([])

  init(_ base: any Communicator) { self.base = base }

  var rank: Int { base.rank }
  var count: Int { base.count }
  var traffic: TrafficMeter { base.traffic }
  var events: [String] { notes.withLock { $0 } }
  func note(_ event: String) { notes.withLock { $0.append(event) } }

  func send(_ message: Tensor, to target: Int, tag: MessageTag) throws -> any PendingSend {
    note("send \(tag)")
    return try base.send(message, to: target, tag: tag)
  }

  func receive(
    _ elements: Int, _ precision: Precision, from source: Int, tag: MessageTag, ledger: MemoryLedger?
  ) throws -> any PendingReceive {
    note("ask \(tag)")
    let pending = try base.receive(elements, precision, from: source, tag: tag, ledger: ledger)
    return Waiting(pending: pending, tag: tag, log: self)
  }

  func progress() {
    note("progress")
    base.progress()
  }

  func fail(_ reason: String) { base.fail(reason) }

  private struct Waiting: PendingReceive {
    let pending: any PendingReceive
    let tag: MessageTag
    let log: Recording

    func wait() throws -> Tensor {
      log.note("wait \(tag)")
      return try pending.wait()
    }
  }
}

@Suite struct OverlapTests {
  @Test(
    "The next piece is asked for, and the next own one sent, before a rank waits for a piece and computes with it"
  )
  func nextPieceFirst() throws {
    let shape = try AttentionShape(queryLength: 160, headDim: 8)
    let test = try RankCase("full", [:], shape)
    let events = try ThreadGroup.run(2) { communicator in
      let recording = Recording(communicator)
      let attention = try RankedAttention(
        test.variant, over: recording, options: .small(pieces: 20, rows: 30))
      _ = try attention.forward(
        try attention.part(of: test.inputs), in: ExecutionContext(threads: 1))
      return recording.events
    }
    for own in events {
      var asked = 0, sent = 0, waits = 0, progressed = 0
      for event in own {
        if event == "ask keys" { asked += 1 }
        if event == "send keys" { sent += 1 }
        if event == "progress" { progressed += 1 }
        guard event == "wait keys" else { continue }
        waits += 1
        #expect(asked >= min(4, waits + 1) && sent >= min(4, waits + 1), "\(own)")
        // Three blocks of rows a piece, and messages go on between them.
        #expect(progressed == 3 * (waits - 1), "\(own)")
      }
      #expect(waits == 4 && asked == 4 && sent == 4)
    }
  }

  @Test(
    "pieces come and go at an even pace: of a rank that sends twice as many as it gets one comes for two that go",
    arguments: [(2, 1), (4, 0), (4, 2)])
  func pace(ranks: Int, rank: Int) throws {
    let shape = try AttentionShape(queryLength: 256 * ranks, headDim: 8, isCausal: true)
    let variant = try RankCase("full", [:], shape).fixed
    let plan = RankPlan(variant, rank: rank, count: ranks, options: .small(pieces: 16))
    var isUneven = false
    for index in plan.sources.indices {
      let slots = plan.slots.filter { $0.source == index }
      let (coming, going) = (plan.sources[index].leg.movingKeys, plan.targets[index].leg.movingKeys)
      // All pieces, in their order.
      #expect(slots.compactMap(\.incoming) == coming && slots.compactMap(\.outgoing) == going)
      isUneven = isUneven || coming.count != going.count
      var (came, went) = (0, 0)
      for slot in slots {
        came += slot.incoming == nil ? 0 : 1
        went += slot.outgoing == nil ? 0 : 1
        let ahead = Double(came) / Double(coming.count) - Double(went) / Double(going.count)
        #expect(ahead.magnitude <= 1 / Double(min(coming.count, going.count)) + 1e-9)
      }
    }
    #expect(isUneven)
  }
}
