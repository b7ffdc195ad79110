import Basics
import Foundation
import Synchronization

/// How far a run is, and how long it will take: one line that is drawn again and again.
///
/// The time left is that of the efforts left at the pace of those done: a cell's effort is what is known of it before it
/// runs, and cells of one pace (a variant's) tell how long an effort takes. What has never run yet takes the pace of all.
package final class RunBar: Sendable {
  /// A cell, as far as the bar knows it.
  package struct Item: Sendable {
    let id: String, name: String, pace: String
    let effort: Double

    package init(id: String, name: String, pace: String, effort: Double) {
      (self.id, self.name, self.pace, self.effort) = (id, name, pace, effort)
    }
  }

  private struct State {
    var left: [Item]
    var seconds: [String: Double] = [:], efforts: [String: Double] = [:]
    var begun: ContinuousClock.Instant
  }

  private let all: Int
  private let state: Mutex<State>
  private let show: @Sendable (String) -> Void

  /// Creates a bar.
  /// - Parameters:
  ///   - items: what is left to do, in order.
  ///   - kept: how many were done before.
  ///   - show: draws a line over the one before.
  package init(_ items: [Item], kept: Int, show: @escaping @Sendable (String) -> Void) {
    all = kept + items.count
    state = Mutex(State(left: items, begun: ContinuousClock.now))
    self.show = show
  }

  /// A cell has ended: what it took is the pace of those like it.
  package func end(_ id: String) {
    let now = ContinuousClock.now
    state.withLock { state in
      guard let place = state.left.firstIndex(where: { $0.id == id }) else { return }
      let item = state.left.remove(at: place)
      let seconds = (now - state.begun).seconds
      for key in [item.pace, ""] {
        state.seconds[key, default: 0] += seconds
        state.efforts[key, default: 0] += item.effort
      }
      state.begun = now
    }
  }

  /// Draws the line.
  /// - Parameters:
  ///   - detail: what the running cell says of itself.
  ///   - secondsLeft: what it still needs, where it knows.
  package func draw(_ detail: String = "", secondsLeft: Double? = nil) {
    let now = ContinuousClock.now
    let line = state.withLock { state -> String? in
      guard let item = state.left.first else { return nil }
      return Self.line(
        done: all - state.left.count, all: all, name: item.name, detail: detail,
        secondsLeft: Self.secondsLeft(state, spent: (now - state.begun).seconds, own: secondsLeft))
    }
    if let line { show(line) }
  }

  /// `nil`: nothing has ended yet, and the first cell does not know.
  private static func secondsLeft(_ state: State, spent: Double, own: Double?) -> Double? {
    guard let running = state.left.first else { return 0 }
    let known = (state.efforts[""] ?? 0) > 0
    func predicted(_ item: Item) -> Double? {
      for key in [item.pace, ""] {
        if let effort = state.efforts[key], effort > 0, let seconds = state.seconds[key] {
          return item.effort * seconds / effort
        }
      }
      // The running cell is the only measure.
      return own.map { item.effort * (spent + $0) / max(running.effort, .leastNormalMagnitude) }
    }
    guard known || own != nil else { return nil }
    let first = own ?? max(0, (predicted(running) ?? 0) - spent)
    return state.left.dropFirst().reduce(first) { $0 + (predicted($1) ?? 0) }
  }

  /// `█████▌     12/40  sliding-window left=64 forward n=256  3 min left`.
  package static func line(done: Int, all: Int, name: String, detail: String, secondsLeft: Double?) -> String
  {
    let width = 12
    let eighths = all > 0 ? done * width * 8 / all : 0
    let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
    let filled = String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
    let bar = filled + String(repeating: "·", count: width - filled.count)
    let left = secondsLeft.map { "\(Quantity.describe(seconds: $0.rounded(.up))) left" } ?? ""
    return ["\(bar) \(done)/\(all)", left, name, detail].filter { !$0.isEmpty }.joined(separator: "  ")
  }
}
