import Basics
import Records

/// Which rows of earlier sessions are no results any more: what ended them is not so now.
///
/// A limit ended a cell, not the cell itself: under a larger limit it is measured again. So is what failed with other
/// sources than these, and, always, what somebody else ended.
struct RetryRule {
  /// A start of the run, with the limits that it set.
  private struct Session {
    let startedAt: String
    let memoryLimit: Double
    let timeLimit: Double
  }

  private let sessions: [Session]
  private let memoryLimit: Double
  private let timeLimit: Double
  private let commit: String?
  private let isForced: Bool

  /// Creates the rule of a session that is to begin.
  /// - Parameters:
  ///   - record: `environment.json`, with the sessions before.
  ///   - commit: the sources now; `nil`: not known.
  ///   - isForced: everything that is not ok is measured again.
  init(record: JSONValue?, memoryLimit: Int, timeLimit: Double?, commit: String?, isForced: Bool) {
    sessions = (record?["sessions"].arrayValue ?? []).compactMap { session in
      guard let start = session["started_at"].stringValue else { return nil }
      return Session(
        startedAt: start, memoryLimit: session["memory_limit_bytes"].numberValue ?? .infinity,
        timeLimit: session["time_limit_seconds"].numberValue ?? .infinity)
    }
    (self.memoryLimit, self.timeLimit) = (Double(memoryLimit), timeLimit ?? .infinity)
    (self.commit, self.isForced) = (commit, isForced)
  }

  /// Whether the cell of a row is run again.
  func runsAgain(_ row: some ResultRow) -> Bool {
    guard row.ending != .done else { return false }
    if isForced || row.ending == .outside || isFromElsewhere(row.commit) { return true }
    guard let session = sessions.last(where: { $0.startedAt <= row.startedAt }) else { return false }
    switch row.ending {
    case .timeLimit: return timeLimit > session.timeLimit
    // Three quarters of a machine's memory vary by a little from one start of the system to the next.
    case .memoryLimit: return memoryLimit > 1.001 * session.memoryLimit
    case .done, .outside, .failed: return false
    }
  }

  private func isFromElsewhere(_ other: String) -> Bool {
    guard let commit, !other.isEmpty else { return false }
    return commit != other
  }
}
