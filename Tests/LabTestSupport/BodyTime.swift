/// The time since a test's body began.
///
/// Swift Testing counts a `timeLimit` from when a test is queued, and all tests are queued at once: on two cores the last
/// ones wait for minutes before their first line runs. A bound on the work itself is a bound on this; `timeLimit` is left
/// for what never ends (`hangLimit`).
public struct BodyTime {
  private let start = ContinuousClock.now

  /// Starts to count.
  public init() {}

  /// Seconds since then.
  public var seconds: Double { start.duration(to: .now) / .seconds(1) }

  /// Minutes after which a queued test is taken to hang: more than the whole suite takes.
  public static let hangLimit = 40
}
