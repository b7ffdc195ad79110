import Basics
import Foundation
import Synchronization
import Tensors

/// Ranks as threads of one process: all that processes of MPI do, for tests and for machines without MPI.
///
/// A send is complete only when its receive has taken it, as with large messages in MPI, so that an order of sends that would
/// block there blocks here; when all ranks wait for each other, every wait throws. Each rank receives into memory of its own,
/// which its own ledger counts.
public enum ThreadGroup {
  /// Runs `body` once a rank, each on a thread of its own, and returns what they return, by rank.
  /// - Parameters:
  ///   - count: how many ranks there are.
  ///   - delays: draws a pause of up to a millisecond before every message is handed over, so that messages of
  ///     different ranks arrive in another order each time; `nil`: none.
  ///   - body: what a rank does.
  /// - Throws: the error of the rank that failed first.
  public static func run<Value: Sendable>(
    _ count: Int, delays: RandomKey? = nil,
    _ body: @escaping @Sendable (any Communicator) throws -> Value
  ) throws -> [Value] {
    precondition(count >= 1, "\(count) ranks")
    let post = PostOffice(count: count)
    let results = Mutex([Result<Value, any Error>?](repeating: nil, count: count))
    let group = DispatchGroup()
    for rank in 0..<count {
      group.enter()
      let thread = Thread {
        let member = ThreadRank(rank: rank, post: post, delays: delays?("rank \(rank)"))
        let result = Result { try body(member) }
        if case .failure(let error) = result, !(error is RankFailure) { member.fail("\(error)") }
        post.leave(rank)
        results.withLock { $0[rank] = result }
        group.leave()
      }
      thread.stackSize = 8 << 20
      thread.start()
    }
    group.wait()
    let all = results.withLock { $0.compactMap(\.self) }
    // Whoever failed by itself says why; the others only say that it did.
    for case .failure(let error) in all where !(error is RankFailure) { throw error }
    return try all.map { try $0.get() }
  }
}

/// A rank that is a thread.
private final class ThreadRank: Communicator {
  let rank: Int
  let traffic = TrafficMeter()
  private let post: PostOffice
  private let delays: Mutex<RandomGenerator?>

  init(rank: Int, post: PostOffice, delays: RandomKey?) {
    self.rank = rank
    self.post = post
    self.delays = Mutex(delays?.generator())
  }

  var count: Int { post.count }

  func send(_ message: Tensor, to target: Int, tag: MessageTag) throws -> any PendingSend {
    traffic.count(bytes: message.byteCount)
    let letter = Letter(message)
    if let microseconds = delays.withLock({ $0?.integer(below: 1000) }) {
      Thread.sleep(forTimeInterval: 1e-6 * Double(microseconds))
    }
    try post.put(letter, .init(from: rank, to: target, tag: tag))
    return Sending(letter: letter, rank: rank, post: post, traffic: traffic)
  }

  func receive(
    _ elements: Int, _ precision: Precision, from source: Int, tag: MessageTag, ledger: MemoryLedger?
  ) throws -> any PendingReceive {
    Receiving(
      incoming: try IncomingTensor(shape: [elements], precision: precision, ledger: ledger),
      address: .init(from: source, to: rank, tag: tag), post: post, traffic: traffic)
  }

  func progress() {}
  func fail(_ reason: String) { post.fail(RankFailure(rank: rank, reason: reason)) }
}

private struct Sending: PendingSend {
  let letter: Letter
  let rank: Int
  let post: PostOffice
  let traffic: TrafficMeter

  func wait() throws { _ = try traffic.waiting { try post.wait(rank) { letter.isTaken ? true : nil } } }
}

private struct Receiving: PendingReceive {
  let incoming: IncomingTensor
  let address: PostOffice.Address
  let post: PostOffice
  let traffic: TrafficMeter

  func wait() throws -> Tensor {
    let letter = try traffic.waiting { try post.wait(address.to) { post.take(address) } }
    guard letter.byteCount == incoming.byteCount else {
      throw RankFailure(
        rank: address.from,
        reason: "\(letter.byteCount) bytes of \(address.tag) came, \(incoming.byteCount) were expected")
    }
    letter.copy(to: incoming.address)
    return incoming.complete()
  }
}

/// A message on its way; all but its tensor is read and written under the post office's lock.
private final class Letter: @unchecked Sendable {
  private let message: Tensor
  var isTaken = false

  init(_ message: Tensor) { self.message = message }
  var byteCount: Int { message.byteCount }
  func copy(to address: UnsafeMutableRawPointer) {
    message.withUnsafeBytes { bytes in
      if let base = bytes.baseAddress { address.copyMemory(from: base, byteCount: bytes.count) }
    }
  }
}

/// Where letters lie until they are taken, and where ranks wait.
///
/// `@unchecked Sendable`: everything is read and written under the condition's lock.
private final class PostOffice: @unchecked Sendable {
  struct Address: Hashable {
    var from: Int, to: Int, tag: MessageTag
  }

  let count: Int
  private let condition = NSCondition()
  private var boxes: [Address: [Letter]] = [:]
  /// Ranks that wait, and what they wait for; ranks that are done.
  private var waiting: Set<Int> = []
  private var gone: Set<Int> = []
  private var failure: RankFailure?

  init(count: Int) { self.count = count }

  func put(_ letter: Letter, _ address: Address) throws {
    condition.lock()
    defer { condition.unlock() }
    if let failure { throw failure }
    boxes[address, default: []].append(letter)
    waiting = []
    condition.broadcast()
  }

  /// The oldest letter of an address; called under the lock, by `wait`.
  func take(_ address: Address) -> Letter? {
    guard let letter = boxes[address]?.first else { return nil }
    boxes[address]?.removeFirst()
    letter.isTaken = true
    waiting = []
    condition.broadcast()
    return letter
  }

  /// Waits until `found` is something; when every rank does, or is gone, nothing will ever come.
  func wait<R>(_ rank: Int, _ found: () -> R?) throws -> R {
    condition.lock()
    defer { condition.unlock() }
    while true {
      if let result = found() { return result }
      if let failure { throw failure }
      waiting.insert(rank)
      if waiting.union(gone).count == count {
        let failure = RankFailure(rank: rank, reason: "all ranks wait for each other")
        self.failure = failure
        condition.broadcast()
        throw failure
      }
      condition.wait()
    }
  }

  func leave(_ rank: Int) {
    condition.lock()
    defer { condition.unlock() }
    gone.insert(rank)
    // Those that wait look again, and find that nobody is left to send.
    waiting = []
    condition.broadcast()
  }

  func fail(_ reason: RankFailure) {
    condition.lock()
    defer { condition.unlock() }
    if failure == nil { failure = reason }
    condition.broadcast()
  }
}
