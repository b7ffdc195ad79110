import Attention
import AttentionCore
import Basics
import Presets
import Processes
import Ranks
import Records
import Tensors
import Testing

@testable import Measuring

@Suite struct RankedMeasurementTests {
  private func cell(_ variant: String, _ pass: PassKind, ranks: Int) -> Cell {
    var cell = Cell(variant: variant, queryLength: 192)
    (cell.pass, cell.isCausal, cell.headDim, cell.valueDim) = (pass, true, 8, 8)
    (cell.ranks, cell.threads, cell.repeats) = (ranks, 1, 3)
    return cell
  }

  private func rows(_ cell: Cell) throws -> [MeasurementRow?] {
    let request = CellRequest(cell, memoryLimit: 1 << 30)
    return try ThreadGroup.run(cell.ranks) { try request.measurement(.standard).run(on: $0) }
  }

  @Test(
    "Rank 0 gives the row of all ranks, with what they sent, and its rows agree with the definition",
    arguments: [PassKind.forward, .backward])
  func row(pass: PassKind) throws {
    let found = try rows(cell("full", pass, ranks: 2))
    #expect(found[1] == nil)
    let row = try #require(found[0])
    #expect(row.status == .ok && row.ranks == 2 && row.repeats == 3, "\(row.reason)")
    // 3/4 of N (P − 1) keys, each 16 floats; backward they go again, and their gradients come home.
    let bytes = 192 * 3 / 4 * 16 * 4
    #expect(row.bytesSent == (pass == .forward ? bytes : 2 * bytes))
    #expect(row.messages == (pass == .forward ? 2 : 4))
    #expect((row.secondsWaiting ?? -1) >= 0 && (row.memoryBytes ?? 0) > 0)
    #expect((row.errorOracleRel ?? 1) < 1e-5)
  }

  @Test(
    "A window sends the same bytes at any length, and a variant that ranks cannot share is a row that says so"
  )
  func otherVariants() throws {
    var window = cell("sliding-window", .forward, ranks: 3)
    window.settings = ["left": .int(9)]
    for length in [192, 400] {
      (window.queryLength, window.keyLength) = (length, length)
      let row = try #require(try rows(window)[0])
      #expect(row.status == .ok && row.bytesSent == 2 * 9 * 16 * 4, "\(row.reason)")
    }
    let row = try #require(try rows(cell("lsh", .forward, ranks: 2))[0])
    #expect(row.status == .unsupported && row.reason.contains("ranks"), "\(row.reason)")
  }

  @Test("What a rank said before it ended is the reason of the row, whatever mpirun says besides")
  func failedRank() {
    let errors = """
      rank 1 of 2: memory limit: 4096 bytes asked for with 0 in use; 1024 allowed
      --------------------------------------------------------------------------
      MPI_ABORT was invoked on rank 1 in communicator MPI_COMM_WORLD
      """
    let cell = cell("full", .forward, ranks: 2)
    let row = RankLauncher.row(of: cell, output: "", errors: errors, ending: .exited(2))
    #expect(row.status == .outOfMemory && row.reason.hasPrefix("rank 1 of 2: memory limit"))
    #expect(row.ranks == 2 && row.cellID == cell.id)
    let other = RankLauncher.row(of: cell, output: "", errors: "rank 0 of 2: no", ending: .exited(2))
    #expect(other.status == .error && other.reason == "rank 0 of 2: no")
  }

  @Test("A program without MPI refuses several ranks in one line", .enabled(if: !RankProcesses.areBuiltIn))
  func withoutMPI() async {
    let request = CellRequest(cell("full", .forward, ranks: 2), memoryLimit: 1 << 30)
    let row = await request.launched(program: "/nonexistent")
    #expect(row.status == .unsupported && row.reason.contains("swift build --traits MPI"), "\(row.reason)")
  }

  @Test("One rank leaves no mark in a cell's id, and ranks without threads share the processors")
  func identity() {
    let one = cell("full", .forward, ranks: 1), two = cell("full", .forward, ranks: 2)
    #expect(one.id != two.id)
    #expect(two.label.hasSuffix("on 2 ranks") && !one.label.contains("rank"))
    var shared = two
    shared.complete(given: [])
    #expect(shared.threads == max(1, Parallel.processorCount / 2))
    shared.threads = 7
    shared.complete(given: ["threads"])
    #expect(shared.threads == 7)
  }
}
