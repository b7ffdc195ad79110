import Attention
import AttentionCore
import Basics
import Foundation
import Presets
import Records
import Testing

@testable import Pages

/// `attnlab bench`: figures beside their targets.
@Suite struct BenchTableTests {
  private static func row(_ experiment: String, _ variant: String, _ pass: PassKind, fraction: Double? = nil)
    -> MeasurementRow
  {
    var row = MeasurementRow()
    (row.experiment, row.variant, row.pass, row.status) = (experiment, variant, pass, .ok)
    (row.precision, row.isa, row.threads, row.causal) = (.float32, "avx2", 1, false)
    (row.batch, row.queryHeads, row.keyHeads, row.headDim, row.valueDim) = (1, 1, 1, 64, 64)
    (row.queryLength, row.keyLength) = (4096, 4096)
    (row.fractionOfPeak, row.paddingOverhead, row.secondsMedian) = (fraction, 1, 0.1)
    return row
  }

  private static func preset() throws -> Preset {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../Experiments/performance.yaml").standardized.path
    return try Preset(file: file, catalog: .standard, kinds: .standard)
  }

  @Test("every cell of the preset has the target that the preset states for it, and no target is idle")
  func everyCell() throws {
    let preset = try Self.preset()
    let cells = try preset.cells()
    var found: [String: [String]] = [:]
    var used: [String: Set<Int>] = [:]
    for cell in cells {
      var row = MeasurementRow(cell)
      // The road of bfloat16 follows from the instruction set, which is this machine's best where the preset is silent.
      if row.experiment == "bfloat16" { row.isa = "avx2" }
      let targets = preset.targets[row.experiment] ?? []
      guard let index = targets.firstIndex(where: { $0.applies(to: row) }) else { continue }
      used[row.experiment, default: []].insert(index)
      let target = targets[index]
      found[row.experiment, default: []].append("\(target.figure.rawValue) \(target.atLeast)")
    }
    func count(_ experiment: String) -> [String: Int] {
      Dictionary((found[experiment] ?? []).map { ($0, 1) }, uniquingKeysWith: +)
    }
    let threads = Set(cells.filter { $0.experiment == "full" }.map(\.threads)).count
    #expect(
      count("full") == ["fraction_of_limit 0.84": 4 * threads, "fraction_of_limit 0.88": 4 * threads])
    #expect(count("head-sizes") == ["fraction_of_limit 0.8": 6])
    #expect(
      count("sparse") == [
        "fraction_of_limit 0.65": 1, "fraction_of_limit 0.6": 1, "fraction_executed 0.92": 8,
      ])
    #expect(
      count("hashed") == [
        "fraction_of_limit 0.65": 1, "fraction_of_limit 0.62": 2 * threads - 1,
      ])
    #expect(count("scale") == ["fraction_of_limit 0.85": 3])
    #expect(count("decoding") == ["fraction_of_limit 0.85": 4 * threads])
    #expect(count("instruction-sets") == ["fraction_of_limit 0.85": 1])
    // AVX2 has no products of pairs, so the first of its two targets waits for another machine.
    #expect(count("bfloat16") == ["times_float32 0.97": 2 * threads])
    #expect(count("selected") == ["fraction_executed 0.85": 6])
    #expect(count("recurrences") == ["fraction_of_limit 0.6": 48 * threads])
    #expect(count("states") == ["fraction_of_limit 0.85": 12 * threads])
    #expect(found.count == 11)
    for (experiment, targets) in preset.targets where experiment != "bfloat16" {
      #expect(used[experiment]?.count == targets.count, "\(experiment)")
    }
  }

  @Test(
    "a wrong target is named with its line",
    arguments: [
      (
        "{figure: fraction_of_peak, at_least: 0.5}",
        "figure: fraction_of_peak is not allowed; it takes one of "
      ),
      ("{figure: fraction_of_limit}", "a target needs figure and at_least"),
      ("{figure: fraction_of_limit, at_least: 0}", "at_least: 0 is not allowed; it takes a number from "),
      ("{figure: fraction_of_limit, at_least: 1, pas: forward}", "unknown field pas; known are "),
      (
        "{figure: fraction_of_limit, at_least: 1, pass: foward}",
        "pass: foward is not allowed; it takes one of "
      ),
      (
        "{figure: fraction_of_limit, at_least: 1, of: fulll}",
        "of: fulll is not allowed; it takes one of full"
      ),
      (
        "{figure: fraction_of_limit, at_least: 1, variant: sliding-window, settings: {lft: 3}}",
        "settings: lft: it takes one value of one of left, "
      ), ("{figure: fraction_of_limit, at_least: 1, settings: {left: 3}}", "settings: name the one variant "),
    ])
  func wrongTargets(target: String, line: String) {
    let yaml = "experiments:\n  - name: a\n    n: 8\n    variants: full\n    targets:\n      - \(target)\n"
    let error = #expect(throws: UsageError.self) {
      try Preset(yaml: yaml, file: "p.yaml", catalog: .standard, kinds: .standard)
    }
    #expect(error?.description.hasPrefix("p.yaml:6: " + line) == true, "\(error?.description ?? "")")
  }

  @Test("targets, and whether they are reached")
  func targets() throws {
    var waste = Self.row("sparse", "local-global", .backward, fraction: 0.8)
    waste.paddingOverhead = 1.1
    let rows = [
      Self.row("full", "full", .forward, fraction: 0.9),
      Self.row("full", "full", .backward, fraction: 0.86),
      Self.row("sparse", "full", .backward, fraction: 0.9), waste,
      Self.row("sparse", "random-sparse", .backward, fraction: 0.8), Self.row("other", "full", .forward),
      Self.row("full", "full", .forward),
    ]
    let table = BenchTable(rows: rows, bandwidth: [:], reading: [:], targets: try Self.preset().targets)
    #expect(rows.map { table.figures(of: $0).isReached } == [true, false, nil, true, false, nil, nil])
    let sparse = try #require(table.figures(of: waste).target)
    #expect(sparse.figure.rawValue == "fraction_executed")
    #expect(abs(sparse.atLeast - 0.828) < 1e-12)
    let lines = table.text(width: 300).split(separator: "\n")
    #expect(lines[1].hasSuffix("88%"))
    #expect(lines[2].hasSuffix("88%, missed"))
    #expect(lines[5].hasSuffix("executed 83%, missed"))
  }

  @Test(
    "decoding: of the rate of reading as many bytes on as many threads, or of the peak, whichever is nearer")
  func decoding() throws {
    var row = Self.row("decoding", "full", .decode, fraction: 0.1)
    (row.keyLength, row.secondsMedian, row.threads) = (131072, 0.0019, 2)
    let targets = try Self.preset().targets
    func table(_ threads: Int, _ bytes: Int) -> BenchTable {
      BenchTable(
        rows: [row], bandwidth: [1: 10, 2: 10], reading: [.init(threads: threads, bytes: bytes): 40],
        targets: targets)
    }
    // 64 MiB in 1.9 ms are 35.3 GB/s.
    #expect(abs((table(2, 64 << 20).figures(of: row).fractionOfLimit ?? 0) - 0.883) < 1e-3)
    #expect(table(2, 64 << 20).figures(of: row).isReached == true)
    #expect(table(2, 64 << 20).text.contains("on 2 threads: 40"))
    // The rate of memory says nothing of a cell that may come from a cache.
    #expect(table(1, 64 << 20).figures(of: row).isReached == nil)
    #expect(table(2, 32 << 20).figures(of: row).isReached == nil)
    row.fractionOfPeak = 0.9
    #expect(table(2, 64 << 20).figures(of: row).fractionOfLimit == 0.9)
  }

  @Test("bfloat16 against the float32 row of the same cell")
  func bfloat16() throws {
    let base = Self.row("bfloat16", "full", .forward, fraction: 0.8)
    var other = base
    (other.precision, other.secondsMedian) = (.bfloat16, 0.05)
    let table = BenchTable(
      rows: [base, other], bandwidth: [:], reading: [:], targets: try Self.preset().targets)
    #expect(table.figures(of: other).timesFloat32 == 2)
    #expect(table.figures(of: other).isReached == true)
    // AVX2 has no products of pairs: rows are up-converted.
    #expect(table.text.contains("0.97× float32: 2.00×"))
  }

  @Test("rows beside which others were at work throughout are counted below the table")
  func disturbed() throws {
    var rows = [(9, 9), (3, 3), (5, 2), (3, 0), (0, 0)].map { repeats, quiet in
      var row = Self.row("full", "full", .forward, fraction: 0.9)
      (row.repeats, row.quietRepeats) = (repeats, quiet)
      return row
    }
    func table() throws -> BenchTable {
      BenchTable(rows: rows, bandwidth: [:], reading: [:], targets: try Self.preset().targets)
    }
    #expect(try table().quietRows == (2, 5))
    #expect(try table().text.contains("3 of 5 rows (quiet_repeats below 3)"))
    rows = [Self.row("full", "full", .forward, fraction: 0.9), rows[0]]
    #expect(try table().quietRows == (1, 1))
    #expect(try !table().text.contains("quiet"))
  }

  @Test("JSON: the columns of the CSV, then the figures")
  func json() throws {
    let table = BenchTable(
      rows: [Self.row("full", "full", .backward, fraction: 0.5)], bandwidth: [:], reading: [:],
      targets: try Self.preset().targets)
    guard case .array(let rows) = table.json, case .object(let members) = try #require(rows.first) else {
      Issue.record("not a list of objects")
      return
    }
    let values = Dictionary(uniqueKeysWithValues: members.map { ($0.key, $0.value) })
    #expect(values["experiment"] == .string("full"))
    #expect(values["fraction_of_limit"] == .double(0.5))
    #expect(values["target_reached"] == .bool(false))
    #expect(values["times_float32"] == .null)
  }
}
