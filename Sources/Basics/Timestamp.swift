import Foundation

extension Duration {
  /// The duration in seconds.
  public var seconds: Double {
    let (seconds, attoseconds) = components
    return Double(seconds) + Double(attoseconds) * 1e-18
  }
}

/// Moments as the results write them.
public enum Timestamp {
  /// Now, ISO 8601, UTC, with milliseconds.
  public static func now() -> String {
    Date.now.formatted(
      .iso8601.year().month().day().time(includingFractionalSeconds: true).timeZone(separator: .omitted))
  }
}
