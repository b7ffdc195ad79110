/// Refits of resampled rows.
public struct Bootstrap: Sendable {
  /// One set of estimates per resample that could be fitted, in the order of the form.
  public let replicates: [[Double]]
  /// Resamples that could not be fitted.
  public let failures: Int
  /// Whether whole clusters were drawn rather than rows.
  public let clustered: Bool
}
