import Attention
import AttentionCore
import Basics
import Foundation
import Settings
import Tensors
import Testing

/// What a pass of every variant needs, executes and allocates, committed as numbers and compared exactly: a bar that no noise can
/// break. Seconds are no part of it (`make bench`).
///
/// `Fixtures/counts.csv` has the defaults of every variant at 520 tokens, two heads of 16, causal, one thread, the portable instruction
/// set. `blocks` are those that the system was asked for in a first forward and backward pass, `steady_blocks` in a third one.
/// `make pages` writes the file anew; what changed in it is to be explained.
@Suite struct CommittedCountsTests {
  static let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Fixtures/counts.csv")
  static let header =
    "variant,pass,flops,needed_pairs,executed_pairs,state_bytes,peak_bytes,blocks,steady_blocks"

  /// The counts of a variant, whatever is chosen by the processor here.
  static func rows(of id: String) throws -> [String] {
    try ProcessorChoices.$override.withValue(.assumed) { try chosenRows(of: id) }
  }

  private static func chosenRows(of id: String) throws -> [String] {
    let type = try Catalog.standard.type(of: id), key = RandomKey(seed: 3)
    let shape = try AttentionShape(queryHeads: 2, queryLength: 520, headDim: 16, isCausal: true)
    let settings = try type.fitted(#require(Conformance.samples(of: type).first), to: shape)
    let variant = try type.make(settings: settings, shape: shape, key: key)
    let inputs = try Operands.drawn(for: variant, key: key)
    let outputGradient = try Tensor.normal(shape.outputShape, key: key("do"))
    let ledger = MemoryLedger(recycles: true)
    let context = ExecutionContext(threads: 1, instructionSet: .portable, ledger: ledger)
    var peaks = (forward: 0, backward: 0), blocks: [Int] = []
    for pass in 0..<3 {
      let before = ledger.currentBytes
      ledger.resetPeak()
      let forward = try variant.attend(inputs, in: context)
      if pass == 0 { peaks.forward = ledger.peakBytes - before }
      ledger.resetPeak()
      _ = try forward.backward(outputGradient, in: context)
      if pass == 0 { peaks.backward = ledger.peakBytes - before }
      blocks.append(ledger.systemAllocations)
    }
    func text(_ number: Double?) -> String { number.map { String(Int($0.rounded())) } ?? "" }
    return [(PassKind.forward, peaks.forward), (.backward, peaks.backward)].map { pass, peak in
      let cost = variant.cost(of: pass)
      return [
        id, pass.rawValue, text(cost.flops), text(cost.neededPairs), text(cost.executedPairs),
        text(cost.stateBytes), "\(peak)", "\(blocks[0])", "\(blocks[2] - blocks[1])",
      ].joined(separator: ",")
    }
  }

  @Test("counts are those that are committed")
  func counts() throws {
    let rows = try Catalog.standard.ids.flatMap { try Self.rows(of: $0) }
    if ProcessInfo.processInfo.environment["ATTNLAB_WRITE_PAGES"] == "1" {
      try ([Self.header] + rows).map { $0 + "\n" }.joined().write(
        to: Self.file, atomically: true, encoding: .utf8)
    }
    let committed = try String(contentsOf: Self.file, encoding: .utf8).split(separator: "\n").map(String.init)
    #expect(committed.first == Self.header)
    for row in rows where !committed.contains(row) {
      let start = row.split(separator: ",").prefix(2).joined(separator: ",") + ","
      Issue.record("found \(row); committed \(committed.first { $0.hasPrefix(start) } ?? "nothing")")
    }
    #expect(committed.count == rows.count + 1)
  }
}
