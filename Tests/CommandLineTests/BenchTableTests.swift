import AttentionCore
import Laboratory
import Testing

@testable import AttentionLab

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
    (row.fractionOfPeak, row.tileWaste, row.secondsMedian) = (fraction, 1, 0.1)
    return row
  }

  @Test("targets, and whether they are reached")
  func targets() throws {
    var waste = Self.row("sparse", "local-global", .backward, fraction: 0.8)
    waste.tileWaste = 1.1
    let rows = [
      Self.row("full", "full", .forward, fraction: 0.86),
      Self.row("full", "full", .backward, fraction: 0.86),
      Self.row("sparse", "full", .backward, fraction: 0.9), waste,
      Self.row("sparse", "random-sparse", .backward, fraction: 0.8), Self.row("other", "full", .forward),
      Self.row("full", "full", .forward),
    ]
    let table = BenchTable(rows: rows, bandwidth: [:], reading: [:])
    #expect(rows.map { table.figures(of: $0).isReached } == [true, false, nil, true, false, nil, nil])
    let sparse = try #require(table.figures(of: waste).target)
    #expect(sparse.figure.rawValue == "fraction_visited")
    #expect(abs(sparse.atLeast - 0.81) < 1e-12)
    let lines = table.text.split(separator: "\n")
    #expect(lines[1].hasSuffix("85%"))
    #expect(lines[2].hasSuffix("88%, missed"))
    #expect(lines[5].hasSuffix("visited 81%, missed"))
  }

  @Test(
    "decoding: of the rate of reading as many bytes on as many threads, or of the peak, whichever is nearer")
  func decoding() {
    var row = Self.row("decoding", "full", .decode, fraction: 0.1)
    (row.keyLength, row.secondsMedian, row.threads) = (131072, 0.002, 2)
    func table(_ threads: Int, _ bytes: Int) -> BenchTable {
      BenchTable(
        rows: [row], bandwidth: [1: 10, 2: 10], reading: [.init(threads: threads, bytes: bytes): 40])
    }
    // 64 MiB in 2 ms are 33.6 GB/s.
    #expect(abs((table(2, 64 << 20).figures(of: row).fractionOfLimit ?? 0) - 0.839) < 1e-3)
    #expect(table(2, 64 << 20).figures(of: row).isReached == true)
    #expect(table(2, 64 << 20).text.contains("on 2 threads: 40"))
    // The rate of memory says nothing of a cell that may come from a cache.
    #expect(table(1, 64 << 20).figures(of: row).isReached == nil)
    #expect(table(2, 32 << 20).figures(of: row).isReached == nil)
    row.fractionOfPeak = 0.9
    #expect(table(2, 64 << 20).figures(of: row).fractionOfLimit == 0.9)
  }

  @Test("bfloat16 against the float32 row of the same cell")
  func bfloat16() {
    let base = Self.row("bfloat16", "full", .forward, fraction: 0.8)
    var other = base
    (other.precision, other.secondsMedian) = (.bfloat16, 0.05)
    let table = BenchTable(rows: [base, other], bandwidth: [:], reading: [:])
    #expect(table.figures(of: other).timesFloat32 == 2)
    #expect(table.figures(of: other).isReached == true)
    // AVX2 has no products of pairs: rows are up-converted.
    #expect(table.text.contains("0.9× float32: 2.00×"))
  }

  @Test("JSON: the columns of the CSV, then the figures")
  func json() throws {
    let table = BenchTable(
      rows: [Self.row("full", "full", .backward, fraction: 0.5)], bandwidth: [:], reading: [:])
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
