import AttentionCore
import Basics
import Foundation
import Processes
import Records
import Subprocess
import SystemPackage
import Tensors

/// Runs one cell in a process of its own, and watches its memory and its time.
struct CellProcess {
  /// The program: this one.
  let program: String
  let memoryLimit: Int
  let timeLimit: Double?
  let interruption: Interruption

  /// What a process holds beyond the buffers of its pass: code, stacks, the text that inputs are made from.
  private static let overheadBytes = 64 << 20

  /// Why the watcher ended the process.
  private enum Verdict { case memory(Int), time }

  /// Runs the cell; whatever happens to its process comes back as a row. A process that was ended from outside says
  /// nothing of the cell, so it is run once more; the second time that is what its row says.
  /// - Throws: `Interrupted` when the user stopped the run meanwhile.
  func run(
    _ cell: Cell, peakGflops: Double?, textPath: String?, isChecked: Bool
  ) async throws -> MeasurementRow {
    let words = ["cell", request(cell, peakGflops, textPath, isChecked).json.compact]
    let first = try await attempt(cell, words)
    guard first.status == .killed else { return first }
    return try await attempt(cell, words)
  }

  private func attempt(_ cell: Cell, _ arguments: [String]) async throws -> MeasurementRow {
    let startedAt = Timestamp.now(), killsBefore = OutOfMemoryKills.count()
    var variables = [
      // A crash is a row; its back-trace would take longer than the cell.
      "SWIFT_BACKTRACE": "enable=no", ParentWatch.variable: "\(getpid())",
    ]
    // All cells of a run take the same road, whatever a rate that is measured anew would say.
    if let choice = cell.bfloat16 { variables["ATTNLAB_BF16"] = choice.road.rawValue }
    // And all choose alike by the processor, should the file be tuned meanwhile.
    if cell.instructionSet == InstructionSet.default.rawValue {
      variables["ATTNLAB_CHOICES"] = "derived," + ProcessorChoices.resolved().choices.text
    }
    var row: MeasurementRow
    do {
      let result = try await ChildProcess.run(
        .path(FilePath(program)), arguments, variables: variables
      ) { process in
        interruption.watch(process)
        return Task { await watch(process) }
      }
      interruption.watch(nil)
      result.watcher.cancel()
      let kills = killsBefore.flatMap { before in OutOfMemoryKills.count().map { $0 - before } }
      let verdict = await result.watcher.value
      if let verdict, result.status == .signaled(SIGKILL) {
        row = MeasurementRow(cell)
        describe(verdict, in: &row)
      } else {
        row = Self.row(
          of: cell, output: result.output, errors: result.errors,
          ending: ProcessEnding(result.status, killsOfSystem: kills))
      }
    } catch let error as SubprocessError {
      interruption.watch(nil)
      row = MeasurementRow(cell)
      row.fail(.error, "the process could not be run: \(ChildProcess.reason(error))")
    }
    if interruption.isRequested { throw Interrupted() }
    // Names that only the runner knows.
    (row.preset, row.experiment, row.cellID) = (cell.preset, cell.experiment, cell.id)
    (row.input, row.startedAt) = (cell.input.description, startedAt)
    return row
  }

  private func describe(_ verdict: Verdict, in row: inout MeasurementRow) {
    switch verdict {
    case .memory(let bytes):
      row.fail(
        .outOfMemory,
        "the process held \(Quantity.describe(bytes: Double(bytes))); "
          + "\(Quantity.describe(bytes: Double(memoryLimit))) allowed")
    case .time: row.fail(.timeout, "longer than \(Quantity.describe(seconds: timeLimit ?? 0))")
    }
  }

  /// Ends the process when it holds too much or lasts too long.
  private func watch(_ process: Int32) async -> Verdict? {
    let clock = ContinuousClock()
    let start = clock.now
    while !Task.isCancelled {
      if let bytes = ProcessMemory.residentBytes(of: process), bytes > memoryLimit + Self.overheadBytes {
        Leftovers.endChild(process)
        return .memory(bytes)
      }
      if let timeLimit, (clock.now - start).seconds > timeLimit {
        Leftovers.endChild(process)
        return .time
      }
      try? await Task.sleep(for: .milliseconds(10))
    }
    return nil
  }

  private func request(
    _ cell: Cell, _ peakGflops: Double?, _ textPath: String?, _ isChecked: Bool
  ) -> CellRequest {
    var request = CellRequest(cell, memoryLimit: memoryLimit)
    if case .text(nil) = cell.input, let textPath { request.cell.input = .text(path: textPath) }
    (request.peakGflops, request.isChecked) = (peakGflops, isChecked)
    return request
  }

  /// The row that a process printed, or one that says how it ended.
  static func row(
    of cell: Cell, output: String, errors: String, ending: ProcessEnding
  ) -> MeasurementRow {
    if let row = try? MeasurementRow.read(json: output), row.status != nil { return row }
    var row = MeasurementRow(cell)
    let said = errors.split(whereSeparator: \.isNewline).map(String.init)
    let line = said.first { $0.contains("Fatal error") } ?? said.first ?? "it printed nothing"
    switch ending {
    case .outOfMemory: row.fail(.outOfMemory, "the system ran out of memory and ended the process")
    case .fromOutside(let how): row.fail(.killed, "ended from outside: \(how)")
    case .fault where line.contains("failed to allocate"): row.fail(.outOfMemory, line)
    case .fault(let number): row.fail(.crashed, "signal \(number): \(line)")
    case .exited(let code): row.fail(code == 0 ? .error : .crashed, "exit code \(code): \(line)")
    }
    return row
  }
}
