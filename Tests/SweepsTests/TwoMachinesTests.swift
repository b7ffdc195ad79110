import Analysis
import Attention
import Basics
import Foundation
import Measuring
import Records
import LeastSquares
import ScalingLaws
import Testing
import Trainings

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

  /// Two models, two seeds each, one seed a machine: losses are alike, the second machine is eight times as fast.
  private func trainings() throws -> String {
    let folder = sweep.scratch("trained")
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let writer = try RowWriter(path: folder + "/runs.csv", of: TrainingRow.self)
    for size in [1, 2, 4, 8, 16] {
      for (index, machine) in Self.names.enumerated() {
        var row = TrainingRow()
        (row.runID, row.task, row.seed, row.status) = ("r\(size)\(index)", "mqar", index + 1, .ok)
        (row.attention, row.modelConfiguration) = ("full", "width=\(8 * size)")
        row.trainingConfiguration = "steps=20;seed=\(index + 1)"
        (row.parameters, row.parametersNonEmbedding, row.steps, row.threads) = (
          1000 * size, 500 * size, 20, 1
        )
        (row.tokens, row.testCount, row.testAccuracy) = (5000, 100, 0.5)
        (row.computeFlops, row.testLoss) = (3e7 * Double(size), 1 + 1 / Double(size) + 0.001 * Double(index))
        (row.seconds, row.tokensPerSecond) = index == 0 ? (800 * Double(size), 6) : (100, 50)
        (row.isa, row.machine, row.host, row.commit) = ("avx2", machine, "node\(index + 1)", "c\(index)")
        (row.evaluation, row.startedAt) = (.test, "2026-11-28T10:00:00Z")
        try writer.append(row)
      }
    }
    try RunFolder.replace(folder + "/environment.json", with: JSONValue.object([:]).pretty + "\n")
    return folder
  }

  @Test(
    "trainings whose seeds ran on two machines: a line for each machine, which it names, with that machine's times"
  )
  func comparesTrainings() throws {
    let comparison = TrainingComparison(try TrainingExperiment.rows(of: [try trainings()]))
    #expect(comparison.lines.count == 10)
    let (header, rows) = comparison.table
    let speed = try #require(header.firstIndex(of: "tokens/s"))
    for (line, cells) in zip(comparison.lines, rows) {
      let machine = try #require(Self.names.first { line.label.hasSuffix($0) })
      #expect(line.rows.allSatisfy { $0.machine == machine })
      #expect(cells[speed] == (machine == Self.names[0] ? "6.00" : "50.0"), "\(cells)")
    }
    // A law is one of a machine's trainings, which its name and its command say.
    #expect(!comparison.laws.isEmpty)
    for law in comparison.laws {
      #expect(Self.names.contains { law.series.contains($0) && law.command(file: "f").contains($0) })
    }
  }

  /// What is fitted, and how many machines are told apart.
  @Test(
    "a fit of a training's time has a group for each machine, one of its loss has not",
    arguments: [("seconds", 2), ("tokens_per_second", 2), ("test_loss", 0), ("seconds/steps", 2)])
  func fitsTrainings(response: String, machines: Int) throws {
    let csv = try CSVTable(contentsOf: try trainings() + "/runs.csv")
    let table = try FitTable(
      csv, definitions: [], timeColumns: ExperimentCatalog.standard.timeColumns(csv.header))
    let groups = try table.groups(
      FitTable.Request(
        variables: [try table.quantity("parameters", option: "--x")],
        response: try table.quantity(response, option: "--y")))
    #expect(Set(groups.compactMap(\.machine)).count == machines && groups.count == max(1, machines))
    #expect(groups.allSatisfy { $0.data.count == (machines == 0 ? 10 : 5) })
  }

  @Test("a report of trainings lists both machines, and has a line for each with its times")
  func reportsTrainings() throws {
    let page = try Report(folders: [try trainings()], kinds: .standard).page([], nil)
    for (index, machine) in Self.names.enumerated() {
      #expect(page.contains("<th scope=\"row\">\(machine)</th><td>5</td><td>node\(index + 1)</td>"))
    }
    #expect(page.contains("2 machines") && page.contains(">6.00<") && page.contains(">50.0<"))
  }

  @Test("a table of another program has no times")
  func foreign() throws {
    #expect(ExperimentCatalog.standard.timeColumns(["machine", "seconds", "n"]).isEmpty)
    #expect(
      ExperimentCatalog.standard.timeColumns(MeasurementRow.columns)
        == [
          "seconds_median", "seconds_p20", "seconds_p80", "gflops", "fraction_of_peak", "plan_seconds",
          "seconds_waiting", "seconds_choosing",
        ])
    #expect(
      ExperimentCatalog.standard.timeColumns(TrainingRow.columns) == [
        "seconds", "tokens_per_second", "fraction_of_peak", "way_seconds",
      ])
  }
}
