import Dispatch
import Presets
import Synchronization

/// The bridge from the synchronous `main` to asynchronous subcommands.
enum Blocking {
  /// The commit of the sources; empty when it is not known.
  static func commit() -> String {
    let found = Mutex<String?>(nil)
    try? wait {
      let commit = await Tool.commit(anchors: [])
      found.withLock { $0 = commit }
    }
    return found.withLock { $0 } ?? ""
  }

  /// Runs an asynchronous body and waits for it. Only for the main thread: a waiting pool thread could starve the body.
  static func wait(_ body: @escaping @Sendable () async throws -> Void) throws {
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
