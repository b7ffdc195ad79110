import AttentionCore
import Foundation
import Measuring
import Settings
import Tensors
import Testing

/// The names of cells in published results: a cell that gets another name is measured again, and its earlier rows are
/// those of no cell.
@Suite struct CellIdentityTests {
  private static func cell(
    _ variant: String, _ experiment: String, heads: Int, n: Int, threads: Int, _ isa: String = "avx512",
    _ change: (inout Cell) -> Void = { _ in }
  ) -> Cell {
    var cell = Cell(variant: variant, queryLength: n)
    (cell.preset, cell.experiment) = (experiment, experiment)
    (cell.heads, cell.keyHeads, cell.threads, cell.instructionSet) = (heads, heads, threads, isa)
    change(&cell)
    return cell
  }

  private static func window(_ reach: Int) -> [String: ParameterValue] {
    ["left": .int(reach), "right": .int(reach)]
  }

  /// The file in `results/published`, a cell that it holds, and the name that it has there.
  static let published: [(String, Cell, String)] = [
    (
      "quickstart", cell("full", "quickstart", heads: 2, n: 256, threads: 2) { $0.input = .text(path: nil) },
      "82654c4166609621"
    ),
    (
      "quickstart",
      cell("sliding-window", "quickstart", heads: 2, n: 256, threads: 2) {
        ($0.input, $0.pass, $0.settings) = (.text(path: nil), .backward, window(128))
      }, "0004d82a45826c33"
    ),
    (
      "performance",
      cell("full", "full", heads: 4, n: 4096, threads: 1) { ($0.isCausal, $0.pass) = (true, .backward) },
      "b938889fba3033f5"
    ),
    (
      "performance", cell("full", "bfloat16", heads: 4, n: 4096, threads: 1) { $0.precision = .bfloat16 },
      "502694c95ca6abab"
    ),
    (
      "performance",
      cell("full", "decoding", heads: 1, n: 131_072, threads: 1) {
        ($0.queryLength, $0.isCausal, $0.pass) = (1, true, .decode)
      }, "88eeaadc53f8666d"
    ),
    (
      "performance-avx2",
      cell("full", "decoding", heads: 1, n: 131_072, threads: 1, "avx2") {
        ($0.queryLength, $0.isCausal, $0.pass, $0.precision) = (1, true, .decode, .bfloat16)
      }, "e5842cf572638dae"
    ),
  ]

  @Test("cells keep the names of published results", arguments: published)
  func names(file: String, cell: Cell, name: String) throws {
    #expect(cell.id == name)
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let rows = try String(
      contentsOfFile: folder.path + "/results/published/\(file)/measurements.csv", encoding: .utf8)
    #expect(rows.contains(name), "the published file does not have this cell")
  }

  @Test("how often and how long a cell is measured, and its preset, are no part of its name")
  func means() {
    let (_, cell, name) = Self.published[0]
    var other = cell
    (other.preset, other.warmup, other.repeats, other.budgetSeconds) = ("renamed", 7, 99, 1)
    #expect(other.id == name)
    other.seed = 2
    #expect(other.id != name)
  }
}
