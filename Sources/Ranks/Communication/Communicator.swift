import Synchronization
import Tensors

/// The ranks that work on one problem, as one of them sees them: processes of MPI, or threads in a test.
///
/// Every rank runs the same program on its own part. Messages between two ranks with the same tag arrive in the order in which
/// they were sent. A send may wait until its receive is posted, whatever its size: who sends first and receives later, and
/// waits for the send in between, waits for ever.
public protocol Communicator: Sendable {
  /// Which rank this is, from 0.
  var rank: Int { get }
  /// How many ranks there are.
  var count: Int { get }
  /// What this rank has sent, and how long it has waited.
  var traffic: TrafficMeter { get }
  /// Begins to send a contiguous tensor. It is kept until the send has been waited for.
  /// - Throws: `RankFailure`.
  func send(_ message: Tensor, to rank: Int, tag: MessageTag) throws -> any PendingSend
  /// Begins to receive a tensor `[elements]`, which a ledger counts from now on.
  /// - Throws: `RankFailure`, `MemoryLimitExceeded`.
  func receive(
    _ elements: Int, _ precision: Precision, from rank: Int, tag: MessageTag, ledger: MemoryLedger?
  ) throws -> any PendingReceive
  /// Lets messages that are under way go on: called between pieces of work, so that sending and computing overlap.
  func progress()
  /// Ends the work of all ranks, because this one cannot go on: the others' waits throw, or their processes end.
  func fail(_ reason: String)
}

/// A message that leaves.
public protocol PendingSend {
  /// Waits until the tensor has left.
  /// - Throws: `RankFailure`.
  func wait() throws
}

/// A message that comes.
public protocol PendingReceive {
  /// Waits until the tensor is there.
  /// - Throws: `RankFailure`.
  func wait() throws -> Tensor
}

/// What a message holds.
public enum MessageTag: Int32, CaseIterable, Sendable {
  /// Rows of k and v.
  case keys = 1
  /// Gradients of rows of k and v.
  case keyGradients
  /// Rows of q, to where their keys are.
  case queries
  /// Output and LSE of rows of q over some of their keys.
  case partialResults
  /// Rows of the output, its gradient and the LSE, to where their keys are.
  case outputGradients
  /// Gradients of rows of q.
  case queryGradients
  /// Rows and heads that change places.
  case exchange
  /// Sums of gradients of a model's parameters.
  case gradients
  /// States of a recurrence, to the rank with the rows behind.
  case states
  /// Gradients of states, to the rank with the rows before.
  case stateGradients
}

/// Another rank ended, or all wait for each other.
public struct RankFailure: Error, Hashable, Sendable, CustomStringConvertible {
  /// The rank that failed.
  public let rank: Int
  /// Why.
  public let reason: String

  /// Creates the error.
  public init(rank: Int, reason: String) {
    self.rank = rank
    self.reason = reason
  }

  /// One line.
  public var description: String { "rank \(rank) ended: \(reason)" }
}

/// What a rank has sent, and how long it has waited for others.
public struct Traffic: Hashable, Sendable {
  /// Messages sent.
  public var messages = 0
  /// Bytes in them.
  public var bytesSent = 0
  /// Seconds in waits for messages.
  public var secondsWaiting = 0.0

  /// Nothing.
  public init() {}

  /// What came between two readings.
  public static func - (later: Traffic, earlier: Traffic) -> Traffic {
    var difference = later
    difference.messages -= earlier.messages
    difference.bytesSent -= earlier.bytesSent
    difference.secondsWaiting -= earlier.secondsWaiting
    return difference
  }
}

/// Counts a rank's traffic; safe from any thread.
public final class TrafficMeter: Sendable {
  private let counts = Mutex(Traffic())

  /// Starts at nothing.
  public init() {}

  /// What was counted so far.
  public var current: Traffic { counts.withLock { $0 } }

  /// Counts a message.
  func count(bytes: Int) {
    counts.withLock {
      $0.messages += 1
      $0.bytesSent += bytes
    }
  }

  /// Counts the seconds of a wait.
  func waiting<R>(_ body: () throws -> R) rethrows -> R {
    let start = ContinuousClock.now
    defer {
      let seconds = start.duration(to: .now) / .seconds(1)
      counts.withLock { $0.secondsWaiting += seconds }
    }
    return try body()
  }
}
