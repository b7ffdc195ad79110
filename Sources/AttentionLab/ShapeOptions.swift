import ArgumentParser
import AttentionCore
import Basics
import Commands
import Pages

/// One shape by flags, where a command also does without: `--n` says that there is one, the others what it is like.
struct ShapeOptions: ParsableArguments {
  @Option(help: "One shape instead of many: its number of queries. What follows says the rest of it.")
  var n: Int?

  @Option(help: "Rows of k. Default: n.")
  var keyLength: Int?

  @Option(help: "Sequences.")
  var batch: Int?

  @Option(help: "Heads of q.")
  var heads: Int?

  @Option(help: "Heads of k and v. Default: heads.")
  var keyHeads: Int?

  @Option(help: "Width of a row of q and k. Default: 16.")
  var headDim: Int?

  @Option(help: "Width of a row of v. Default: head-dim.")
  var valueDim: Int?

  @Flag(help: "A query sees only its past; the last query is aligned with the last key.")
  var causal = false

  @Option(help: "Valid keys of every sequence, such as 20,33.")
  var keyLengths: String?

  @Option(help: "The factor on q·k. Default: 1/√head-dim.")
  var scale: Double?

  /// The shape; `nil`: no flag says one.
  /// - Throws: `UsageError` for flags without `--n`, `ConfigurationError` for a size out of range.
  func shape() throws -> AttentionShape? {
    guard let n else {
      let given: [(String, Bool)] = [
        ("--key-length", keyLength != nil), ("--batch", batch != nil), ("--heads", heads != nil),
        ("--key-heads", keyHeads != nil), ("--head-dim", headDim != nil), ("--value-dim", valueDim != nil),
        ("--causal", causal), ("--key-lengths", keyLengths != nil), ("--scale", scale != nil),
      ]
      if let flag = given.first(where: \.1) { throw UsageError("\(flag.0): it goes with --n") }
      return nil
    }
    return try AttentionShape(
      batch: batch ?? 1, queryHeads: heads ?? 1, keyHeads: keyHeads, queryLength: n, keyLength: keyLength,
      headDim: headDim ?? 16, valueDim: valueDim, isCausal: causal,
      keyLengths: try ArrayInputs.numbers(keyLengths, "--key-lengths"), scale: scale)
  }
}
