import AttentionCore
import Basics
import Foundation
import Processes
import Ranks
import Records
import Settings
import Subprocess
import SystemPackage

/// Starts the processes that a cell's ranks are, on this machine.
///
/// `mpirun` does so, with the words of `ATTNLAB_MPIRUN` if that is set. On several machines mpirun, or a scheduler, starts
/// `attnlab measure … --ranks P` itself, as P processes.
struct RankLauncher {
  /// The program: this one.
  let program: String
  /// Measures a cell; whatever happens comes back as a row.
  func run(_ request: CellRequest) async -> MeasurementRow {
    var row = MeasurementRow(request.cell)
    do {
      try RankProcesses.check(request.cell.ranks)
      let words = try RankProcesses.command(
        [program, "cell", request.json.compact], on: request.cell.ranks)
      let launcher = words[0]
      let result = try await ChildProcess.run(
        launcher.contains("/") ? .path(FilePath(launcher)) : .name(launcher), Array(words.dropFirst()),
        variables: ParentWatch.ranks
      ) { _ in true }
      return Self.row(
        of: request.cell, output: result.output, errors: result.errors,
        ending: ProcessEnding(result.status, killsOfSystem: nil))
    } catch let error as ConfigurationError {
      row.fail(.unsupported, "\(error)")
    } catch let error as SubprocessError {
      row.fail(.error, "mpirun could not be run: \(ChildProcess.reason(error))")
    } catch {
      row.fail(.error, "\(error)")
    }
    return row
  }

  /// The row that rank 0 printed, or one that says which rank ended, and why: mpirun says more than that.
  static func row(of cell: Cell, output: String, errors: String, ending: ProcessEnding) -> MeasurementRow {
    // Ranks that were ended for another one's sake say so, too; they do not say why.
    let own = errors.split(whereSeparator: \.isNewline).first {
      $0.hasPrefix("rank ") && !$0.contains(": interrupted")
    }.map(String.init)
    guard let own else {
      return CellProcess.row(of: cell, output: output, errors: errors, ending: ending)
    }
    var row = MeasurementRow(cell)
    row.fail(own.contains("memory limit: ") ? .outOfMemory : .error, own)
    return row
  }
}

extension CellRequest {
  /// Whether this process measures the cell, alone or as one of its ranks; else processes are started for them.
  public var isHere: Bool { cell.ranks == 1 || (RankProcesses.isOne && RankProcesses.areBuiltIn) }

  /// Measures the cell in this process.
  /// - Returns: the row; `nil` on ranks other than 0.
  /// - Throws: what ends all ranks.
  public func measuredHere(_ catalog: Catalog) throws -> MeasurementRow? {
    let measurement = measurement(catalog)
    guard cell.ranks > 1 else { return measurement.run() }
    return try RankProcesses.join(cell.ranks) { try measurement.run(on: $0) }
  }

  /// Measures the cell in processes of its own, one a rank.
  /// - Parameter program: this program.
  public func launched(program: String) async -> MeasurementRow {
    await RankLauncher(program: program).run(self)
  }
}
