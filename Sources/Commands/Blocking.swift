import Dispatch
import Foundation
import Measuring
import Presets
import Processes
import Records
import Synchronization

/// The bridge from the synchronous `main` to asynchronous subcommands.
package enum Blocking {
  /// The commit of the sources; empty when it is not known.
  package static func commit() -> String {
    let found = Mutex<String?>(nil)
    try? wait {
      let commit = await Tool.commit(anchors: [])
      found.withLock { $0 = commit }
    }
    return found.withLock { $0 } ?? ""
  }

  /// The row of a cell that is measured here, or in processes that are started for its ranks; `nil` on ranks other than 0.
  package static func row(of request: CellRequest) throws -> MeasurementRow? {
    let program = Bundle.main.executablePath ?? CommandLine.arguments[0], catalog = Installed.catalog
    // MPI is called by the thread that began it: a rank does not leave this one.
    if request.isHere { return try request.measuredHere(catalog) }
    let found = Mutex<MeasurementRow?>(nil)
    try wait {
      let row = await request.launched(program: program)
      found.withLock { $0 = row }
    }
    return found.withLock { $0 }
  }

  /// The report of a folder with its pictures, and the text that makes the folder a data set.
  package static func report(of folder: String) throws -> ReportFiles {
    let made = Mutex(ReportFiles()), kinds = Installed.kinds, variants = Installed.catalog
    try wait {
      let files = try await Report(folders: [folder], kinds: kinds, variants: variants).writeAll {
        Terminal.note("warning: \($0)")
      }
      made.withLock { $0 = files }
    }
    return made.withLock { $0 }
  }

  /// Runs an asynchronous body and waits for it. Only for the main thread and threads made for it: a waiting pool thread could
  /// starve the body.
  package static func wait(_ body: @escaping @Sendable () async throws -> Void) throws {
    let done = DispatchSemaphore(value: 0)
    let failure = Mutex<(any Error)?>(nil)
    Task.detached {
      do { try await body() } catch { failure.withLock { $0 = error } }
      done.signal()
    }
    done.wait()
    if let error = failure.withLock({ $0 }) { throw error }
  }
}
