import Analysis
import Attention
import Basics
import Foundation
import Measuring
import Records
import LeastSquares
import ScalingLaws
import Testing

@testable import Presets
@testable import Sweeps

/// A merged folder with rows of two machines: every reader says which machines it holds, and no time of one stands beside a
/// time of the other.
@Suite struct TwoMachinesTests {
  private static let names = ["Alder, 8 processors, avx2", "Birch, 64 processors, avx512"]
  private let sweep: FakeSweep

  init() throws {
    sweep = try FakeSweep()
    for (index, machine) in Self.names.enumerated() {
      let part = try sweep.part("1/1", in: "m\(index)", machine: machine) { _, row in
        // They grow otherwise, and would meet at n = 20.
        let n = Double(row.queryLength ?? 0)
        row.secondsMedian = index == 0 ? n * n * 1e-6 : n * 2e-5
        (row.host, row.commit) = ("node\(index + 1)", "c\(index)")
      }
      let record = JSONValue.object([
        "preset": .string("p"), "preset_hash": .string(Fingerprint.of(sweep.preset.source)),
        "machine": .object(["processor": .string(Self.names[index])]), "peak_gflops": .double(99.5),
        "sessions": .array([
          .object([
            "started_at": .string("2026-11-28T09:0\(index):00Z"), "host": .string("node\(index + 1)"),
            "machine": .string(machine),
            "peaks": .array([
              .object(["precision": .string("float32"), "peak_gflops": .double(11 + Double(index) * 22)])
            ]),
          ])
        ]),
      ])
      try RunFolder.replace(part + "/environment.json", with: record.pretty + "\n")
    }
    _ = try sweep.merge(["m0", "m1"], into: "both")
  }

  private var file: String { sweep.scratch("both/measurements.csv") }

  private func table() throws -> FitTable {
    let csv = try CSVTable(contentsOf: file)
    return try FitTable(
      csv, definitions: ["ms=1000*seconds_median"],
      timeColumns: ExperimentCatalog.standard.timeColumns(csv.header))
  }

  @Test("a comparison has panels of one machine each, whose titles name it")
  func compares() throws {
    let comparison = try Comparison(try MeasurementExperiment.rows(of: [sweep.scratch("both")]))
    #expect(comparison.parts.count == 2)
    for (part, machine) in zip(comparison.parts, Self.names) {
      let rows = part.panel.series.flatMap(\.rows)
      #expect(
        part.panel.title.hasSuffix(machine) && Set(rows.map(\.machine)) == [machine] && rows.count == 10)
    }

    #expect(Self.names.allSatisfy(comparison.text.contains))
  }

  /// What is fitted, what splits it, and how many machines are told apart.
  @Test(
    "a fit of a time has a group for each machine, unless something else tells them apart",
    arguments: [
      ("seconds_median", nil, nil, 2), ("ms", nil, nil, 2), ("log(gflops)", nil, nil, 2),
      ("seconds_median", "variant", nil, 2), ("seconds_median", "machine", nil, 0),
      ("seconds_median", nil, "machine == 'Alder, 8 processors, avx2'", 0), ("query_length", nil, nil, 0),
    ] as [(String, String?, String?, Int)])
  func fits(response: String, by: String?, filter: String?, machines: Int) throws {
    let table = try table()
    var request = FitTable.Request(
      variables: [try table.quantity("query_length", option: "--x")],
      response: try table.quantity(response, option: "--y"))
    request.group = try by.map { try table.quantity($0, option: "--by") }
    request.filter = try filter.map { try table.filter($0, option: "--where") }
    let groups = try table.groups(request)
    #expect(Set(groups.compactMap(\.machine)).count == machines)
    #expect(groups.count == max(1, machines) * (by == "variant" ? 2 : by == "machine" ? 2 : 1))
    #expect(
      machines == 0
        || groups.allSatisfy { group in
          Self.names.contains { group.machine == $0 && group.label?.hasSuffix($0) == true }
        })
    guard response == "seconds_median", by == nil, filter == nil else { return }
    let slopes = try groups.map { group in
      try #require(Fitter(PowerLaw()).fit(group.data).parameters["b"]?.value)
    }
    // Together the rows would have neither exponent.
    #expect(abs(slopes[0] - 2) < 1e-6 && abs(slopes[1] - 1) < 1e-6)
  }

  @Test("no crossing of two curves is looked for across machines")
  func crossings() throws {
    let table = try table()
    let request = FitTable.Request(
      variables: [try table.quantity("query_length", option: "--x")],
      response: try table.quantity("seconds_median", option: "--y"))
    let groups = try table.groups(request)
    func records(_ machine: (FitTable.Group) -> String?) throws -> [FitRecord] {
      try groups.map { group in
        var record = FitRecord(group: group.label, fit: try Fitter(PowerLaw()).fit(group.data))
        record.machine = machine(group)
        return record
      }
    }
    #expect(FitCrossing.all(try records(\.machine)).isEmpty)
    #expect(FitCrossing.all(try records { _ in nil }).count == 1)
  }

  @Test("columns drawn over each other have a curve for each machine")
  func plots() throws {
    let csv = try CSVTable(contentsOf: file)
    var request = ColumnPlot.Request(x: "query_length", y: "seconds_median", by: "variant", fits: false)
    request.timeColumns = ExperimentCatalog.standard.timeColumns(csv.header)
    let curves = try #require(ColumnPlot.figure(csv, request).panels.first).curves
    #expect(
      curves.count == 4 && curves.allSatisfy { curve in Self.names.contains { curve.label.hasSuffix($0) } })
    request.y = "memory_bytes"
    #expect(throws: UsageError.self) { try ColumnPlot.figure(csv, request) }
    // What the program draws of itself has the panels of the comparison.
    let own = try MeasurementExperiment.pictures(
      of: MeasurementExperiment.rows(of: [sweep.scratch("both")]), in: file, ResultsQuestion())
    #expect(own.first?.figure.panels.count == 2)
  }

  @Test(
    "a report lists the machines with rows, hosts, commits and peaks, and describes none of them as the one")
  func reports() throws {
    let page = try Report(folders: [sweep.scratch("both")], kinds: .standard).page([], nil)
    for (index, machine) in Self.names.enumerated() {
      let cells = ["10", "node\(index + 1)", "c\(index)", index == 0 ? "11.0" : "33.0"]
      #expect(
        page.contains(
          "<th scope=\"row\">\(machine)</th>" + cells.map { "<td>\($0)</td>" }.joined()), "\(page)")
    }
    #expect(page.contains("2 machines") && !page.contains("99.5"))
    let one = try Report(folders: [sweep.scratch("m0")], kinds: .standard).page([], nil)
    #expect(one.contains("peak 99.5 GFLOP/s") && !one.contains("2 machines"))
  }

  @Test("a table of another program has no times")
  func foreign() throws {
    #expect(ExperimentCatalog.standard.timeColumns(["machine", "seconds", "n"]).isEmpty)
    #expect(
      ExperimentCatalog.standard.timeColumns(MeasurementRow.columns)
        == [
          "seconds_median", "seconds_p20", "seconds_p80", "gflops", "fraction_of_peak", "plan_seconds",
          "seconds_waiting",
        ])
    #expect(
      ExperimentCatalog.standard.timeColumns(TrainingRow.columns) == [
        "seconds", "tokens_per_second", "fraction_of_peak",
      ])
  }
}
