import Basics
import Synchronization

/// Says which names were written as earlier versions did: they are read, and a user learns today's.
public enum SpellingNote {
  private static let said = Mutex<Set<String>>([])

  /// One line for names that have not been noted in this process; none when there are no such.
  /// - Parameter names: what was written, each with today's spelling.
  public static func say(_ names: [(written: String, today: String)]) {
    let new = said.withLock { said in names.filter { said.insert($0.written).inserted } }
    if let line = line(new) { Terminal.note(line) }
  }

  /// The line; `nil`: there is nothing to say.
  static func line(_ names: [(written: String, today: String)]) -> String? {
    guard !names.isEmpty else { return nil }
    let some = names.prefix(5).map { "\(shown($0.today)) for \(shown($0.written))" }.joined(separator: ", ")
    return "note: old spelling, read as before; write \(some)\(names.count > 5 ? ", …" : "")"
  }
}
