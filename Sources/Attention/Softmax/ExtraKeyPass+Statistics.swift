import AttentionCore
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension ExtraKeyPass {
  /// Statistics of rows with the key in their denominators.
  ///
  /// With the part `a = e^{l−l'}` that the sequence's keys keep and the key's own `b = e^{e−l'}`: `H' = a H − a log a − b log b`.
  /// - Throws: `MemoryLimitExceeded`.
  func adding(
    to statistics: RowStatistics, _ inputs: Operands, in context: ExecutionContext
  ) throws -> RowStatistics {
    var result = statistics
    let scores = try scores(inputs, in: context)
    for (index, extra) in scores.enumerated() {
      let own = statistics.lse[index], gap = extra - own
      // Of a row without keys l is −∞: all is the key's.
      let part = 1 / (1 + exp(gap)), rest = 1 / (1 + exp(-gap))
      func term(_ share: Double) -> Double { share > 0 ? -share * log(share) : 0 }
      result.lse[index] = max(own, extra) + log1p(exp(-gap.magnitude))
      result.entropy[index] = part * statistics.entropy[index] + term(part) + term(rest)
    }
    return result
  }
}
