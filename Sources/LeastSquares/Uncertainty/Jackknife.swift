import Basics

/// Refits with one row, or one cluster of rows, left out at a time.
struct Jackknife: Sendable {
  /// Estimates without each row or cluster; nil where that refit found no optimum.
  let estimates: [[Double]?]
  let clustered: Bool

  /// Complexity: one refit per row or cluster, on all cores.
  init(_ fit: Fit, byCluster: Bool) {
    let refitter = Refitter(fit)
    let clusters = byCluster ? fit.data.clusters : nil
    let groups = clusters.map { ($0.max() ?? -1) + 1 } ?? fit.data.count
    let n = fit.data.count
    estimates = Parallel.map(count: groups, threads: fit.options.workers) { k -> [Double]? in
      var multiplicity = [Double](repeating: 1, count: n)
      if let clusters {
        for i in 0..<n where clusters[i] == k { multiplicity[i] = 0 }
      } else {
        multiplicity[k] = 0
      }
      return refitter.refit(multiplicity: multiplicity)
    }
    clustered = clusters != nil
  }
}
